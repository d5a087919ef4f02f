public import Domain

/// Issues and judges the tokens of this server: JWTs (RFC 7519) signed with one Ed25519 key.
///
/// They come with each request, in HTTP/2 compressed anew each time (RFC 7541, 7.1.3): nothing in them says what another
/// part or the signature says already. The key tells who issued one, `iat` from when on it is good; a header without a
/// type is that of a token.
public struct TokenAuthority: TokenVerifier {
  /// Longest life of a token.
  public static let maximumTTL = Duration.seconds(12 * 3600)
  /// How far the clock that issued a token may be ahead of the one that judges it.
  public static let allowedSkew = Duration.seconds(60)
  /// In tokens of former versions.
  private static let issuer = "roost"
  private static let maximumBytes = 4096

  private static let algorithm = "EdDSA"
  private static let tokenType = "JWT"
  /// Another type than that of tokens: neither can ever be taken for the other.
  private static let sessionType = "session+jwt"

  private let key: SigningKey

  /// Takes a private key in PEM (PKCS#8), as `privateKeyPEM()` writes it.
  public init(privateKeyPEM: String) throws(PlatformError) {
    self.init(key: try SigningKey(pem: privateKeyPEM))
  }

  /// Makes an authority with a new key; keep `privateKeyPEM()` in a file with mode 0600.
  public static func generate() throws(PlatformError) -> TokenAuthority {
    TokenAuthority(key: try SigningKey.generate())
  }

  private init(key: SigningKey) { self.key = key }

  /// The private key, to be kept.
  public func privateKeyPEM() throws(PlatformError) -> String { try key.pem() }

  /// Makes a token for a service account. `principal.tokenID` is what a revocation names.
  public func issue(
    subject: String, ttl: Duration, at now: Timestamp
  ) throws(PlatformError) -> (token: String, principal: Principal) {
    guard ttl >= .seconds(1), ttl <= Self.maximumTTL else {
      throw .invalid(
        "ttl", "ttl: a token lives from 1 second to 12 hours; ask for at most 12h (43200 seconds)")
    }
    let identifier = Identifier<TokenKeyKind>.random().text
    let issued = now.seconds
    let expires = issued + ttl.components.seconds
    let token = try sign(
      ["alg": .string(Self.algorithm)],
      [
        "sub": .string(subject), "jti": .string(identifier), "iat": .integer(issued),
        "exp": .integer(expires),
      ])
    let principal = Principal(subject: subject, tokenID: identifier, expiresAt: Timestamp(seconds: expires))
    return (token, principal)
  }

  /// Makes what a browser keeps as a cookie for one node: it ends with the credential that it was made for, has that
  /// one's id, so that revoking that one ends it too, and is good for nothing but calling the node.
  public func issueSession(
    for principal: Principal, node: String, at now: Timestamp
  ) throws(PlatformError) -> (session: String, principal: Principal) {
    let issued = now.seconds
    let expires = min(issued + Self.maximumTTL.components.seconds, principal.expiresAt.seconds)
    let session = try sign(
      ["alg": .string(Self.algorithm), "typ": .string(Self.sessionType)],
      [
        "sub": .string(principal.subject), "jti": .string(principal.tokenID), "aud": .string(node),
        "iat": .integer(issued), "exp": .integer(expires),
      ])
    return (
      session,
      Principal(
        subject: principal.subject, tokenID: principal.tokenID, expiresAt: Timestamp(seconds: expires),
        mayOnlyCall: true, node: node)
    )
  }

  private func sign(
    _ header: KeyValuePairs<String, FlatJSON.Value>, _ claims: KeyValuePairs<String, FlatJSON.Value>
  ) throws(PlatformError) -> String {
    let message = [header, claims].map { Base64URL.encode(FlatJSON.encode($0).utf8) }.joined(separator: ".")
    return "\(message).\(Base64URL.encode(try key.sign(Array(message.utf8))))"
  }

  public func verify(_ token: [UInt8], at now: Timestamp) throws(PlatformError) -> Principal {
    try judge(try claims(of: token, type: Self.tokenType), at: now)
  }

  /// Whose token this is, be it still good or not. Throws as `verify` does for what is no token of this server.
  public func identify(_ token: [UInt8]) throws(PlatformError) -> Principal {
    try principal(try claims(of: token, type: Self.tokenType)).0
  }

