import CLinux
import Glibc
import HTTPTransport
import Reactor
import Synchronization
import Testing
import Wire

/// A server of exchanges on a loop of its own; what it does depends on the path.
///
/// `/collect` says what it saw. `/upload` takes the body as it comes. `/echo` streams it back with its trailers. `/down/N` sends N bytes as fast as the client takes
/// them. `/hold` takes nothing of the body before `resume`. `/hints` sends a 103 first. `/cut` gives up in the middle. `/early` answers
/// without the body. `/late` answers at `resume`. `/never` does not answer. `/socket` echoes raw bytes after an upgrade.
final class TransportFixture: Sendable {
  struct Seen: Sendable {
    var arrived = 0
    var abandoned = 0
    var stalled = 0
    var received = 0
    var ended = 0
    var writable = 0
    var longestOutput = 0
    var open = 0
    var counts = HTTP2Counts()
    var refused: [Int] = []
    var hasLeft = false
  }

  enum Message: Sendable { case resume, drain, leave, endLeaving, stop }

  private let mailbox = Mailbox<Message>()
  private let thread: LoopThread?
  private let state: SharedSeen
  let port: UInt16
  /// The listening socket, as another process would have it; -1: there is no other.
  let twin: Int32

  final class SharedSeen: Sendable { let value = Mutex(Seen()) }
  struct Failure: Error {}

  init(_ limits: HTTPServer.Limits = HTTPServer.Limits(), hasTwin: Bool = false) throws {
    let listener = roost_listen_tcp("127.0.0.1", 0, 1024)
    guard listener >= 0 else { throw Failure() }
    port = UInt16(clamping: roost_bound_port(listener))
    twin = hasTwin ? roost_duplicate(listener) : -1
    let state = SharedSeen()
    self.state = state
    thread = LoopThread(name: "transport") { [mailbox] in
      let loop = EventLoop(bell: mailbox.bell)
      loop.run(Owner(loop, listener, limits, mailbox, state))
    }
  }

  var seen: Seen { state.value.withLock { $0 } }
  func post(_ message: Message) { mailbox.post(message) }

  func stop() {
    mailbox.post(.stop)
    thread?.join()
    if twin >= 0 { _ = roost_close(twin) }
  }

  func url(_ path: String) -> String { "http://127.0.0.1:\(port)\(path)" }

  private final class Owner: LoopOwner, HTTPServerOwner {
    let loop: EventLoop
    let mailbox: Mailbox<Message>
    let state: SharedSeen
    let limits: HTTPServer.Limits
    var listener: Int32
    lazy var server = HTTPServer(loop: loop, listeners: [HTTPListener(listener)], limits: limits, owner: self)
    var paths: [UInt64: String] = [:]
    var left: [UInt64: Int] = [:]
    var held: [UInt64] = []
    let block = [UInt8](repeating: 0x78, count: 16384)

    init(
      _ loop: EventLoop, _ listener: Int32, _ limits: HTTPServer.Limits, _ mailbox: Mailbox<Message>,
      _ state: SharedSeen
    ) {
      self.loop = loop
      self.listener = listener
      self.limits = limits
      self.mailbox = mailbox
      self.state = state
      _ = server
    }

    func note(_ change: (inout Seen) -> Void) { state.value.withLock { change(&$0) } }

    // MARK: LoopOwner

    func ready(_ data: UInt64, _ events: ReadyEvents) { server.ready(data, events) }
    func fired(_ data: UInt64) { server.fired(data) }

    func batchEnded() {
      server.batchEnded()
      let open = server.openCount
      let counts = server.http2
      note {
        $0.open = open
        $0.counts = counts
      }
    }

    func rung() {
      for message in mailbox.take() {
        switch message {
        case .resume:
          for key in held {
            guard let exchange = server.exchange(key) else { continue }
            paths[key]?.hasPrefix("/late") == true ? answer(exchange, "late") : server.resume(exchange)
          }
          held = []
        case .drain: server.drain()
        case .leave:
          server.leave()
          note { $0.hasLeft = true }
        case .endLeaving: server.endLeaving()
        case .stop: loop.stop()
        }
      }
    }

    // MARK: HTTPServerOwner

    func text(_ exchange: HTTPExchange, _ start: Int32, _ count: Int32) -> String {
      guard let base = exchange.base else { return "" }
      return String(decoding: UnsafeBufferPointer(start: base + Int(start), count: Int(count)), as: UTF8.self)
    }

    func arrived(_ exchange: HTTPExchange, fields: UnsafeMutablePointer<HTTP1Field>) -> BodyPlan {
      let path = text(exchange, exchange.head.targetStart, exchange.head.targetCount)
      note { $0.arrived += 1 }
      guard !path.hasPrefix("/collect") else { return .collect(limit: 1 << 20) }
      paths[exchange.key] = path
      switch path {
      case "/echo":
        server.begin(exchange, status: 200)
        server.endHead(exchange)
      case "/hold":
        server.pause(exchange)
        held.append(exchange.key)
      case "/late": held.append(exchange.key)
      case "/late/paused":
        server.pause(exchange)
        held.append(exchange.key)
      case "/hints":
        Array("link: </style.css>\r\n".utf8).withUnsafeBufferPointer {
          server.informational(exchange, status: 103, fields: $0)
        }
      case "/cut":
        server.begin(exchange, status: 200)
        server.endHead(exchange, contentLength: 1000)
        send(exchange, "part")
        server.reset(exchange)
      case "/early": answer(exchange, "early")
      case "/socket":
        server.begin(exchange, status: 101)
        exchange.output.append("upgrade: test\r\n")
        server.upgrade(exchange)
      default:
        guard path.hasPrefix("/down/") else { break }
        left[exchange.key] = Int(path.dropFirst(6)) ?? 0
        server.begin(exchange, status: 200)
        server.endHead(exchange)
        pour(exchange)
      }
      return .stream
    }

