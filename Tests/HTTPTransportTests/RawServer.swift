import CLinux
import Glibc
import Reactor
import Synchronization

/// Takes connections and treats each as the test says, byte by byte; those that it leaves open stay so until `stop`.
final class RawServer: Sendable {
  /// A connection in the hands of a test.
  struct Peer: Sendable {
    let descriptor: Int32

    /// What came within a second at most; empty at the end.
    @discardableResult
    func read() -> [UInt8] {
      var part = [UInt8](repeating: 0, count: 65536)
      let received = part.withUnsafeMutableBytes { roost_recv(descriptor, $0.baseAddress, $0.count) }
      return Array(part.prefix(max(0, received)))
    }

    /// False when nobody takes it any more.
    @discardableResult
    func write(_ bytes: [UInt8]) -> Bool {
      var at = 0
      while at < bytes.count {
        let sent = bytes.withUnsafeBytes {
          roost_send(descriptor, $0.baseAddress.map { $0 + at }, bytes.count - at)
        }
        guard sent > 0 else { return false }
        at += sent
      }
      return true
    }

    /// The other side reads the end.
    func close() { shutdown(descriptor, Int32(SHUT_RDWR)) }

    /// The other side reads the end, and may still send.
    func halfClose() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// The connection is reset: what has not been read is lost, and the end is an error. Goes by a disconnect, so that the
    /// descriptor stays the server's.
    func reset() {
      var nobody = sockaddr()
      nobody.sa_family = sa_family_t(AF_UNSPEC)
      connect(descriptor, &nobody, socklen_t(MemoryLayout<sockaddr>.size))
    }
  }

  /// Descriptors of connections; nil after `stop`.
  private final class Open: Sendable { let descriptors = Mutex<[Int32]?>([]) }

  let port: UInt16
  var address: String { "127.0.0.1:\(port)" }
  private let listener: Int32
  private let open = Open()
  private let acceptor = Mutex<LoopThread?>(nil)

  /// `backlog` without `talk`: nobody takes the connections.
  init(backlog: Int32 = 1024, _ talk: (@Sendable (Peer) -> Void)?) {
    listener = roost_listen_tcp("127.0.0.1", 0, backlog)
    port = UInt16(clamping: roost_bound_port(listener))
    _ = fcntl(listener, F_SETFL, fcntl(listener, F_GETFL) & ~O_NONBLOCK)
    guard let talk else { return }
    acceptor.withLock {
      $0 = LoopThread(name: "raw-server") { [listener, open] in
        while true {
          let descriptor = accept(listener, nil, nil)
          guard descriptor >= 0 else { return }
          let isOpen = open.descriptors.withLock {
            $0?.append(descriptor)
            return $0 != nil
          }
          guard isOpen else {
            _ = Glibc.close(descriptor)
            return
          }
          _ = roost_set_timeout(descriptor, 1000)
          LoopThread(name: "raw-peer") { talk(Peer(descriptor: descriptor)) }?.detach()
        }
      }
    }
  }

  /// Ends every connection. Their descriptors are left to the process: a talk may still use its own.
  func stop() {
    let left = open.descriptors.withLock { open in
      defer { open = nil }
      return open ?? []
    }
    shutdown(listener, Int32(SHUT_RDWR))
    for descriptor in left { shutdown(descriptor, Int32(SHUT_RDWR)) }
    acceptor.withLock { $0 }?.join()
    _ = Glibc.close(listener)
  }
}
