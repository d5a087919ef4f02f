internal import CLinux
internal import Glibc
internal import Reactor
public import TLS

/// Who an instance must prove to be, where connections to it are encrypted.
public struct UpstreamIdentity: Sendable {
  /// The authorities that are believed.
  public var context: TLSContext
  /// A host name (sent as SNI) or a numeric address; the certificate must be valid for it.
  public var serverName: String

  public init(context: TLSContext, serverName: String) {
    self.context = context
    self.serverName = serverName
  }
}

/// The encrypted way of one connection to an instance: between the bytes of HTTP and its socket.
final class UpstreamCipher {
  enum Step {
    case waiting, done
    case failed(UpstreamFailure)
  }

  private let engine: TLSEngine
  private let needsHTTP2: Bool
  private let wire = ByteQueue()
  private var hasBegun = false
  private static let buffer = 65536

  init?(_ identity: UpstreamIdentity, isHTTP2: Bool) {
    guard let engine = TLSEngine(identity.context, serverName: identity.serverName) else { return nil }
    self.engine = engine
    needsHTTP2 = isHTTP2
    engine.offer(http2: isHTTP2)
  }

  /// There is ciphertext that the socket has not taken yet.
  var wantsToWrite: Bool { !wire.isEmpty || engine.ciphertextCount > 0 }
  /// The instance said that it sends no more, so that nothing was cut off.
  var hasEnded: Bool { engine.state == .closed }
  var hasFailed: Bool { if case .failed = engine.state { true } else { false } }

  /// Goes on with the handshake; to be called whenever the socket is ready. `scratch` has room for 64 KiB.
  func shake(_ descriptor: Int32, _ scratch: UnsafeMutablePointer<UInt8>) -> Step {
    if hasBegun {
      let received = fill(descriptor, scratch)
      guard received != 0 else { return failed("it closed the connection during the handshake") }
      if received < 0, !Self.isPatient(Int32(-received)) {
        return .failed(UpstreamFailure(.connect, code: Int32(-received), nothingSent: true))
      }
    } else {
      hasBegun = true
      engine.handshake()
    }
    let code = drain(descriptor)
    switch engine.state {
    case .failed(let reason): return failed(reason)
    case .closed: return failed("it ended the handshake")
    case .handshaking where code == 0: return .waiting
    case .open where code == 0:
      if needsHTTP2, engine.applicationProtocol != .http2 {
        return failed("it does not agree to HTTP/2 (ALPN h2)")
      }
      return .done
    default: return .failed(UpstreamFailure(.connect, code: code, nothingSent: true))
    }
  }

  private func failed(_ reason: String) -> Step {
    .failed(UpstreamFailure(.connect, nothingSent: true, tls: reason))
  }

  static func isPatient(_ code: Int32) -> Bool { roost_would_block(code) != 0 || code == EINTR }

  /// Takes ciphertext from the socket: its bytes, 0 at the end, or -errno.
  func fill(_ descriptor: Int32, _ scratch: UnsafeMutablePointer<UInt8>) -> Int {
    let received = roost_recv(descriptor, scratch, Self.buffer)
    if received < 0 { return -Int(roost_errno()) }
    if received > 0 { engine.receive(scratch, received) }
    return received
  }

  /// Reads plaintext; 0: more must come.
  func read(_ target: UnsafeMutablePointer<UInt8>, _ capacity: Int) -> Int { engine.read(target, capacity) }

  /// Encrypts and sends; how many bytes were taken, or -errno. What is taken may still wait here for the socket.
  func send(_ descriptor: Int32, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
    let before = drain(descriptor)
    guard before == 0 else { return -Int(before) }
    guard !wantsToWrite else { return -Int(EAGAIN) }
    let taken = engine.write(bytes, min(count, Self.buffer))
    guard taken > 0 else { return -Int(EPIPE) }
    let after = drain(descriptor)
    return after == 0 ? taken : -Int(after)
  }

  /// Moves ciphertext to the socket as far as it takes it; errno when it is broken.
  func drain(_ descriptor: Int32) -> Int32 {
    while true {
      let pending = engine.ciphertextCount
      if pending > 0 { wire.wrote(engine.takeCiphertext(wire.room(pending), pending)) }
      guard let base = wire.base, !wire.isEmpty else { return 0 }
      let sent = roost_send(descriptor, base, wire.count)
      if sent < 0 {
        let code = roost_errno()
        if code == EINTR { continue }
        return roost_would_block(code) != 0 ? 0 : code
      }
      wire.drop(sent)
    }
  }

  /// Tells the instance that this is the end, if it can be told at once.
  func part(_ descriptor: Int32) {
    engine.close()
    _ = drain(descriptor)
  }
}
