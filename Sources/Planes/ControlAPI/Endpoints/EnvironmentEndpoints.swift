import Access
import ControlPlane
import Domain
import HTTPModel
import Storage

/// Environments of cell nodes. `default` is the server's own, which belongs to no folder.
enum EnvironmentEndpoints {
  static func list(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("folder", "page_size", "page_token")
    let service = try service(api)
    var records = try await api.store.environments().filter { call.sees($0.folderID) }
    if let name = call.query["folder"] {
      let folder = try await FolderEndpoints.find(name, field: "folder", api)
      records.removeAll { $0.folderID != folder.id }
    }
    let (page, next) = try Paging.page(records, call, key: \.id.text)
    var items: [EnvironmentResource] = []
    if call.query["page_token"] == nil {
      var standard = try await service.standard()
      standard.packages = []
      items.append(standard)
    }
    for record in page { items.append(try await service.resource(record, full: false)) }
    return try Answer.json(ListResource(items: items, nextPageToken: next))
  }

  static func create(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery()
    let request = try call.body(CreateEnvironmentRequest.self)
    let folder = try await FolderEndpoints.find(request.folder ?? "default", field: "folder", api)
    try call.require(.develop, on: folder.id)
    let operation = try await service(api).create(request, folder: folder, by: call.subject)
    try await Audit.record("CreateEnvironment", operation.resourceID, call, api)
    return try await OperationEndpoints.started(operation, call, api)
  }

  static func get(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("folder")
    let service = try service(api)
    guard let record = try await find(call, .view, api) else {
      return try Answer.json(try await service.standard())
    }
    return try Answer.json(try await service.resource(record, full: true))
  }

  static func delete(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("folder")
    guard let record = try await find(call, .develop, api) else {
      throw PlatformError(
        .failedPrecondition, "environment: 'default' is the server's own and can't be deleted",
        origin: .caller)
    }
    try await service(api).delete(record)
    try await Audit.record("DeleteEnvironment", record.id.text, call, api)
    return Answer.empty()
  }

  static func logs(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("folder", "after", "tail", "wait")
    let tail = try call.number("tail", default: 1000, in: 0...10_000)
    let wait = try call.number("wait", default: 0, in: 0...60)
    guard let record = try await find(call, .view, api) else {
      throw PlatformError(
        .notFound, "environment: 'default' is the server's own and was not made here", origin: .caller)
    }
    let service = try service(api)
    let deadline = ContinuousClock.now + .seconds(wait)
    while true {
      let page = try await service.log(of: record.id, after: call.query["after"], tail: tail)
      let goesOn = try await api.store.environment(record.id)?.status == .building
      guard page.lines.isEmpty, call.query["after"] != nil, goesOn, ContinuousClock.now < deadline,
        !Task.isCancelled
      else { return try Answer.json(page) }
      try? await Task.sleep(for: .milliseconds(200))
    }
  }

  /// How an environment fits a checkpoint.
  static func check(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("folder")
    let request = try call.body(CheckEnvironmentRequest.self)
    let record = try await find(call, .view, api)
    if let record, record.status != .ready {
      throw PlatformError(
        .failedPrecondition, "environment: '\(record.name)' is \(record.status.rawValue), not READY",
        origin: .caller, field: "environment")
    }
    let checkpoint = try await CheckpointEndpoints.find(
      request.checkpoint, project: request.project, call, .view, api)
    let manifest = try await CheckpointReader(store: api.store, blobs: api.world.blobs).manifest(
      of: checkpoint)
    let findings = try await api.world.findings(
      manifest, record, inputs: [], outputs: [], restoresAll: false)
    return try Answer.json(
      EnvironmentCheckResource(
        environment: record?.name ?? EnvironmentService.standardName,
        checkpoint: checkpoint.name ?? checkpoint.id.text,
        fits: !findings.contains { $0.kind == .missing }, findings: findings))
  }

  // MARK: Parts

  private static func service(_ api: APIWorld) throws(PlatformError) -> EnvironmentService {
    guard let service = api.environments else {
      throw PlatformError(.unimplemented, "this server makes no environments", origin: .caller)
    }
    return service
  }

  /// By id, or by name in the folder of the query, else in those that the caller sees; nil is the server's own.
  private static func find(_ call: Call, _ permission: Permission, _ api: APIWorld)
    async throws(PlatformError) -> EnvironmentRecord?
  {
    let text = call.segments[0]
    if text == EnvironmentService.standardName || text == EnvironmentService.standardID?.text { return nil }
    var folder: FolderID?
    if let name = call.query["folder"] {
      folder = try await FolderEndpoints.find(name, field: "folder", api).id
    }
    let all = try await api.store.environments()
    let named = all.filter {
      $0.name == text && call.sees($0.folderID) && $0.folderID == folder ?? $0.folderID
    }
    guard let found = all.first(where: { $0.id.text == text }) ?? named.first else {
      throw PlatformError(
        .notFound, "environment: no environment '\(text)'; list them with: roost environment list",
        origin: .caller, field: "environment")
    }
    guard named.count <= 1 else {
      throw .invalid(
        "folder", "folder: several folders have an environment '\(text)'; name one, or give the id")
    }
    try call.require(permission, on: found.folderID)
    return found
  }
}
