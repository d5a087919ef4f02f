public import Access
public import Domain
public import Storage

/// Gives service accounts IAM tokens for JWTs that their authorized keys signed.
///
/// Made to be called all the time (stock clients come every 20 seconds): the keys are in memory, and a key gets the
/// same token for some minutes, so that most calls cost one signature check and no write.
public final class TokenExchange: Sendable {
  /// How long the same token is given again.
  private static let reuse = Duration.seconds(600)

  private let store: Store
  private let authority: TokenAuthority
  private let keys: AuthorizedKeys
  private let now: @Sendable () -> Timestamp

  /// `endpoints`: what the audience of a JWT may name, as `host` or `host:port`; empty: any host.
  public init(
    store: Store, authority: TokenAuthority, endpoints: [String] = [],
    now: @escaping @Sendable () -> Timestamp
  ) {
    self.store = store
    self.authority = authority
    self.now = now
    keys = AuthorizedKeys(endpoints: endpoints)
  }

  /// Reads the keys of the store. Call once, before anything is served.
  public func load() async throws(PlatformError) {
    for record in try await store.authorizedKeys() { try add(record) }
  }

  /// Judges the JWT and answers with a token of its service account. Throws `unauthenticated` that says what is wrong,
  /// `invalidArgument` for what is no JWT.
  public func exchange(jwt: String) async throws(PlatformError) -> ExchangedTokenResource {
    let now = now()
    let signer = try keys.verify(jwt, at: now)
    if let token = keys.token(of: signer), now < token.issuedAt + Self.reuse, now >= token.issuedAt {
      return ExchangedTokenResource(iamToken: token.token, expiresAt: token.expiresAt)
    }
    let issued = try authority.issue(subject: signer.subject, ttl: TokenAuthority.maximumTTL, at: now)
    let principal = issued.principal
    let record = TokenRecord(
      id: principal.tokenID, subject: signer.subject, createdAt: now, expiresAt: principal.expiresAt,
      description: "authorized key \(signer.keyID)")
    // The store decides whether the key still exists: it may have been deleted since it was looked up.
    guard try await store.addToken(record, exchangedBy: signer.keyID) else {
      throw PlatformError(
        .unauthenticated, "jwt: the key '\(signer.keyID)' (kid) was deleted", origin: .caller, field: "jwt")
    }
    keys.keep(
      AuthorizedKeys.IssuedToken(
        token: issued.token, tokenID: principal.tokenID, issuedAt: now, expiresAt: principal.expiresAt),
      of: signer)
    return ExchangedTokenResource(iamToken: issued.token, expiresAt: principal.expiresAt)
  }

  /// Answers the body of the token service: exactly one of a JWT and an OAuth token, of which only the first is taken.
  public func exchange(jwt: String?, oauthToken: String?) async throws(PlatformError)
    -> ExchangedTokenResource
  {
    switch (jwt, oauthToken) {
    case (let jwt?, nil): return try await exchange(jwt: jwt)
    case (nil, _?):
      throw PlatformError(
        .invalidArgument,
        "yandexPassportOauthToken: this server has no OAuth accounts; send 'jwt', signed with an authorized key (roost key create)",
        origin: .caller, field: "yandexPassportOauthToken")
    case (nil, nil):
      throw .invalid("jwt", "jwt: missing; send a JWT signed with an authorized key (roost key create)")
    case (_?, _?):
      throw .invalid("jwt", "jwt: send either 'jwt' or 'yandexPassportOauthToken', not both")
    }
  }

  // MARK: What the endpoints of keys tell it

  func add(_ record: AuthorizedKeyRecord) throws(PlatformError) {
    try keys.add(id: record.id.text, subject: record.serviceAccountID.text, publicPEM: record.publicKey)
  }

  func removed(key: KeyID) { keys.remove(id: key.text) }
  func removed(account: ServiceAccountID) { keys.remove(subject: account.text) }
  func revoked(tokenID: String) { keys.forget(tokenID: tokenID) }
}
