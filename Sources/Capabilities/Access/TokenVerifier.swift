public import Domain

/// Who calls: the result of a good token.
public struct Principal: Sendable, Hashable {
  /// Service account id.
  public var subject: String
  /// Token id (`jti`), what a revocation names.
  public var tokenID: String
  public var expiresAt: Timestamp
  /// An API key that is good for calling nodes only.
  public var mayOnlyCall: Bool
  /// Of a browser's session: the id of the only node that it is good for.
  public var node: String?

  public init(
    subject: String, tokenID: String, expiresAt: Timestamp, mayOnlyCall: Bool = false, node: String? = nil
  ) {
    self.subject = subject
    self.tokenID = tokenID
    self.expiresAt = expiresAt
    self.mayOnlyCall = mayOnlyCall
    self.node = node
  }
}

/// Judges bearer tokens without I/O. Verdicts may be cached until the principal's `expiresAt`.
public protocol TokenVerifier: Sendable {
  /// Throws `unauthenticated` that says what is wrong: malformed, foreign signature, expired, not yet valid.
  func verify(_ token: [UInt8], at now: Timestamp) throws(PlatformError) -> Principal
  /// Judges the cookie of a browser's session, which is never good as a token, nor a token as a session. The
  /// principal's `node` is set. Throws `unauthenticated`.
  func verifySession(_ session: [UInt8], at now: Timestamp) throws(PlatformError) -> Principal
}
