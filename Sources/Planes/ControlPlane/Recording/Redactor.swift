import Domain
import Wire

/// Takes out of recorded requests and answers what must not be kept. Pure.
struct Redactor: Sendable {
  private let places: [JSONPlace]
  private let names: Set<String>
  private let takesOpaque: Bool

  /// What a recording must not name: such headers never are kept, nor values of such parameters.
  private static let credentials: Set<String> = [
    "authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "x-auth-token",
    "x-csrf-token", "x-amz-security-token", "x-goog-api-key", "ocp-apim-subscription-key",
  ]
  /// Parts of names that credentials have.
  private static let telling = [
    "token", "secret", "passw", "api-key", "api_key", "apikey", "credential", "signature", "session", "auth",
  ]

  init(_ spec: AliasRecordSpec) {
    places = spec.redact.compactMap { JSONPlace($0) }
    names = Set(spec.redactHeaders.map { $0.lowercased() })
    takesOpaque = spec.opaque
  }

  /// Whether the value of a header or a parameter of the query is kept.
  func keeps(_ name: String) -> Bool {
    let name = name.lowercased()
    return !names.contains(name) && !Self.credentials.contains(name)
      && !Self.telling.contains { name.contains($0) }
  }

  /// The body without what is to be taken out, and whether anything was; nil for one in which that can't be done.
  func body(_ bytes: [UInt8], isJSON: Bool) -> (bytes: [UInt8], isChanged: Bool)? {
    guard !bytes.isEmpty else { return (bytes, false) }
    guard isJSON, let value = try? Wire.JSONValue(parsing: bytes) else {
      return takesOpaque ? (bytes, false) : nil
    }
    guard !places.isEmpty else { return (bytes, false) }
    let (clean, count) = value.redacted(places)
    return count == 0 ? (bytes, false) : (clean.bytes, true)
  }

  /// The head without credentials, and whether anything was taken out that the node may look at.
  func head(_ head: RequestHead) -> (head: RequestHead, isChanged: Bool) {
    var clean = head
    clean.fields.removeAll { !keeps($0.name) }
    let wasOwn = head.fields.contains { names.contains($0.name.lowercased()) }
    guard let mark = head.target.firstIndex(of: "?") else { return (clean, wasOwn) }
    var isChanged = wasOwn
    let pairs = head.target[head.target.index(after: mark)...].split(
      separator: "&", omittingEmptySubsequences: false)
    let kept = pairs.map { pair -> String in
      let name = pair.prefix { $0 != "=" }
      guard !keeps(Self.decoded(name)) else { return String(pair) }
      isChanged = true
      return "\(name)=redacted"
    }
    clean.target = String(head.target[..<mark]) + "?" + kept.joined(separator: "&")
    return (clean, isChanged)
  }

  /// Without `%xx`: a name must not pass because it is written otherwise.
  private static func decoded(_ text: Substring) -> String {
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
      if byte == 0x25, rest.count >= 2,
        let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
      {
        bytes.append(value)
        rest = rest.dropFirst(2)
      } else {
        bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
