public import Access
import ControlPlane
public import Domain
import HTTPModel
public import Storage

/// API keys of service accounts.
enum APIKeyEndpoints {
  /// Ten years.
  private static let maximumTTL = 315_360_000

  static func list(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("page_size", "page_token")
    let account = try await ServiceAccountEndpoints.find(call.segments[0], api)
    try call.require(.view, on: account.folderID)
    let all = try await api.store.apiKeys(of: account.id)
    return try Paging.answer(all, call, key: \.id.text) { APIKeyResource($0) }
  }

  static func create(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    let request = try call.body(CreateAPIKeyRequest.self)
    let account = try await ServiceAccountEndpoints.find(call.segments[0], api)
    // A key may be all the rights of its account.
    try call.require(.administer, on: account.folderID)
    let scope = try request.scope.map { (name) throws(PlatformError) in try APIKeyScope.named(name) } ?? .call
    let now = api.world.now()
    var end: Timestamp?
    if let seconds = request.ttlSeconds {
      guard (1...maximumTTL).contains(seconds) else {
        throw .invalid("ttlSeconds", "ttlSeconds: \(seconds) must be from 1 to \(maximumTTL)")
      }
      end = now + .seconds(seconds)
    }
    let secret = try APIKeys.makeSecret()
    let record = APIKeyRecord(
      id: .random(), serviceAccountID: account.id, description: request.description ?? "",
      scope: scope.rawValue, secretHash: APIKeys.hash(secret.utf8), createdAt: now, expiresAt: end)
    try await api.store.addKey(record)
    record.enter(api.apiKeys)
    try await Audit.record("CreateApiKey", record.id.text, call, api)
    var resource = APIKeyResource(record)
    resource.secret = secret
    return try Answer.json(resource, status: 201)
  }

  static func delete(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    let account = try await ServiceAccountEndpoints.find(call.segments[0], api)
    try call.require(.administer, on: account.folderID)
    let id = call.segments[1]
    try await api.store.deleteAPIKey(id, of: account.id, at: api.world.now())
    api.apiKeys.remove(id: id)
    try await Audit.record("DeleteApiKey", id, call, api)
    await api.fleet.accessChanged()
    return Answer.empty()
  }
}

/// What a start does with API keys.
public enum APIKeyStart {
  /// Enters the keys of the store. Call once, before anything is served.
  public static func load(_ keys: APIKeys, _ store: Store) async throws(PlatformError) {
    try await store.forgetDeletedAPIKeys()
    for record in try await store.apiKeys() { record.enter(keys) }
  }
}

extension APIKeyRecord {
  fileprivate func enter(_ keys: APIKeys) {
    keys.add(
      id: id.text, subject: serviceAccountID.text, hash: secretHash,
      // A scope that this version doesn't know gives the least.
      scope: APIKeyScope(rawValue: scope) ?? .call, expiresAt: expiresAt)
  }
}

extension APIKeyResource {
  init(_ record: APIKeyRecord) {
    self.init(
      id: record.id, serviceAccountId: record.serviceAccountID, createdAt: record.createdAt,
      description: record.description.isEmpty ? nil : record.description, scope: record.scope,
      expiresAt: record.expiresAt)
  }
}
