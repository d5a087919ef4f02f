internal import CLinux
internal import Reactor
internal import Wire

/// The thread behind `LoadGenerator`: workers that each have at most one request under way.
final class LoadLoop: LoopOwner, UpstreamOwner {
  enum Command: Sendable { case stop }

  private enum Tick {
    static let next: UInt64 = 1
    static let overdue: UInt64 = 2
    static let second: UInt64 = 3
    static let ping: UInt64 = 4
  }

  private struct Worker {
    var plan: Int
    var exchange: UpstreamExchange?
    var requestID = ""
    var began: Int64 = 0
    var status = 0
    var grpcStatus: Int?
    /// The beginning of an answer that is an error.
    var said: [UInt8] = []
    var wasResent = false
    var timer = TimerWheel.Token.none
    var socket: LoadSocket?
    /// The answer to the key of its WebSocket is right.
    var isAccepted = false
  }

  private let mailbox: Mailbox<Command>
  private let loop: EventLoop
  private let client: UpstreamClient
  private let plans: [LoadPlan]
  private let targets: [UpstreamTarget]
  private let prefix: String
  private let timeout: Int64
  private let sink: LoadSink
  private var workers: [Worker] = []
  private var serial = 0
  private var isStopping = false

  init(
    _ mailbox: Mailbox<Command>, address: String, plans: [LoadPlan], prefix: String, timeout: Duration,
    sink: LoadSink
  ) {
    self.mailbox = mailbox
    self.plans = plans
    self.prefix = prefix
    self.timeout = Self.nanoseconds(timeout)
    self.sink = sink
    loop = EventLoop(bell: mailbox.bell)
    client = UpstreamClient(loop: loop)
    targets = plans.map {
      UpstreamTarget(address: address, isHTTP2: $0.form == .http2 || $0.form == .grpc)
    }
    for (index, plan) in plans.enumerated() {
      workers += (0..<plan.workers).map { _ in Worker(plan: index) }
    }
    client.owner = self
  }

  private static func nanoseconds(_ duration: Duration) -> Int64 {
    duration.components.seconds * 1_000_000_000 + duration.components.attoseconds / 1_000_000_000
  }

  func run() {
    for worker in workers.indices {
      // Not all at the same moment.
      _ = loop.setTimer(at: loop.now + Int64(worker) * 1_000_000, data: Tick.next << 56 | UInt64(worker))
    }
    _ = loop.setTimer(at: loop.now + 1_000_000_000, data: Tick.second << 56)
    loop.run(self)
  }

  // MARK: LoopOwner

  func ready(_ data: UInt64, _ events: ReadyEvents) { client.ready(data, events) }

  func fired(_ data: UInt64) {
    let worker = Int(data & 0xffff_ffff)
    switch data >> 56 {
    case Tick.next: begin(worker)
    case Tick.overdue:
      workers[worker].timer = .none
      if let exchange = workers[worker].exchange { client.cancel(exchange) }
      let socket = workers[worker].socket
      finish(worker, failure: socket?.state == .closing ? socket?.outcome : "no answer in time")
    case Tick.ping:
      workers[worker].timer = .none
      ping(worker)
    default:
      client.sweep()
      _ = loop.setTimer(at: loop.now + 1_000_000_000, data: Tick.second << 56)
    }
  }

  func rung() {
    for _ in mailbox.take() {
      isStopping = true
      for index in workers.indices where workers[index].socket?.state == .open {
        closeSocket(index, 1000, outcome: nil)
      }
      for index in workers.indices where plans[workers[index].plan].form == .stream {
        if let exchange = workers[index].exchange { client.cancel(exchange) }
        workers[index].exchange = nil
        loop.cancel(&workers[index].timer)
      }
    }
    endIfIdle()
  }

  func batchEnded() { while client.hasWork { client.flush() } }

  private func endIfIdle() {
    if isStopping, workers.allSatisfy({ $0.exchange == nil }) { loop.stop() }
  }

  // MARK: Requests

  private func begin(_ index: Int) {
    guard !isStopping else { return }
    serial += 1
    workers[index].requestID = "\(prefix)\(serial)"
    workers[index].began = loop.clock()
    workers[index].wasResent = false
    workers[index].isAccepted = false
    if plans[workers[index].plan].form != .stream {
      workers[index].timer = loop.setTimer(
        at: loop.now + timeout, data: Tick.overdue << 56 | UInt64(index))
    }
    send(index, fresh: false)
  }