  public func verifySession(_ session: [UInt8], at now: Timestamp) throws(PlatformError) -> Principal {
    let claims = try claims(of: session, type: Self.sessionType)
    guard let node = claims.string("aud"), !node.isEmpty else { throw Self.malformed("it names no node") }
    var principal = try judge(claims, at: now)
    principal.mayOnlyCall = true
    principal.node = node
    return principal
  }

  /// What a token says, once its signature was found good.
  private func claims(of token: [UInt8], type: String) throws(PlatformError) -> FlatJSON {
    guard !token.isEmpty else { throw Self.refusal("the token is empty") }
    guard token.count <= Self.maximumBytes else { throw Self.malformed("it is longer than 4096 bytes") }
    let parts = token.split(separator: 0x2e, omittingEmptySubsequences: false)
    guard parts.count == 3 else {
      throw Self.malformed("it has \(parts.count) parts, a JWT has 3 (an API key begins with roost_)")
    }
    guard let headerBytes = Base64URL.decode(parts[0]), let header = FlatJSON(headerBytes) else {
      throw Self.malformed("its header is not base64url of a JSON object")
    }
    try checkHeader(header, type)
    guard let signature = Base64URL.decode(parts[2]), signature.count == SigningKey.signatureBytes else {
      throw Self.malformed("its signature is not 64 bytes in base64url")
    }
    guard key.isSignature(signature, of: Array(token[..<parts[1].endIndex])) else {
      throw Self.refusal("the token's signature is wrong: it was changed or made by another server")
    }
    guard let claimBytes = Base64URL.decode(parts[1]), let claims = FlatJSON(claimBytes) else {
      throw Self.malformed("its claims are not base64url of a JSON object of texts and integers")
    }
    return claims
  }

  private func checkHeader(_ header: FlatJSON, _ type: String) throws(PlatformError) {
    guard let algorithm = header.string("alg") else { throw Self.malformed("its header has no 'alg'") }
    guard algorithm == Self.algorithm else {
      throw Self.refusal(
        "the token's algorithm is '\(algorithm.prefix(16))'; this server accepts \(Self.algorithm) only")
    }
    let named = header.string("typ") ?? (header.members["typ"] == nil ? Self.tokenType : "")
    guard named == type, header.members["crit"] == nil else {
      throw Self.malformed("its header has a 'typ' or 'crit' that this server does not know")
    }
    guard header.members["kid"] == nil || header.string("kid") == key.id else {
      throw Self.refusal("the token was made by another server (its key is unknown here)")
    }
  }

  private func judge(_ claims: FlatJSON, at now: Timestamp) throws(PlatformError) -> Principal {
    let (principal, validFrom) = try principal(claims)
    guard now < principal.expiresAt else { throw Self.refusal("the token expired at \(principal.expiresAt)") }
    guard now + Self.allowedSkew >= validFrom else {
      throw Self.refusal(
        "the token is valid from \(validFrom), the server's clock says \(now); set the clock right")
    }
    return principal
  }

  /// Who is meant, and from when on.
  private func principal(_ claims: FlatJSON) throws(PlatformError) -> (Principal, validFrom: Timestamp) {
    guard let subject = claims.string("sub"), !subject.isEmpty,
      let identifier = claims.string("jti"), !identifier.isEmpty,
      let issued = claims.integer("iat"), let expires = claims.integer("exp"),
      let notBefore = claims.members["nbf"] == nil ? issued : claims.integer("nbf"),
      claims.members["iss"] == nil || claims.string("iss") == Self.issuer,
      Self.plausible.contains(expires), Self.plausible.contains(notBefore)
    else { throw Self.malformed("it lacks one of the claims sub, jti, iat, exp, or one is wrong") }
    return (
      Principal(subject: subject, tokenID: identifier, expiresAt: Timestamp(seconds: expires)),
      Timestamp(seconds: notBefore)
    )
  }

  /// Seconds up to the year 9999: arithmetic with them can't overflow.
  private static let plausible: ClosedRange<Int64> = 0...253_402_300_799

  private static func malformed(_ reason: String) -> PlatformError {
    refusal("the token is malformed: \(reason)")
  }

  private static func refusal(_ reason: String) -> PlatformError {
    PlatformError(
      .unauthenticated, "\(reason); make a new one with 'roost token create'", origin: .caller,
      field: "authorization")
  }
}

/// Token ids look like other ids of the platform.
private enum TokenKeyKind: IdentifiedKind { static let kind = ResourceKind.key }
