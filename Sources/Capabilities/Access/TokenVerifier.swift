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

  public init(subject: String, tokenID: String, expiresAt: Timestamp, mayOnlyCall: Bool = false) {
    self.subject = subject
    self.tokenID = tokenID
    self.expiresAt = expiresAt
    self.mayOnlyCall = mayOnlyCall
  }
}

/// Judges bearer tokens without I/O. Verdicts may be cached until the principal's `expiresAt`.
public protocol TokenVerifier: Sendable {
  /// Throws `unauthenticated` that says what is wrong: malformed, foreign signature, expired, not yet valid.
  func verify(_ token: [UInt8], at now: Timestamp) throws(PlatformError) -> Principal
}
