import Access
import ControlPlane
import Domain
import HTTPModel
import Storage

/// Saved models of projects.
enum ModelEndpoints {
  static func create(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    let project = try await ProjectEndpoints.find(call.segments[0], .develop, call, api)
    let request = try call.body(CreateModelRequest.self)
    guard Digest.isWellFormed(request.digest) else {
      throw .invalid(
        "digest", "digest: '\(request.digest.prefix(100))' is not sha256:<64 lower-case hex digits>")
    }
    let record = try await api.models.create(request, project: project, by: call.subject)
    try await Audit.record("CreateModel", record.id.text, call, api)
    return try Answer.json(try await api.models.resource(record), status: 201)
  }

  static func list(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("project", "page_size", "page_token")
    let project = try await ProjectEndpoints.find(call.query["project"] ?? "default", .view, call, api)
    let page = try await api.store.models(
      project: project.id, after: call.query["page_token"], limit: try Paging.size(call))
    var items: [ModelResource] = []
    for record in page.items { items.append(try await api.models.resource(record)) }
    return try Answer.json(ListResource(items: items, nextPageToken: page.next))
  }

  static func get(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("project")
    return try Answer.json(try await api.models.resource(try await find(call, .view, api)))
  }

  /// A part of the file.
  static func content(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("project", "offset", "count")
    let record = try await find(call, .view, api)
    let offset = try call.number("offset", default: 0, in: 0...Int.max)
    let count = try call.number("count", default: BlobEndpoints.chunkBytes, in: 1...BlobEndpoints.chunkBytes)
    let bytes = try await api.world.blobs.read(record.digest, from: Int64(offset), count: count)
    return HTTPResponse(
      status: 200, headers: [(name: "content-type", value: "application/octet-stream")], body: bytes)
  }

  static func delete(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("project")
    let record = try await find(call, .develop, api)
    try await api.models.delete(record)
    try await Audit.record("DeleteModel", record.id.text, call, api)
    return Answer.empty()
  }

  /// A model by id, or by name in the project of the query (default: `default`).
  private static func find(
    _ call: Call, _ permission: Permission, _ api: APIWorld
  ) async throws(PlatformError) -> ModelRecord {
    let text = call.segments[0]
    if let id = ModelID(text), let found = try await api.store.model(id) {
      guard let project = try await api.store.project(found.projectID) else {
        throw PlatformError(.dataLoss, "model \(id) has no project")
      }
      try call.require(permission, on: project.folderID)
      return found
    }
    let project = try await ProjectEndpoints.find(call.query["project"] ?? "default", permission, call, api)
    guard let found = try await api.store.model(called: text, in: project.id) else {
      throw PlatformError(
        .notFound,
        "model: no model '\(text)' in project '\(project.name)'; list them with: roost model list",
        origin: .caller, field: "model")
    }
    return found
  }
}
