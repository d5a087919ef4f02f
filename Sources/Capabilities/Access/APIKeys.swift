internal import COpenSSL
public import Domain
internal import Synchronization

/// What an API key is good for.
public enum APIKeyScope: String, Sendable, CaseIterable {
  /// Calling nodes, nothing else.
  case call
  /// All that its service account may do.
  case all

  /// Throws `invalidArgument` that lists the scopes when there is none of this name.
  public static func named(_ name: String) throws(PlatformError) -> APIKeyScope {
    if let scope = APIKeyScope(rawValue: name) { return scope }
    let known = allCases.map(\.rawValue).joined(separator: ", ")
    throw .invalid("scope", "scope: '\(name)' is not a scope; use one of \(known)")
  }
}

/// The API keys of service accounts, by the hashes of their secrets, ready to judge without I/O.
public final class APIKeys: Sendable {
  /// What a key looks like: this and 43 characters of base64url.
  public static let prefix = "roost_"
  private static let secretBytes = 32
  /// A verdict about a key without an end may be cached for ever: a deleted key is named in the routing table.
  private static let never = Timestamp(seconds: 253_402_300_799)

  private struct Entry {
    var id: String
    var subject: String
    var scope: APIKeyScope
    var expiresAt: Timestamp?
  }

  private let entries = Mutex<[String: Entry]>([:])

  public init() {}

  /// Makes a secret of 256 bits. Throws `internal` when the system gives no random numbers.
  public static func makeSecret() throws(PlatformError) -> String {
    var bytes = [UInt8](repeating: 0, count: secretBytes)
    guard RAND_bytes(&bytes, Int32(bytes.count)) == 1 else {
      throw PlatformError(.internal, "the system gave no random numbers")
    }
    return prefix + Base64URL.encode(bytes)
  }

  /// SHA-256 in hex. The secret is random and long: a slow hash would protect nothing.
  public static func hash(_ secret: some Collection<UInt8>) -> String {
    let bytes = Array(secret)
    var digest = [UInt8](repeating: 0, count: 32)
    SHA256(bytes, bytes.count, &digest)
    return digest.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }

  public func add(
    id: String, subject: String, hash: String, scope: APIKeyScope, expiresAt: Timestamp?
  ) {
    let entry = Entry(id: id, subject: subject, scope: scope, expiresAt: expiresAt)
    entries.withLock { $0[hash] = entry }
  }

  public func remove(id: String) { entries.withLock { $0 = $0.filter { $0.value.id != id } } }

  /// Removes all keys of a service account.
  public func remove(subject: String) { entries.withLock { $0 = $0.filter { $0.value.subject != subject } } }

  func isKey(_ token: [UInt8]) -> Bool { token.starts(with: Self.prefix.utf8) }

  func verify(_ token: [UInt8], at now: Timestamp) throws(PlatformError) -> Principal {
    let hash = Self.hash(token)
    guard let entry = entries.withLock({ $0[hash] }) else {
      throw Self.refusal("the API key is unknown here or was deleted")
    }
    if let end = entry.expiresAt, now >= end { throw Self.refusal("the API key expired at \(end)") }
    return Principal(
      subject: entry.subject, tokenID: entry.id, expiresAt: entry.expiresAt ?? Self.never,
      mayOnlyCall: entry.scope == .call)
  }

  private static func refusal(_ reason: String) -> PlatformError {
    PlatformError(
      .unauthenticated, "\(reason); make a new one with 'roost api-key create'", origin: .caller,
      field: "authorization")
  }
}

/// Judges what stands in `Authorization`: tokens of this server and API keys.
public struct Credentials: TokenVerifier {
  private let authority: TokenAuthority
  private let keys: APIKeys

  public init(authority: TokenAuthority, keys: APIKeys) {
    self.authority = authority
    self.keys = keys
  }

  public func verify(_ token: [UInt8], at now: Timestamp) throws(PlatformError) -> Principal {
    try keys.isKey(token) ? keys.verify(token, at: now) : authority.verify(token, at: now)
  }

  public func verifySession(_ session: [UInt8], at now: Timestamp) throws(PlatformError) -> Principal {
    try authority.verifySession(session, at: now)
  }
}
