import Access
import ControlPlane
import Domain
import HTTPModel
import Storage

/// Authorized keys of service accounts.
enum KeyEndpoints {
  static func list(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("page_size", "page_token")
    let account = try await ServiceAccountEndpoints.find(call.segments[0], api)
    try call.require(.view, on: account.folderID)
    let all = try await api.store.authorizedKeys(of: account.id)
    return try Paging.answer(all, call, key: \.id.text) { AuthorizedKeyResource($0) }
  }

  static func create(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    let request = try call.body(CreateKeyRequest.self)
    let account = try await ServiceAccountEndpoints.find(call.segments[0], api)
    // A key is all the rights of its account.
    try call.require(.administer, on: account.folderID)
    let pair = try KeyPair.generate()
    let record = AuthorizedKeyRecord(
      id: .random(), serviceAccountID: account.id, description: request.description ?? "",
      algorithm: KeyPair.algorithm, publicKey: pair.publicPEM, createdAt: api.world.now())
    try await api.store.addKey(record)
    try api.exchange.add(record)
    try await Audit.record("CreateKey", record.id.text, call, api)
    var resource = AuthorizedKeyResource(record)
    resource.privateKey = pair.privatePEM
    return try Answer.json(resource, status: 201)
  }

  static func delete(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    let account = try await ServiceAccountEndpoints.find(call.segments[0], api)
    try call.require(.administer, on: account.folderID)
    let record = try await api.store.authorizedKey(call.segments[1])
    guard record.serviceAccountID == account.id else {
      throw PlatformError(
        .notFound, "authorized key '\(record.id)' is not one of \(account.name)", origin: .caller)
    }
    try await api.store.deleteKey(record.id, at: api.world.now())
    api.exchange.removed(key: record.id)
    try await Audit.record("DeleteKey", record.id.text, call, api)
    await api.fleet.accessChanged()
    return Answer.empty()
  }
}

extension AuthorizedKeyResource {
  init(_ record: AuthorizedKeyRecord) {
    self.init(
      id: record.id, serviceAccountId: record.serviceAccountID, createdAt: record.createdAt,
      description: record.description.isEmpty ? nil : record.description, keyAlgorithm: record.algorithm,
      publicKey: record.publicKey, lastUsedAt: record.lastUsedAt)
  }
}
