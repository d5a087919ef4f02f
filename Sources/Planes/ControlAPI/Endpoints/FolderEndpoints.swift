import Access
import ControlPlane
import Domain
import HTTPModel
import Storage

/// Folders: the owners of nodes.
enum FolderEndpoints {
  static func list(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("page_size", "page_token")
    let page = try await api.store.folders(after: call.query["page_token"], limit: try Paging.size(call))
    return try Paging.answer(page, visible: { call.sees($0.id) }, item: { FolderResource($0) })
  }

  static func create(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    let request = try call.body(CreateFolderRequest.self)
    try ResourceName.check(request.name)
    // A new folder belongs to an admin of any folder: there is nothing above folders to hold a role on.
    guard call.bindings.contains(where: { $0.role == .admin }) else {
      throw PlatformError(
        .permissionDenied, "creating a folder needs the role 'admin' on some folder", origin: .caller)
    }
    let record = FolderRecord(id: .random(), name: request.name, createdAt: api.world.now())
    try await api.store.createFolder(record)
    try await api.store.grant(
      GrantRecord(subject: call.subject, role: Role.admin.rawValue, folderID: record.id))
    try await Audit.record("CreateFolder", record.id.text, call, api)
    await api.fleet.accessChanged()
    return try Answer.json(FolderResource(record), status: 201)
  }

  /// A folder by id or name.
  static func find(_ text: String, field: String, _ api: APIWorld) async throws(PlatformError) -> FolderRecord
  {
    do throws(PlatformError) { return try await api.store.folder(named: text) } catch
      where error.code == .notFound
    {
      throw PlatformError(
        .notFound, "\(field): no folder '\(text)'; list them with: roost folder list", origin: .caller,
        field: field)
    }
  }
}

extension FolderResource {
  init(_ record: FolderRecord) { self.init(id: record.id, name: record.name, createdAt: record.createdAt) }
}
