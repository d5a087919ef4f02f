public import Domain
internal import Synchronization

/// The authorized keys of service accounts, ready to judge assertions without I/O.
///
/// What `remove` has returned from accepts nothing any more.
public final class AuthorizedKeys: Sendable {
  /// Who signed a good assertion.
  public struct Signer: Sendable, Hashable {
    public var keyID: String
    /// Service account id.
    public var subject: String

    public init(keyID: String, subject: String) {
      self.keyID = keyID
      self.subject = subject
    }
  }

  private struct Entry {
    var subject: String
    var key: PublicKey
    /// The last token that was made for the key, and when.
    var token: IssuedToken?
  }

  /// A token that may be given again for a while.
  public struct IssuedToken: Sendable, Hashable {
    public var token: String
    public var tokenID: String
    public var issuedAt: Timestamp
    public var expiresAt: Timestamp

    public init(token: String, tokenID: String, issuedAt: Timestamp, expiresAt: Timestamp) {
      self.token = token
      self.tokenID = tokenID
      self.issuedAt = issuedAt
      self.expiresAt = expiresAt
    }
  }

  private let audiences: AssertionAudiences
  private let entries = Mutex<[String: Entry]>([:])

  /// `endpoints`: names (`host` or `host:port`) that assertions may be made for; empty: any name, since each
  /// key is known to one server only.
  public init(endpoints: [String] = []) { audiences = AssertionAudiences(endpoints: endpoints) }

  /// Adds a key, or puts it in the place of the one with its id. Throws `invalidArgument` for what is no RSA key.
  public func add(id: String, subject: String, publicPEM: String) throws(PlatformError) {
    let entry = Entry(subject: subject, key: try PublicKey(pem: publicPEM))
    entries.withLock { $0[id] = entry }
  }

  public func remove(id: String) { entries.withLock { _ = $0.removeValue(forKey: id) } }

  /// Removes all keys of a service account.
  public func remove(subject: String) {
    entries.withLock { entries in entries = entries.filter { $0.value.subject != subject } }
  }

  /// Judges a JWT that a key signed (PS256). Throws `unauthenticated` that says what is wrong with it.
  public func verify(_ jwt: String, at now: Timestamp) throws(PlatformError) -> Signer {
    let assertion = try SignedAssertion(jwt)
    guard let entry = entries.withLock({ $0[assertion.keyID] }) else {
      throw SignedAssertion.refusal(
        "the key '\(assertion.keyID.prefix(32))' (kid) is unknown here or was deleted; list keys with 'roost key list'"
      )
    }
    guard entry.key.isPS256(assertion.signature, of: assertion.message) else {
      throw SignedAssertion.refusal("the signature is not one of key \(assertion.keyID)")
    }
    try assertion.judge(subject: entry.subject, audiences: audiences, at: now)
    return Signer(keyID: assertion.keyID, subject: entry.subject)
  }

  /// The last token of a key that was kept; nil when there is none.
  public func token(of signer: Signer) -> IssuedToken? {
    entries.withLock { $0[signer.keyID].flatMap { $0.subject == signer.subject ? $0.token : nil } }
  }

  /// Keeps a token, unless its key has gone meanwhile.
  public func keep(_ token: IssuedToken, of signer: Signer) {
    entries.withLock { entries in
      guard entries[signer.keyID]?.subject == signer.subject else { return }
      entries[signer.keyID]?.token = token
    }
  }

  /// Gives a revoked token to nobody again.
  public func forget(tokenID: String) {
    entries.withLock { entries in
      for (id, entry) in entries where entry.token?.tokenID == tokenID { entries[id]?.token = nil }
    }
  }
}