  private func send(_ index: Int, fresh: Bool) {
    let plan = plans[workers[index].plan]
    workers[index].status = 0
    workers[index].grpcStatus = nil
    workers[index].said = []
    workers[index].socket = plan.form == .webSocket ? LoadSocket() : nil
    let lines = workers[index].socket?.lines ?? ""
    let head = Array("\(plan.head)\(lines)x-request-id: \(workers[index].requestID)\r\n".utf8)
    var body = plan.body
    if plan.form == .grpc {
      let count = UInt32(body.count)
      body =
        [0, UInt8(count >> 24), UInt8(count >> 16 & 255), UInt8(count >> 8 & 255), UInt8(count & 255)] + body
    }
    do throws(UpstreamFailure) {
      let framing: UpstreamBody = body.isEmpty ? .none : .counted(body.count)
      let target = targets[workers[index].plan]
      let exchange = try head.withUnsafeBufferPointer {
        (bytes) throws(UpstreamFailure) -> UpstreamExchange? in
        guard let base = bytes.baseAddress else { return nil }
        return try client.start(
          target, head: base, count: bytes.count, body: framing, tag: UInt64(index), fresh: fresh,
          unique: true)
      }
      workers[index].exchange = exchange
      guard let exchange, !body.isEmpty else { return }
      body.withUnsafeBufferPointer { bytes in
        if let base = bytes.baseAddress { client.send(exchange, base, bytes.count) }
      }
      client.end(exchange)
    } catch { failed(index, error) }
  }

  private func finish(_ index: Int, failure: String?) {
    let worker = workers[index]
    let plan = plans[worker.plan]
    loop.cancel(&workers[index].timer)
    workers[index].exchange = nil
    workers[index].socket = nil
    sink.add(
      LoadResult(
        form: plan.form, requestID: worker.requestID, began: worker.began, ended: loop.clock(),
        status: worker.status, failure: failure, wasResent: worker.wasResent))
    guard !isStopping else { return endIfIdle() }
    _ = loop.setTimer(
      at: loop.now + Self.nanoseconds(plan.pause), data: Tick.next << 56 | UInt64(index))
  }

  /// Clients may send again what the server did not look at (RFC 9112, 9.3.1; RFC 9113, 8.7), and they do.
  private func failed(_ index: Int, _ failure: UpstreamFailure) {
    workers[index].exchange = nil
    if let socket = workers[index].socket, workers[index].status == 101 {
      return finish(index, failure: socket.state == .closing ? socket.outcome : Self.words(failure))
    }
    let isUnseen = failure.kind == .unprocessed || failure.isReused && failure.kind == .closed
    if isUnseen, !workers[index].wasResent, !isStopping {
      workers[index].wasResent = true
      return send(index, fresh: true)
    }
    finish(index, failure: Self.words(failure))
  }

  private static func words(_ failure: UpstreamFailure) -> String {
    let system = failure.code > 0 ? ": \(String(cString: roost_error_text(failure.code)))" : ""
    switch failure.kind {
    case .connect: return "no connection\(system)"
    case .closed: return "the connection ended before an answer\(system)"
    case .malformed: return "the answer is not HTTP"
    case .truncated: return "the answer broke off\(system)"
    case .unprocessed: return "the server refused the stream"
    case .noWebSocket: return "no WebSocket"
    }
  }

  // MARK: WebSockets

  private func openSocket(_ index: Int) {
    guard workers[index].isAccepted else {
      return closeSocket(index, 1002, outcome: "the answer is not to the key of the WebSocket")
    }
    workers[index].socket?.state = .open
    guard !isStopping else { return closeSocket(index, 1000, outcome: nil) }
    write(index, LoadSocket.text(workers[index].requestID))
    ping(index)
  }

  private func ping(_ index: Int) {
    write(index, LoadSocket.ping)
    setTimer(index, Tick.overdue, timeout)
  }

  private func readSocket(_ index: Int, _ bytes: UnsafeBufferPointer<UInt8>) {
    for frame in workers[index].socket?.read(bytes) ?? [] {
      guard workers[index].socket?.state == .open else { return }
      switch frame {
      case .message: break
      case .ping(let payload): write(index, LoadSocket.pong(payload))
      case .pong: setTimer(index, Tick.ping, 1_000_000_000)
      case .close(let status):
        let isGoodbye = status == 1001 || status == 1012
        let words = "the server closed the WebSocket with status \(status.map(String.init) ?? "none")"
        closeSocket(index, status ?? 1000, outcome: isGoodbye ? nil : words)
      case .malformed: closeSocket(index, 1002, outcome: "what came is no WebSocket frame")
      }
    }
  }

