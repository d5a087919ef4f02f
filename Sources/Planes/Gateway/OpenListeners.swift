internal import CLinux
internal import Domain
internal import HTTPTransport

/// Where a gateway listens.
public struct ListeningAddress: Sendable, Equatable, CustomStringConvertible {
  /// `host:port` with the port that was taken, or `unix:/path`.
  public var description: String
  /// 0: a unix socket.
  public var port: UInt16
  public var isTLS: Bool
}

/// The file of a unix socket that we listen on.
struct SocketFile: Sendable {
  var path: String
  private let identity: UInt64

  init(_ path: String) {
    self.path = path
    identity = roost_socket_file(path)
  }

  /// Removes it, unless another server has put its own in its place.
  func remove() {
    if identity != 0, roost_socket_file(path) == identity { roost_remove(path) }
  }
}

/// Sockets that were bound, for each loop its own.
struct OpenListeners: ~Copyable {
  private(set) var byLoop: [[HTTPListener]]
  private(set) var addresses: [ListeningAddress] = []
  private(set) var sockets: [SocketFile] = []

  init(loops: Int) { byLoop = Array(repeating: [], count: loops) }

  /// Binds one more place. When it can't be, all that was bound so far is closed.
  mutating func add(_ wanted: GatewayConfiguration.Listener) throws(PlatformError) {
    switch wanted.place {
    case .tcp(let host, let port): try addTCP(wanted, host, port)
    case .unix(let path, let mode): try addUnix(wanted, path, mode)
    }
  }

  private mutating func append(_ descriptor: Int32, _ wanted: GatewayConfiguration.Listener, loop: Int) {
    var isShared = false
    if case .unix = wanted.place { isShared = byLoop.count > 1 }
    byLoop[loop].append(
      HTTPListener(
        descriptor, isTLS: wanted.isTLS, isShared: isShared, proxySources: wanted.proxySources))
  }

  /// A socket per loop on the same port: the kernel deals connections out.
  private mutating func addTCP(
    _ wanted: GatewayConfiguration.Listener, _ host: String, _ asked: UInt16
  ) throws(PlatformError) {
    var port = asked
    for loop in byLoop.indices {
      let descriptor = roost_listen_tcp(host, port, 4096)
      guard descriptor >= 0 else { throw failed("\(host):\(port)", descriptor) }
      append(descriptor, wanted, loop: loop)
      port = UInt16(clamping: roost_bound_port(descriptor))
    }
    addresses.append(ListeningAddress(description: "\(host):\(port)", port: port, isTLS: wanted.isTLS))
  }

  /// One socket for all loops: a path has no more.
  private mutating func addUnix(
    _ wanted: GatewayConfiguration.Listener, _ path: String, _ mode: UInt32
  ) throws(PlatformError) {
    let first = roost_listen_unix_mode(path, 4096, Int32(mode))
    guard first >= 0 else { throw failed("unix:\(path)", first) }
    sockets.append(SocketFile(path))
    for loop in byLoop.indices {
      let descriptor = loop == 0 ? first : roost_duplicate(first)
      guard descriptor >= 0 else { throw failed("unix:\(path)", descriptor) }
      append(descriptor, wanted, loop: loop)
    }
    addresses.append(ListeningAddress(description: "unix:\(path)", port: 0, isTLS: wanted.isTLS))
  }

  private mutating func failed(_ address: String, _ code: Int32) -> PlatformError {
    for listener in byLoop.joined() { _ = roost_close(listener.descriptor) }
    byLoop = byLoop.map { _ in [] }
    for socket in sockets { socket.remove() }
    return PlatformError(
      .unavailable, "can't listen on \(address): \(String(cString: roost_error_text(-code)))")
  }
}
