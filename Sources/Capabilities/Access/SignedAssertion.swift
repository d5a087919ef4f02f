import Domain

/// A JWT of a service account, taken apart. Nothing in it is true before its signature was checked.
struct SignedAssertion {
  /// The bound that compatible clients know.
  static let maximumBytes = 8000
  private static let maximumLife: Int64 = 3600
  private static let skew: Int64 = 60
  /// Seconds up to the year 9999: arithmetic with them can't overflow.
  private static let plausible: ClosedRange<Int64> = 0...253_402_300_799

  let keyID: String
  /// What was signed.
  let message: ArraySlice<UInt8>
  let signature: [UInt8]
  private let claims: FlatJSON

  init(_ jwt: String) throws(PlatformError) {
    let bytes = Array(jwt.utf8)
    guard bytes.count <= Self.maximumBytes else {
      throw .invalid("jwt", "jwt: \(bytes.count) bytes; at most \(Self.maximumBytes) are taken")
    }
    let parts = bytes.split(separator: 0x2e, omittingEmptySubsequences: false)
    guard parts.count == 3, let headerBytes = Base64URL.decode(parts[0]),
      let claimBytes = Base64URL.decode(parts[1]), let signature = Base64URL.decode(parts[2]),
      let header = FlatJSON(headerBytes), let claims = FlatJSON(claimBytes, isForeign: true)
    else { throw Self.refusal("not three parts in base64url of which two are JSON objects") }
    guard header.string("alg") == "PS256" else {
      throw Self.refusal(
        "the algorithm is '\(header.string("alg")?.prefix(16) ?? "")'; sign with PS256 (RSA-PSS and SHA-256)")
    }
    let type = header.string("typ")
    guard type == nil || type?.uppercased() == "JWT", header.members["crit"] == nil else {
      throw Self.refusal("its header has a 'typ' or 'crit' that this server does not know")
    }
    guard let keyID = header.string("kid"), !keyID.isEmpty else {
      throw Self.refusal("its header lacks 'kid', the id of the key")
    }
    self.keyID = keyID
    self.signature = signature
    self.claims = claims
    message = bytes[..<parts[1].endIndex]
  }

  /// Throws unless the claims are those of the account, for this server and for this moment.
  func judge(subject: String, audiences: AssertionAudiences, at now: Timestamp) throws(PlatformError) {
    guard let issuer = claims.string("iss"), issuer == subject else {
      throw Self.refusal("'iss' must be the service account that the key belongs to")
    }
    guard claims.string("sub") == nil || claims.string("sub") == subject else {
      throw Self.refusal("'sub' must be the service account that the key belongs to, or be left out")
    }
    let named = claims.strings("aud")
    guard named.contains(where: audiences.allows) else {
      throw Self.refusal(
        "'aud' is '\(named.first?.prefix(80) ?? "")'; make it \(audiences.example)")
    }
    guard let issued = claims.wholeSeconds("iat"), let expires = claims.wholeSeconds("exp"),
      Self.plausible.contains(issued), Self.plausible.contains(expires)
    else { throw Self.refusal("it lacks 'iat' or 'exp', in seconds since 1970") }
    guard expires > issued, expires - issued <= Self.maximumLife else {
      throw Self.refusal("'exp' must be after 'iat' by at most \(Self.maximumLife) seconds")
    }
    guard issued <= now.seconds + Self.skew else {
      throw Self.refusal(
        "'iat' is \(issued - now.seconds) s ahead of the server's clock (\(now)); set the clock right")
    }
    guard expires > now.seconds else {
      throw Self.refusal("it expired \(now.seconds - expires) s ago; the server's clock says \(now)")
    }
    if claims.members["nbf"] != nil {
      guard let start = claims.wholeSeconds("nbf"), Self.plausible.contains(start),
        start <= now.seconds + Self.skew
      else { throw Self.refusal("'nbf' is not a time that has come") }
    }
  }

  static func refusal(_ reason: String) -> PlatformError {
    PlatformError(.unauthenticated, "jwt: \(reason)", origin: .caller, field: "jwt")
  }
}

/// The audiences that assertions may name: `https://iam.ENDPOINT/iam/v1/tokens`, where stock clients write the
/// endpoint as the user gave it, with its port.
struct AssertionAudiences: Sendable {
  private static let head = "https://"
  private static let tail = "/iam/v1/tokens"

  /// Host names in lower case, without ports; empty: any.
  private let hosts: Set<String>
  let example: String

  init(endpoints: [String]) {
    hosts = Set(endpoints.compactMap { Self.host(of: $0) })
    example = "\(Self.head)iam.\(endpoints.first ?? "HOST")\(Self.tail)"
  }

  func allows(_ audience: String) -> Bool {
    guard audience.hasPrefix(Self.head), audience.hasSuffix(Self.tail),
      audience.utf8.count > Self.head.utf8.count + Self.tail.utf8.count
    else { return false }
    let endpoint = audience.dropFirst(Self.head.count).dropLast(Self.tail.count)
    guard let host = Self.host(of: String(endpoint)) else { return false }
    if hosts.isEmpty || hosts.contains(host) { return true }
    return host.hasPrefix("iam.") && hosts.contains(String(host.dropFirst(4)))
  }

  /// `Example.org:443` → `example.org`; nil for what is no host with or without a port.
  private static func host(of endpoint: String) -> String? {
    var host = endpoint[...]
    // A port stands after the last colon, unless that is inside of an IPv6 address in brackets.
    if let colon = host.lastIndex(of: ":"), !host[colon...].contains("]") {
      guard let port = Int(host[host.index(after: colon)...]), (1...65535).contains(port) else { return nil }
      host = host[..<colon]
    }
    let isPlain = host.utf8.allSatisfy { byte in
      (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
        || [0x2d, 0x2e, 0x3a, 0x5b, 0x5d, 0x5f].contains(byte)
    }
    return isPlain && !host.isEmpty ? host.lowercased() : nil
  }
}
