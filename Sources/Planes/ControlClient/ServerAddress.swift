/// Where a server listens: `http://HOST[:PORT]`.
public struct ServerAddress: Sendable, Equatable {
  public var host: String
  public var port: UInt16

  public init(_ url: String) throws(ClientError) {
    guard url.hasPrefix("http://") else {
      throw ClientError(.address, "url: '\(url)' must look like http://127.0.0.1:8800")
    }
    var rest = url.dropFirst("http://".count)
    while rest.hasSuffix("/") { rest = rest.dropLast() }
    var host = rest
    var port: UInt16? = 80
    if let colon = rest.lastIndex(of: ":"), !rest.hasSuffix("]") {
      host = rest[..<colon]
      port = UInt16(rest[rest.index(after: colon)...])
    }
    if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
    guard let port, !host.isEmpty, !host.contains("/"), !host.contains("@") else {
      throw ClientError(.address, "url: '\(url)' must look like http://127.0.0.1:8800")
    }
    self.host = String(host)
    self.port = port
  }
}