    @discardableResult
    func send(_ exchange: HTTPExchange, _ text: String) -> Bool {
      Array(text.utf8).withUnsafeBufferPointer { part in
        part.baseAddress.map { server.send(exchange, $0, part.count) } ?? true
      }
    }

    func answer(_ exchange: HTTPExchange, _ text: String, status: Int = 200) {
      server.begin(exchange, status: status)
      exchange.output.append("Content-Type: text/plain\r\nconnection: x-nothing\r\n")
      server.endHead(exchange, contentLength: text.utf8.count)
      send(exchange, text)
      server.end(exchange)
      paths[exchange.key] = nil
    }

    func pour(_ exchange: HTTPExchange) {
      guard var rest = left[exchange.key] else { return }
      var isOpen = true
      while rest > 0, isOpen {
        let count = min(rest, block.count)
        isOpen = block.withUnsafeBufferPointer { part in
          part.baseAddress.map { server.send(exchange, $0, count) } ?? true
        }
        rest -= count
      }
      let length = exchange.output.count
      note { $0.longestOutput = max($0.longestOutput, length) }
      left[exchange.key] = rest > 0 ? rest : nil
      if rest == 0 {
        paths[exchange.key] = nil
        server.end(exchange)
      }
    }

    func received(
      _ exchange: HTTPExchange, fields: UnsafeMutablePointer<HTTP1Field>, body: UnsafePointer<UInt8>,
      count: Int
    ) {
      var all = "\(text(exchange, 0, exchange.head.methodCount)) "
      all += text(exchange, exchange.head.targetStart, exchange.head.targetCount) + " \(count)\n"
      for index in 0..<Int(exchange.head.fieldCount) {
        all += text(exchange, fields[index].nameStart, fields[index].nameCount) + "="
        all += text(exchange, fields[index].valueStart, fields[index].valueCount) + "\n"
      }
      all += "http2=\(exchange.isHTTP2) grpc=\(exchange.isGRPC) tls=\(exchange.isTLS)\n"
      server.begin(exchange, status: 200)
      server.endHead(exchange, contentLength: all.utf8.count)
      if !exchange.head.isHEAD { exchange.output.append(all) }
      server.finish(exchange)
    }

    func bodyPart(_ exchange: HTTPExchange, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
      note { $0.received += count }
      switch paths[exchange.key] {
      case "/echo", "/socket": if !server.send(exchange, bytes, count) { server.pause(exchange) }
      default: break
      }
    }

    func bodyEnded(_ exchange: HTTPExchange, trailers: UnsafeBufferPointer<UInt8>) {
      note { $0.ended += 1 }
      switch paths[exchange.key] {
      case "/echo":
        server.end(exchange, trailers: trailers)
        paths[exchange.key] = nil
      case "/socket":
        send(exchange, "bye")
        server.end(exchange)
      case "/hold", "/hints", "/upload": answer(exchange, "done")
      default: break
      }
    }

    func writable(_ exchange: HTTPExchange) {
      note { $0.writable += 1 }
      left[exchange.key] == nil ? server.resume(exchange) : pour(exchange)
    }

    func stalled(_ exchange: HTTPExchange) {
      note { $0.stalled += 1 }
      server.reset(exchange)
    }

    func abandoned(_ exchange: HTTPExchange) {
      note { $0.abandoned += 1 }
      paths[exchange.key] = nil
      left[exchange.key] = nil
    }

    func refused(_ exchange: HTTPExchange, status: Int, message: String) {
      note { $0.refused.append(status) }
      answer(exchange, message, status: status)
    }
  }
}

/// Waits until a level is reached, at most a minute: machines may be busy.
func eventually(_ condition: () -> Bool, sourceLocation: SourceLocation = #_sourceLocation) async {
  let end = ContinuousClock.now + .seconds(60)
  while ContinuousClock.now < end {
    if condition() { return }
    try? await Task.sleep(for: .milliseconds(2))
  }
  Issue.record("the condition was not reached in time", sourceLocation: sourceLocation)
}

/// Does something that blocks on a thread of its own.
func onThread<Value: Sendable>(_ work: @escaping @Sendable () -> Value) async -> Value? {
  await withCheckedContinuation { continuation in
    let thread = LoopThread(name: "test") { continuation.resume(returning: work()) }
    thread?.detach()
    if thread == nil { continuation.resume(returning: nil) }
  }
}

/// Runs a command of the shell; what it wrote to both of its outputs.
func shell(_ command: String) async -> String {
  await onThread {
    var all: [UInt8] = []
    if let pipe = popen("(\(command)) 2>&1", "r") {
      var part = [UInt8](repeating: 0, count: 65536)
      while true {
        let count = fread(&part, 1, part.count, pipe)
        guard count > 0 else { break }
        all += part[0..<count]
      }
      pclose(pipe)
    }
    return String(decoding: all, as: UTF8.self)
  } ?? "no thread"
}
