internal import CLinux
internal import Reactor
internal import Wire

/// The thread behind `ProbeClient`: a small state machine per question.
final class ProbeLoop: LoopOwner {
  enum Command: Sendable {
    case ask(UInt64, ProbeQuestion, CheckedContinuation<ProbeAnswer, Never>)
    case cancel(UInt64)
    case stop
  }

  private struct Conversation {
    enum Phase { case connecting, talking }
    var question: ProbeQuestion
    var continuation: CheckedContinuation<ProbeAnswer, Never>
    var descriptor: Int32
    var phase = Phase.connecting
    var timer: TimerWheel.Token
    var output: [UInt8] = []
    var input: [UInt8] = []
    /// Set when HTTP/2 is spoken.
    var http2: HTTP2Probe?
  }

  /// Longest head that is read.
  private static let inputLimit = 65_536

  private let mailbox: Mailbox<Command>
  private let loop: EventLoop
  private var conversations: [UInt64: Conversation] = [:]
  private let scratch = UnsafeMutablePointer<UInt8>.allocate(capacity: 16_384)

  init(_ mailbox: Mailbox<Command>) {
    self.mailbox = mailbox
    loop = EventLoop(bell: mailbox.bell)
  }

  deinit { scratch.deallocate() }

  func run() { loop.run(self) }

  func rung() {
    for command in mailbox.take() {
      switch command {
      case .ask(let id, let question, let continuation): begin(id, question, continuation)
      case .cancel(let id): finish(id, .cancelled)
      case .stop:
        for id in conversations.keys { finish(id, .cancelled) }
        loop.stop()
      }
    }
  }

  func fired(_ id: UInt64) {
    finish(id, conversations[id]?.phase == .connecting ? .noConnection : .noAnswer)
  }

  func batchEnded() {}

  private func begin(
    _ id: UInt64, _ question: ProbeQuestion, _ continuation: CheckedContinuation<ProbeAnswer, Never>
  ) {
    let descriptor = Self.connect(question.address)
    guard descriptor >= 0 else { return continuation.resume(returning: .unreachable(-descriptor)) }
    let timer = loop.setTimer(at: loop.clock() + question.timeout.nanoseconds, data: id)
    conversations[id] = Conversation(
      question: question, continuation: continuation, descriptor: descriptor, timer: timer)
    loop.watch(descriptor, .writable, data: id)
  }

  private static func connect(_ address: String) -> Int32 {
    if address.hasPrefix("unix:") { return roost_connect_unix(String(address.dropFirst(5))) }
    guard let colon = address.lastIndex(of: ":"), let port = UInt16(address[address.index(after: colon)...])
    else { return -Int32(ROOST_EINVAL) }
    return roost_connect_tcp(String(address[..<colon]), port)
  }

  private func finish(_ id: UInt64, _ answer: ProbeAnswer) {
    guard var ended = conversations.removeValue(forKey: id) else { return }
    loop.cancel(&ended.timer)
    _ = roost_close(ended.descriptor)
    ended.continuation.resume(returning: answer)
  }

  func ready(_ id: UInt64, _ events: ReadyEvents) {
    switch conversations[id]?.phase {
    case .connecting: connected(id)
    case .talking:
      if events.contains(.writable) { flush(id) }
      if !events.intersection([.readable, .hangup, .failed]).isEmpty { read(id) }
    case nil: break
    }
  }

  private func connected(_ id: UInt64) {
    guard let conversation = conversations[id] else { return }
    let failure = roost_socket_error(conversation.descriptor)
    guard failure == 0 else { return finish(id, .unreachable(failure)) }
    let question = conversation.question
    switch question.kind {
    case .connect: return finish(id, .connected)
    case .get(let path) where !question.overHTTP2:
      conversations[id]?.output = Array(
        "GET \(path) HTTP/1.1\r\nhost: \(question.authority)\r\nuser-agent: roost-probe\r\nconnection: close\r\n\r\n"
          .utf8)
    case .get, .health:
      let probe = HTTP2Probe(question)
      conversations[id]?.http2 = probe
      conversations[id]?.output = probe.output()
    }
    conversations[id]?.phase = .talking
    flush(id)
  }

  private func flush(_ id: UInt64) {
    while let conversation = conversations[id], !conversation.output.isEmpty {
      let sent = conversation.output.withUnsafeBufferPointer { bytes in
        bytes.baseAddress.map { roost_send(conversation.descriptor, $0, bytes.count) } ?? 0
      }
      if sent < 0 {
        let code = roost_errno()
        if code == ROOST_EINTR { continue }
        // What the server said before it hung up is read, if it said anything.
        if roost_would_block(code) == 0 { return read(id) }
        break
      }
      conversations[id]?.output.removeFirst(sent)
    }
    guard let conversation = conversations[id] else { return }
    loop.rewatch(
      conversation.descriptor, conversation.output.isEmpty ? .readable : [.readable, .writable], data: id)
  }

  private func read(_ id: UInt64) {
    guard let conversation = conversations[id] else { return }
    let received = roost_recv(conversation.descriptor, scratch, 16_384)
    if received < 0 {
      let code = roost_errno()
      if code == ROOST_EINTR || roost_would_block(code) != 0 { return }
      return finish(id, .closed)
    }
    guard received > 0 else { return finish(id, .closed) }
    if let probe = conversation.http2 {
      probe.receive(scratch, received)
      if let answer = probe.answer { return finish(id, answer) }
      conversations[id]?.output += probe.output()
      probe.giveUp()
      if let answer = probe.answer { return finish(id, answer) }
      return flush(id)
    }
    conversations[id]?.input.append(contentsOf: UnsafeBufferPointer(start: scratch, count: received))
    judge(id)
  }

  private func judge(_ id: UInt64) {
    while let input = conversations[id]?.input {
      let end = input.withUnsafeBufferPointer { bytes in
        bytes.baseAddress.flatMap { HTTP1Head.end($0, bytes.count, from: 0) }
      }
      guard let end else {
        if !Self.mayBeHTTP(input) { return finish(id, .malformed("it does not speak HTTP/1.1")) }
        if input.count > Self.inputLimit { finish(id, .malformed("the head of its answer is too large")) }
        return
      }
      do throws(HTTP1Fault) {
        let head = try HTTP1ResponseHead.parse(input[0..<end])
        if head.status >= 200 || head.status == 101 { return finish(id, .status(head.status)) }
        conversations[id]?.input.removeFirst(end)
      } catch { return finish(id, .malformed("it does not speak HTTP/1.1: \(error.message)")) }
    }
  }

  /// Bytes that can't begin an answer need no more of them to be refused.
  private static func mayBeHTTP(_ input: [UInt8]) -> Bool {
    zip(input, "HTTP/1.".utf8).allSatisfy { $0 == $1 }
  }
}

extension Duration {
  var nanoseconds: Int64 {
    let parts = components
    return parts.seconds * 1_000_000_000 + parts.attoseconds / 1_000_000_000
  }
}