  /// Says goodbye, and waits for the end of the connection, though not long.
  private func closeSocket(_ index: Int, _ status: Int, outcome: String?) {
    workers[index].socket?.state = .closing
    workers[index].socket?.outcome = outcome
    write(index, LoadSocket.close(status))
    setTimer(index, Tick.overdue, 5_000_000_000)
    if let exchange = workers[index].exchange { client.end(exchange) }
  }

  private func write(_ index: Int, _ bytes: [UInt8]) {
    guard let exchange = workers[index].exchange else { return }
    bytes.withUnsafeBufferPointer { bytes in
      if let base = bytes.baseAddress { client.send(exchange, base, bytes.count) }
    }
  }

  private func setTimer(_ index: Int, _ tick: UInt64, _ time: Int64) {
    loop.cancel(&workers[index].timer)
    workers[index].timer = loop.setTimer(at: loop.now + time, data: tick << 56 | UInt64(index))
  }

  // MARK: UpstreamOwner

  func upstreamConnected(_ exchange: UpstreamExchange) {}
  func upstreamInformational(_ exchange: UpstreamExchange, fields: UnsafeMutablePointer<HTTP1Field>) {}
  func upstreamWritable(_ exchange: UpstreamExchange) {}

  func upstreamHead(_ exchange: UpstreamExchange, fields: UnsafeMutablePointer<HTTP1Field>) {
    let index = Int(exchange.ownerTag)
    workers[index].status = Int(exchange.head.status)
    let form = plans[workers[index].plan].form
    guard form == .grpc || form == .webSocket, let base = exchange.base else { return }
    for place in 0..<Int(exchange.head.fieldCount) {
      let field = fields[place]
      func text(_ start: Int32, _ count: Int32) -> String {
        String(decoding: UnsafeBufferPointer(start: base + Int(start), count: Int(count)), as: UTF8.self)
      }
      note(
        index, text(field.nameStart, field.nameCount).lowercased(), text(field.valueStart, field.valueCount))
    }
    if form == .webSocket, exchange.head.status == 101 { openSocket(index) }
  }

  private func note(_ index: Int, _ name: String, _ value: String) {
    if name == "grpc-status" { workers[index].grpcStatus = Int(value) }
    if name == "grpc-message" { workers[index].said = Array(value.utf8) }
    if name == "sec-websocket-accept" {
      workers[index].isAccepted = workers[index].socket?.isAnswer(value.utf8) ?? false
    }
  }

  func upstreamPart(_ exchange: UpstreamExchange, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
    let index = Int(exchange.ownerTag)
    if workers[index].status == 101 {
      return readSocket(index, UnsafeBufferPointer(start: bytes, count: count))
    }
    guard workers[index].status >= 300, workers[index].said.count < 400 else { return }
    workers[index].said += UnsafeBufferPointer(start: bytes, count: min(count, 400))
  }

  func upstreamEnded(_ exchange: UpstreamExchange, trailers: UnsafeBufferPointer<UInt8>) {
    let index = Int(exchange.ownerTag)
    if workers[index].status == 101 {
      // Without a close frame before it.
      let socket = workers[index].socket
      client.cancel(exchange)
      return finish(index, failure: socket?.state == .closing ? socket?.outcome : "the WebSocket broke off")
    }
    let isCall = plans[workers[index].plan].form == .grpc
    if isCall {
      for line in String(decoding: trailers, as: UTF8.self).split(separator: "\r\n") {
        let parts = line.split(separator: ":", maxSplits: 1)
        guard parts.count == 2 else { continue }
        note(index, parts[0].lowercased(), String(parts[1].drop { $0 == " " }))
      }
    }
    let worker = workers[index]
    let said = worker.said.isEmpty ? "" : ": \(String(decoding: worker.said, as: UTF8.self))"
    if plans[worker.plan].form == .webSocket {
      finish(index, failure: "no WebSocket: HTTP \(worker.status)\(said)")
    } else if !(200..<300).contains(worker.status) {
      finish(index, failure: "HTTP \(worker.status)\(said)")
    } else if isCall, worker.grpcStatus != 0 {
      finish(index, failure: "grpc-status \(worker.grpcStatus.map(String.init) ?? "missing")\(said)")
    } else {
      finish(index, failure: nil)
    }
  }

  func upstreamFailed(_ exchange: UpstreamExchange, _ failure: UpstreamFailure) {
    failed(Int(exchange.ownerTag), failure)
  }
}
