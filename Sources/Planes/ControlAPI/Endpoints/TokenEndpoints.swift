import Access
import ControlPlane
import Domain
import HTTPModel
import Storage

/// IAM tokens of this server.
enum TokenEndpoints {
  static func list(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("page_size", "page_token")
    let all = try await api.store.liveTokens(at: api.world.now(), subject: call.subject)
    return try Paging.answer(all, call, key: \.id) { TokenResource($0) }
  }

  static func create(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    let request = try call.body(CreateTokenRequest.self)
    return try Answer.json(try await issue(request, call, api), status: 201)
  }

  /// Makes a token for the caller, or for a service account in whose folder the caller is an admin.
  static func issue(_ request: CreateTokenRequest, _ call: Call, _ api: APIWorld) async throws(PlatformError)
    -> TokenResource
  {
    let subject = try await subject(request.serviceAccount, call, api)
    let now = api.world.now()
    let issued = try api.authority.issue(subject: subject, ttl: .seconds(request.ttlSeconds ?? 3600), at: now)
    let record = TokenRecord(
      id: issued.principal.tokenID, subject: subject, createdAt: now, expiresAt: issued.principal.expiresAt,
      revokedAt: nil, description: request.description ?? "")
    try await api.store.addToken(record)
    try await Audit.record("CreateIamToken", record.id, call, api)
    var resource = TokenResource(record)
    resource.iamToken = issued.token
    return resource
  }

  static func revoke(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    let id = call.segments[0]
    let now = api.world.now()
    guard try await api.store.liveTokens(at: now).contains(where: { $0.id == id }) else {
      throw PlatformError(.notFound, "token: no live token '\(id)'", origin: .caller)
    }
    if try await !api.store.liveTokens(at: now, subject: call.subject).contains(where: { $0.id == id }) {
      try requireAdmin(call)
    }
    try await api.store.revokeToken(id, at: now)
    api.exchange.revoked(tokenID: id)
    try await Audit.record("RevokeIamToken", id, call, api)
    await api.fleet.accessChanged()
    return Answer.empty()
  }

  private static func subject(_ name: String?, _ call: Call, _ api: APIWorld) async throws(PlatformError)
    -> String
  {
    guard let name, name != call.subject else { return call.subject }
    let account = try await ServiceAccountEndpoints.find(name, api)
    // A token for somebody else is all their rights.
    try call.require(.administer, on: account.folderID)
    return account.id.text
  }

  private static func requireAdmin(_ call: Call) throws(PlatformError) {
    guard call.bindings.contains(where: { $0.role == .admin }) else {
      throw PlatformError(
        .permissionDenied, "revoking another's token needs the role 'admin'", origin: .caller)
    }
  }
}

extension TokenResource {
  init(_ record: TokenRecord) {
    self.init(
      id: record.id, subject: record.subject, createdAt: record.createdAt, expiresAt: record.expiresAt,
      description: record.description)
  }
}
