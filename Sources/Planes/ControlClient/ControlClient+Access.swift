public import Domain

extension ControlClient {
  public func tokens() throws(ClientError) -> ListResource<TokenResource> { try all("/v1/tokens") }

  public func createToken(_ request: CreateTokenRequest) throws(ClientError) -> TokenResource {
    try send("POST", "/v1/tokens", request)
  }

  public func revokeToken(_ id: String) throws(ClientError) {
    _ = try call("DELETE", "/v1/tokens/\(Self.escaped(id))")
  }

  /// Revokes a token that is at hand; needs no other. The answer is whose it was.
  public func revoke(token: String) throws(ClientError) -> RevokedTokenResource {
    try send("POST", "/iam/v1/tokens:revoke", RevokeTokenRequest(iamToken: token))
  }

  public func serviceAccounts() throws(ClientError) -> ListResource<ServiceAccountResource> {
    try all("/v1/serviceAccounts")
  }

  public func createServiceAccount(
    _ request: CreateServiceAccountRequest
  ) throws(ClientError) -> ServiceAccountResource {
    try send("POST", "/v1/serviceAccounts", request)
  }

  public func grant(_ account: String, _ request: GrantRequest) throws(ClientError) -> ServiceAccountResource
  {
    try send("POST", "/v1/serviceAccounts/\(Self.escaped(account)):grant", request)
  }

  public func deleteServiceAccount(_ account: String) throws(ClientError) {
    _ = try call("DELETE", "/v1/serviceAccounts/\(Self.escaped(account))")
  }

  // MARK: Keys

  public func keys(of account: String) throws(ClientError) -> ListResource<AuthorizedKeyResource> {
    try all("/v1/serviceAccounts/\(Self.escaped(account))/keys")
  }

  public func createKey(
    of account: String, _ request: CreateKeyRequest
  ) throws(ClientError) -> AuthorizedKeyResource {
    try send("POST", "/v1/serviceAccounts/\(Self.escaped(account))/keys", request)
  }

  public func deleteKey(_ id: String, of account: String) throws(ClientError) {
    _ = try call("DELETE", "/v1/serviceAccounts/\(Self.escaped(account))/keys/\(Self.escaped(id))")
  }

  public func apiKeys(of account: String) throws(ClientError) -> ListResource<APIKeyResource> {
    try all("/v1/serviceAccounts/\(Self.escaped(account))/apiKeys")
  }

  public func createAPIKey(
    of account: String, _ request: CreateAPIKeyRequest
  ) throws(ClientError) -> APIKeyResource {
    try send("POST", "/v1/serviceAccounts/\(Self.escaped(account))/apiKeys", request)
  }

  public func deleteAPIKey(_ id: String, of account: String) throws(ClientError) {
    _ = try call("DELETE", "/v1/serviceAccounts/\(Self.escaped(account))/apiKeys/\(Self.escaped(id))")
  }

  // MARK: Secrets

  public func secrets(folder: String? = nil) throws(ClientError) -> ListResource<SecretResource> {
    try all("/v1/secrets", query: folder.map { [("folder", $0)] } ?? [])
  }

  /// By id or name.
  public func secret(_ key: String) throws(ClientError) -> SecretResource {
    try get("/v1/secrets/\(Self.escaped(key))")
  }

  public func createSecret(_ request: CreateSecretRequest) throws(ClientError) -> SecretResource {
    try send("POST", "/v1/secrets", request)
  }

  /// - Parameter fields: `value`, `description`.
  public func updateSecret(
    _ key: String, _ request: UpdateSecretRequest, fields: [String]
  ) throws(ClientError) -> SecretResource {
    try send(
      "PATCH", "/v1/secrets/\(Self.escaped(key))", query: [("update_mask", fields.joined(separator: ","))],
      request)
  }

  public func deleteSecret(_ key: String) throws(ClientError) {
    _ = try call("DELETE", "/v1/secrets/\(Self.escaped(key))")
  }

  /// Encrypts all values with a new master key.
  public func rotateKey() throws(ClientError) -> RotatedKeyResource {
    try send("POST", "/v1/secrets:rotateKey")
  }

  // MARK: The server

  private struct Catalogue: Decodable { var configurations: [CatalogueEntry] }

  public func configurations() throws(ClientError) -> [CatalogueEntry] {
    let catalogue: Catalogue = try get("/v1/configurations")
    return catalogue.configurations
  }

  /// What was done with a recent request.
  public func request(_ id: String) throws(ClientError) -> RequestResource {
    try get("/v1/requests/\(Self.escaped(id))")
  }

  /// The process that serves. Needs the role admin on some folder.
  public func server() throws(ClientError) -> ServerResource { try get("/v1/server", timeout: .seconds(10)) }

  /// Needs no token.
  public func version() throws(ClientError) -> VersionResource { try get("/version", timeout: .seconds(5)) }
}

/// A size that instances can have, as the server lists it.
public struct CatalogueEntry: Sendable, Codable, Equatable {
  public var name: String
  public var cpus: Double
  public var memoryBytes: Int64
  public var gpus: Int
  public var unitsPerSecond: Double
}
