import Access
import ControlPlane
import Domain
import HTTPModel
import Storage
import Wire

/// Checkpoints: registered by notebooks, pinned by people.
enum CheckpointEndpoints {
  private struct RegisterRequest: Decodable { var manifest: JSONValue }

  static func register(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    let project = try await ProjectEndpoints.find(call.segments[0], .develop, call, api)
    let body = try call.body(RegisterRequest.self)
    let bytes = body.manifest.bytes
    let manifest: CheckpointManifest
    do throws(PlatformError) { manifest = try StoredJSON.value(CheckpointManifest.self, from: bytes) } catch {
      throw .invalid("manifest", "manifest: \(error.cause.map { "\($0)" } ?? error.message)")
    }
    let record = try await api.checkpoints.register(manifest, bytes: bytes, project: project)
    return try Answer.json(try await resource(record, api, full: false), status: 201)
  }

  static func list(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("project", "pinned", "page_size", "page_token")
    let project = try await ProjectEndpoints.find(call.query["project"] ?? "default", .view, call, api)
    let pinned = call.query["pinned"]
    guard pinned == nil || pinned == "true" || pinned == "false" else {
      throw .invalid("pinned", "pinned: '\(pinned ?? "")' must be true or false")
    }
    let page = try await api.store.checkpoints(
      project: project.id, after: call.query["page_token"], limit: try Paging.size(call))
    var items: [CheckpointResource] = []
    for record in page.items where pinned == nil || (record.name != nil) == (pinned == "true") {
      items.append(try await resource(record, api, full: false))
    }
    return try Answer.json(ListResource(items: items, nextPageToken: page.next))
  }

  static func get(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("project")
    return try Answer.json(try await resource(try await find(call, .view, api), api, full: true))
  }

  static func pin(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    let record = try await find(call, .develop, api)
    let name = try call.body(PinCheckpointRequest.self).name
    try ResourceName.check(name)
    let pinned = try await api.store.pinCheckpoint(
      record.id, name: name, by: call.subject, at: api.world.now())
    try await Audit.record("PinCheckpoint", record.id.text, call, api)
    return try Answer.json(try await resource(pinned, api, full: false))
  }

  static func unpin(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    let record = try await find(call, .develop, api)
    let dropped = try await api.store.unpinCheckpoint(record.id)
    try await api.checkpoints.removed(dropped)
    try await Audit.record("UnpinCheckpoint", record.id.text, call, api)
    guard !dropped.contains(record.id), let left = try await api.store.checkpoint(record.id) else {
      return Answer.empty()
    }
    return try Answer.json(try await resource(left, api, full: false))
  }

  static func rename(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("update_mask")
    let record = try await find(call, .develop, api)
    let name = try call.body(PinCheckpointRequest.self).name
    try ResourceName.check(name)
    guard record.name != nil else {
      throw PlatformError(
        .failedPrecondition, "checkpoint \(record.id) is not pinned; only pinned ones have a name",
        origin: .caller)
    }
    let renamed = try await api.store.pinCheckpoint(
      record.id, name: name, by: call.subject, at: api.world.now())
    try await Audit.record("UpdateCheckpoint", record.id.text, call, api)
    return try Answer.json(try await resource(renamed, api, full: false))
  }

  static func delete(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    let record = try await find(call, .develop, api)
    try await api.store.deleteCheckpoint(record.id)
    try await api.checkpoints.removed([record.id])
    try await Audit.record("DeleteCheckpoint", record.id.text, call, api)
    return Answer.empty()
  }

  /// A checkpoint by id, or by the name it was pinned with in the project of the query (default: `default`).
  private static func find(_ call: Call, _ permission: Permission, _ api: APIWorld)
    async throws(PlatformError) -> CheckpointRecord
  {
    try await find(call.segments[0], project: call.query["project"], call, permission, api)
  }

  static func find(
    _ text: String, project: String?, _ call: Call, _ permission: Permission, _ api: APIWorld
  ) async throws(PlatformError) -> CheckpointRecord {
    if let id = CheckpointID(text), let found = try await api.store.checkpoint(id) {
      guard let project = try await api.store.project(found.projectID) else {
        throw PlatformError(.dataLoss, "checkpoint \(id) has no project")
      }
      try call.require(permission, on: project.folderID)
      return found
    }
    let project = try await ProjectEndpoints.find(project ?? "default", permission, call, api)
    do throws(PlatformError) { return try await api.store.checkpoint(named: text, in: project.id) } catch
      where error.code == .notFound
    {
      throw PlatformError(
        .notFound,
        "checkpoint: no checkpoint '\(text)' in project '\(project.name)'; list them with: roost checkpoint list",
        origin: .caller, field: "checkpoint")
    }
  }

  private static func resource(
    _ record: CheckpointRecord, _ api: APIWorld, full: Bool
  ) async throws(PlatformError) -> CheckpointResource {
    var resource = CheckpointResource(
      id: record.id, projectId: record.projectID, name: record.name, pinned: record.name != nil,
      createdAt: record.createdAt, pinnedAt: record.pinnedAt, pinnedBy: record.pinnedBy,
      operation: record.operation,
      cell: CheckpointCell(
        source: record.cellSource, executionCount: record.executionCount, notebook: record.notebook),
      sizeBytes: record.sizeBytes, newBytes: record.newBytes, manifestDigest: record.manifestDigest,
      errorCount: record.errorsCount)
    resource.usedBy = try await api.store.nodesUsing(record.id)
    guard full else { return resource }
    let manifest = try await CheckpointReader(store: api.store, blobs: api.world.blobs).manifest(of: record)
    resource.variables = manifest.variables.map {
      CheckpointVariable(
        name: $0.name, type: $0.type, size: $0.size, preview: $0.preview, module: $0.module,
        version: $0.version)
    }
    resource.errors = manifest.errors.map {
      CheckpointError(
        name: $0.name, type: $0.type, at: $0.where, culprit: $0.culprit, reason: $0.reason, hint: $0.hint)
    }
    resource.pythonVersion = manifest.python.version
    resource.packages = manifest.packages
    resource.example = try await api.checkpoints.example(of: record)
    return resource
  }
}
