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

/// A listening socket that was opened for this process: by the service manager, or by the process that it takes over from.
public struct InheritedSocket: Sendable {
  public let descriptor: Int32
  /// What it was called by who opened it.
  public let name: String
  /// Where it is bound: `host:port` or `unix:/path`.
  public let address: String
  /// By a process that this one takes over from.
  public let isHandedOver: Bool

  /// Nil when the descriptor is no listening socket.
  public init?(_ descriptor: Int32, name: String, isHandedOver: Bool) {
    var text = [CChar](repeating: 0, count: 256)
    let count = roost_bound_name(descriptor, &text, text.count)
    guard count > 0, roost_take_over(descriptor) == 0 else { return nil }
    self.descriptor = descriptor
    self.name = name
    self.isHandedOver = isHandedOver
    address = String(decoding: text[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  init(_ descriptor: Int32, name: String, address: String) {
    self.descriptor = descriptor
    self.name = name
    self.address = address
    isHandedOver = true
  }

  init(_ other: InheritedSocket, name: String) {
    self.init(other.descriptor, name: name, address: other.address)
  }

  /// Whether it serves what is wanted: bound where that is to be, or handed over under its name.
  public func fits(_ wanted: GatewayConfiguration.Listener) -> Bool {
    if isHandedOver { return name == wanted.name }
    switch wanted.place {
    case .unix(let path, _): return address == "unix:\(path)"
    case .tcp(let host, let port):
      let bare = host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host
      return address == "\(bare):\(port)"
    }
  }
}

/// Sockets that were bound, for each loop its own.
struct OpenListeners: ~Copyable {
  private(set) var byLoop: [[HTTPListener]]
  private(set) var addresses: [ListeningAddress] = []
  private(set) var sockets: [SocketFile] = []
  /// Each socket once, for a process that takes over.
  private(set) var handed: [InheritedSocket] = []

  init(loops: Int) { byLoop = Array(repeating: [], count: loops) }

  /// Binds one more place, or takes the inherited sockets that are bound there. When it can't be, all that was bound so far is closed.
  mutating func add(
    _ wanted: GatewayConfiguration.Listener, inherited: [InheritedSocket] = []
  ) throws(PlatformError) {
    let own = inherited.filter { $0.fits(wanted) }
    guard own.isEmpty else { return try adopt(own, wanted) }
    switch wanted.place {
    case .tcp(let host, let port): try addTCP(wanted, host, port)
    case .unix(let path, let mode): try addUnix(wanted, path, mode)
    }
  }

  /// As many sockets as loops: one each. With fewer, loops share them; with more, loops have several.
  private mutating func adopt(
    _ own: [InheritedSocket], _ wanted: GatewayConfiguration.Listener
  ) throws(PlatformError) {
    let isShared = own.count < byLoop.count
    for (index, socket) in own.enumerated() {
      append(socket.descriptor, wanted, loop: index % byLoop.count, isShared: isShared)
      handed.append(InheritedSocket(socket, name: wanted.name))
    }
    if isShared {
      for loop in own.count..<byLoop.count {
        let descriptor = roost_duplicate(own[loop % own.count].descriptor)
        guard descriptor >= 0 else { throw failed(own[0].address, descriptor) }
        append(descriptor, wanted, loop: loop, isShared: true)
      }
    }
    var port: UInt16 = 0
    if case .tcp = wanted.place { port = UInt16(clamping: roost_bound_port(own[0].descriptor)) }
    // The file of a socket of the service manager is not ours to remove.
    if case .unix(let path, _) = wanted.place, own[0].isHandedOver { sockets.append(SocketFile(path)) }
    addresses.append(ListeningAddress(description: own[0].address, port: port, isTLS: wanted.isTLS))
  }

  private mutating func append(
    _ descriptor: Int32, _ wanted: GatewayConfiguration.Listener, loop: Int, isShared: Bool = false
  ) {
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
      handed.append(InheritedSocket(descriptor, name: wanted.name, address: ""))
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
      append(descriptor, wanted, loop: loop, isShared: byLoop.count > 1)
    }
    handed.append(InheritedSocket(first, name: wanted.name, address: ""))
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
