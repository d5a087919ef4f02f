import Access
import ControlPlane
import Domain
import HTTPModel
import Storage

/// Projects: the owners of checkpoints.
enum ProjectEndpoints {
  static func list(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("page_size", "page_token")
    let page = try await api.store.projects(after: call.query["page_token"], limit: try Paging.size(call))
    return try Paging.answer(page, visible: { call.sees($0.folderID) }, item: { ProjectResource($0) })
  }

  static func create(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    let request = try call.body(CreateProjectRequest.self)
    try ResourceName.check(request.name)
    let folder = try await FolderEndpoints.find(request.folderId ?? "default", field: "folderId", api)
    try call.require(.edit, on: folder.id)
    let record = ProjectRecord(
      id: .random(), folderID: folder.id, name: request.name, createdAt: api.world.now(),
      unpinnedLimit: try limit(request.unpinnedLimit ?? 10, "unpinnedLimit"),
      pinnedLimit: try limit(request.pinnedLimit ?? 10, "pinnedLimit"))
    try await api.store.createProject(record)
    try await Audit.record("CreateProject", record.id.text, call, api)
    return try Answer.json(ProjectResource(record), status: 201)
  }

  static func get(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try Answer.json(ProjectResource(try await find(call.segments[0], .view, call, api)))
  }

  static func update(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("update_mask")
    var record = try await find(call.segments[0], .edit, call, api)
    let request = try call.body(UpdateProjectRequest.self)
    for field in try UpdateMask.fields(call, known: ["name", "unpinnedLimit", "pinnedLimit"]) {
      switch field {
      case "name":
        let name = request.name ?? ""
        try ResourceName.check(name)
        record.name = name
      case "unpinnedLimit": record.unpinnedLimit = try limit(request.unpinnedLimit ?? 10, field)
      default: record.pinnedLimit = try limit(request.pinnedLimit ?? 10, field)
      }
    }
    _ = try await api.store.updateProject(record)
    try await Audit.record("UpdateProject", record.id.text, call, api)
    return try Answer.json(ProjectResource(record))
  }

  /// A project by id or name that the caller may see with this role.
  static func find(_ text: String, _ permission: Permission, _ call: Call, _ api: APIWorld)
    async throws(PlatformError) -> ProjectRecord
  {
    let found: ProjectRecord
    do throws(PlatformError) { found = try await api.store.project(named: text) } catch
      where error.code == .notFound
    {
      throw PlatformError(
        .notFound, "project: no project '\(text)'; list them with: roost project list", origin: .caller,
        field: "project")
    }
    try call.require(permission, on: found.folderID)
    return found
  }

  private static func limit(_ value: Int, _ field: String) throws(PlatformError) -> Int {
    guard (1...1000).contains(value) else {
      throw .invalid(field, "\(field): \(value) must be from 1 to 1000")
    }
    return value
  }
}

extension ProjectResource {
  init(_ record: ProjectRecord) {
    self.init(
      id: record.id, folderId: record.folderID, name: record.name, createdAt: record.createdAt,
      unpinnedLimit: record.unpinnedLimit, pinnedLimit: record.pinnedLimit)
  }
}
