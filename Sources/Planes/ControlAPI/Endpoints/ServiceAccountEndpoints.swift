import Access
import ControlPlane
import Domain
import HTTPModel
import Storage

/// Service accounts and their roles.
enum ServiceAccountEndpoints {
  static func list(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("page_size", "page_token")
    let page = try await api.store.serviceAccounts(
      after: call.query["page_token"], limit: try Paging.size(call))
    var items: [ServiceAccountResource] = []
    for record in page.items where call.sees(record.folderID) {
      items.append(try await resource(record, api))
    }
    return try Answer.json(ListResource(items: items, nextPageToken: page.next))
  }

  static func create(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    let request = try call.body(CreateServiceAccountRequest.self)
    try ResourceName.check(request.name)
    let folder = try await FolderEndpoints.find(request.folderId ?? "default", field: "folderId", api)
    try call.require(.administer, on: folder.id)
    let role: Role? = if let text = request.role { try Role.named(text) } else { nil }
    let record = ServiceAccountRecord(
      id: .random(), folderID: folder.id, name: request.name, createdAt: api.world.now())
    try await api.store.createServiceAccount(record)
    if let role {
      try await api.store.grant(
        GrantRecord(subject: record.id.text, role: role.rawValue, folderID: folder.id))
    }
    try await Audit.record("CreateServiceAccount", record.id.text, call, api)
    await api.fleet.accessChanged()
    return try Answer.json(try await resource(record, api), status: 201)
  }

  static func grant(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    let request = try call.body(GrantRequest.self)
    let account = try await find(call.segments[0], api)
    let folder = try await FolderEndpoints.find(request.folderId ?? "default", field: "folderId", api)
    try call.require(.administer, on: folder.id)
    let role = try Role.named(request.role)
    try await api.store.grant(GrantRecord(subject: account.id.text, role: role.rawValue, folderID: folder.id))
    try await Audit.record("AddAccessBinding", account.id.text, call, api)
    await api.fleet.accessChanged()
    return try Answer.json(try await resource(account, api))
  }

  static func delete(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    let account = try await find(call.segments[0], api)
    try call.require(.administer, on: account.folderID)
    if try await api.store.setting("operator") == account.id.text {
      throw PlatformError(
        .failedPrecondition, "service account '\(account.name)' is the operator of this server and stays",
        origin: .caller)
    }
    try await api.store.deleteServiceAccount(account.id, at: api.world.now())
    api.exchange.removed(account: account.id)
    api.apiKeys.remove(subject: account.id.text)
    try await Audit.record("DeleteServiceAccount", account.id.text, call, api)
    await api.fleet.accessChanged()
    return Answer.empty()
  }

  static func find(_ text: String, _ api: APIWorld) async throws(PlatformError) -> ServiceAccountRecord {
    try await api.store.serviceAccount(named: text)
  }

  private static func resource(
    _ record: ServiceAccountRecord, _ api: APIWorld
  ) async throws(PlatformError) -> ServiceAccountResource {
    let roles = try await api.store.grants(subject: record.id.text).map { "\($0.role) on \($0.folderID)" }
    return ServiceAccountResource(
      id: record.id, folderId: record.folderID, name: record.name, createdAt: record.createdAt, roles: roles)
  }
}
