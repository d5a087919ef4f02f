internal import CLinux

/// An instance's endpoint as one loop sees it: where it is, and the connections that wait for requests.
public final class UpstreamTarget {
  enum Place: Equatable {
    case unix(String)
    case tcp(String, UInt16)
    case unusable
  }

  /// `unix:/absolute/path`, `address:port` or `[address]:port`; addresses are numeric, besides `localhost`.
  public let address: String
  public let isHTTP2: Bool
  let place: Place
  /// Who the instance must prove to be; nil: connections to it are not encrypted.
  let identity: UpstreamIdentity?
  /// Idle connections, which the client's slab holds; the one used last is the first to be used again, so that the others
  /// may grow old and close.
  var idle: [Unmanaged<UpstreamConnection>] = []
  /// Connections of HTTP/2.
  var sessions: [UpstreamSession] = []
  /// Left the routing table: its connections close after their requests.
  public internal(set) var isRetired = false
  /// Connections that are open.
  public internal(set) var openCount = 0

  public init(address: String, isHTTP2: Bool, identity: UpstreamIdentity? = nil) {
    self.address = address
    self.identity = identity
    self.isHTTP2 = isHTTP2
    place = Self.parse(address)
  }

  /// Whether the address can be connected to at all.
  public static func isUsable(_ address: String) -> Bool { parse(address) != .unusable }

  private static func parse(_ address: String) -> Place {
    if address.hasPrefix("unix:/") { return .unix(String(address.dropFirst(5))) }
    guard let colon = address.lastIndex(of: ":"), let port = UInt16(address[address.index(after: colon)...]),
      port > 0
    else { return .unusable }
    var host = address[..<colon]
    if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
    if host == "localhost" { host = "127.0.0.1" }
    let text = String(host)
    return roost_is_numeric(text) != 0 ? .tcp(text, port) : .unusable
  }

  /// Starts to connect; the socket, or -errno.
  func dial() -> Int32 {
    switch place {
    case .unix(let path): roost_connect_unix(path)
    case .tcp(let host, let port): roost_connect_tcp(host, port)
    case .unusable: -22
    }
  }

  /// Whether a connect that has begun is complete at once.
  var connectsAtOnce: Bool {
    if case .unix = place { return true }
    return false
  }
}
