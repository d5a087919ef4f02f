import CLinux
import Glibc
import Reactor
import Synchronization
import Wire

/// A worker of the frame protocol without Python: answers as the test says, over a real unix socket.
final class WorkerPeer: Sendable {
  enum Behaviour: Sendable {
    /// Answers at once with these outputs and microseconds in user code.
    case output(String, microseconds: UInt32 = 10)
    case error(String)
    /// Answers when `release` is called.
    case hold
    /// Closes the connection without an answer.
    case hangUp
    /// Sends bytes that are not a frame.
    case babble
  }

  struct Seen: Sendable {
    var kind: UInt8
    var tag: UInt64
    var requestID = ""
    var timeout: UInt32 = 0
    var input = ""
  }

  private struct State {
    var seen: [Seen] = []
    var held: [(descriptor: Int32, tag: UInt64)] = []
    var stopped = false
    var connections = 0
  }

  let path: String
  private let state = Mutex(State())
  private let thread = Mutex<LoopThread?>(nil)

  init(path: String, _ behave: @escaping @Sendable (Seen) -> Behaviour) throws {
    self.path = path
    let listener = roost_listen_unix(path, 64)
    guard listener >= 0 else { throw PeerFailure(code: -listener) }
    let started = LoopThread(name: "peer") { [self] in run(listener, behave) }
    thread.withLock { $0 = started }
  }

  struct PeerFailure: Error { var code: Int32 }

  private static func isExecute(_ kind: UInt8) -> Bool {
    kind == FrameKind.execute.rawValue || kind == FrameKind.executePlain.rawValue
  }

  var executed: [Seen] { state.withLock { $0.seen.filter { Self.isExecute($0.kind) } } }
  var cancelled: [Seen] { state.withLock { $0.seen.filter { $0.kind == FrameKind.cancel.rawValue } } }
  var heldCount: Int { state.withLock { $0.held.count } }
  var connectionCount: Int { state.withLock { $0.connections } }

  /// Answers the oldest held request.
  func release(_ output: String = "{\"x\":1}", microseconds: UInt32 = 5000) {
    guard let next = state.withLock({ $0.held.isEmpty ? nil : $0.held.removeFirst() }) else { return }
    send(next.descriptor, Self.outputFrame(next.tag, output, microseconds))
  }

  /// Ends like a process: every connection and the listener close.
  func stop() {
    state.withLock { $0.stopped = true }
    thread.withLock { thread in
      thread?.join()
      thread = nil
    }
    unlink(path)
  }

  private static func outputFrame(_ tag: UInt64, _ output: String, _ microseconds: UInt32) -> [UInt8] {
    var payload: [UInt8] = (0..<4).map { UInt8(truncatingIfNeeded: microseconds >> (8 * $0)) }
    payload += Array(output.utf8)
    return Frame(.output, tag: tag, payload: payload).bytes
  }

  private func send(_ descriptor: Int32, _ bytes: [UInt8]) {
    var at = 0
    while at < bytes.count {
      let sent = bytes.withUnsafeBytes {
        roost_send(descriptor, $0.baseAddress.map { $0 + at }, bytes.count - at)
      }
      if sent < 0 {
        guard roost_would_block(errno) != 0 else { return }
        var ready = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        poll(&ready, 1, 1000)
        continue
      }
      at += sent
    }
  }

  private func run(_ listener: Int32, _ behave: @Sendable (Seen) -> Behaviour) {
    var buffers: [Int32: [UInt8]] = [:]
    while !state.withLock({ $0.stopped }) {
      var watched = [pollfd(fd: listener, events: Int16(POLLIN), revents: 0)]
      for descriptor in buffers.keys {
        watched.append(pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0))
      }
      guard poll(&watched, nfds_t(watched.count), 5) > 0 else { continue }
      for entry in watched where entry.revents != 0 {
        if entry.fd == listener {
          var peer = sockaddr_storage()
          let descriptor = roost_accept(listener, &peer)
          guard descriptor >= 0 else { continue }
          buffers[descriptor] = []
          state.withLock { $0.connections += 1 }
        } else if !serve(entry.fd, &buffers[entry.fd, default: []], behave) {
          close(entry.fd)
          buffers[entry.fd] = nil
          state.withLock { $0.held.removeAll { $0.descriptor == entry.fd } }
        }
      }
    }
    for descriptor in buffers.keys { close(descriptor) }
    close(listener)
  }

  /// Reads what is there; false when the connection is to be closed.
  private func serve(
    _ descriptor: Int32, _ buffer: inout [UInt8], _ behave: @Sendable (Seen) -> Behaviour
  ) -> Bool {
    var part = [UInt8](repeating: 0, count: 1 << 20)
    let received = part.withUnsafeMutableBytes { roost_recv(descriptor, $0.baseAddress, $0.count) }
    if received < 0 { return roost_would_block(errno) != 0 }
    guard received > 0 else { return false }
    buffer += part[0..<received]
    while let frame = try? Frame.take(from: &buffer) {
      var seen = Seen(kind: frame.kind, tag: frame.tag)
      guard Self.isExecute(frame.kind) else {
        state.withLock { $0.seen.append(seen) }
        continue
      }
      let count = Int(frame.payload[4])
      seen.timeout = frame.payload.withUnsafeBufferPointer { $0.baseAddress.map { FrameHead.word($0) } ?? 0 }
      seen.requestID = String(decoding: frame.payload[5..<(5 + count)], as: UTF8.self)
      seen.input = String(decoding: frame.payload[(5 + count)...], as: UTF8.self)
      let behaviour = behave(seen)
      state.withLock {
        $0.seen.append(seen)
        if case .hold = behaviour { $0.held.append((descriptor, seen.tag)) }
      }
      switch behaviour {
      case .output(let text, let microseconds):
        send(descriptor, Self.outputFrame(seen.tag, text, microseconds))
      case .error(let text): send(descriptor, Frame(.error, tag: seen.tag, payload: Array(text.utf8)).bytes)
      case .hold: break
      case .hangUp: return false
      case .babble: send(descriptor, [1, 0, 0, 0, 9, 9])
      }
    }
    return true
  }
}
