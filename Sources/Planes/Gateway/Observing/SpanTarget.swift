public import Domain

/// Where spans go: a collector that takes OTLP over HTTP, without TLS.
public struct SpanTarget: Sendable, Equatable {
  public var host: String
  public var port: UInt16
  public var path: String
  /// Of the traces that begin here, how many are recorded: 0 to 1.
  public var ratio: Double
  /// Of this server.
  public var version: String

  /// Takes `http://HOST[:PORT][/PATH]`; without a path `/v1/traces`, without a port 4318. Throws `invalidArgument`.
  public init(_ url: String, ratio: Double = 1, version: String) throws(PlatformError) {
    func refusal(_ reason: String) -> PlatformError {
      .invalid("--otlp-endpoint", "--otlp-endpoint: '\(url)' \(reason)")
    }
    guard !url.hasPrefix("https://") else {
      throw refusal("needs TLS, which is not supported here: give the http:// address of a collector nearby")
    }
    guard url.hasPrefix("http://") else { throw refusal("is not like http://127.0.0.1:4318") }
    let rest = url.dropFirst(7)
    let authority = rest.prefix { $0 != "/" }
    let path = rest.dropFirst(authority.count)
    guard path.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
      throw refusal("has characters in its path that must be escaped")
    }
    var host = authority
    port = 4318
    if let colon = authority.lastIndex(of: ":"), !authority[colon...].contains("]") {
      guard let number = UInt16(authority[authority.index(after: colon)...]), number > 0 else {
        throw refusal("has no valid port")
      }
      port = number
      host = authority[..<colon]
    }
    if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
    guard !host.isEmpty else { throw refusal("has no host") }
    guard (0...1).contains(ratio) else {
      throw .invalid("--otlp-ratio", "--otlp-ratio: \(ratio) must be from 0 to 1")
    }
    self.host = String(host)
    self.path = path.isEmpty || path == "/" ? "/v1/traces" : String(path)
    self.ratio = ratio
    self.version = version
  }

  var text: String { "http://\(host):\(port)\(path)" }
}
