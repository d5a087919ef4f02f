internal import CLinux
internal import Reactor
internal import TLS
internal import Wire

/// The thread behind `ProbeClient`: a small state machine per question.
final class ProbeLoop: LoopOwner {
  enum Command: Sendable {
    case ask(UInt64, ProbeQuestion, FirstReply<ProbeAnswer>)
    case cancel(UInt64)
    case stop
  }

  private struct Conversation {
    enum Phase { case connecting, shaking, talking }
    var question: ProbeQuestion
    var reply: FirstReply<ProbeAnswer>
    var descriptor: Int32
    var phase = Phase.connecting
    var timer: TimerWheel.Token
    var output: [UInt8] = []
    var input: [UInt8] = []
    /// Set when HTTP/2 is spoken.
    var http2: HTTP2Probe?
    var cipher: UpstreamCipher?
  }

  /// Longest head that is read.
  private static let inputLimit = 65_536

  private let mailbox: Mailbox<Command>
  private let loop: EventLoop
  private var conversations: [UInt64: Conversation] = [:]
  private let tls: TLSContext?
  private let scratch = UnsafeMutablePointer<UInt8>.allocate(capacity: 65_536)

  init(_ mailbox: Mailbox<Command>, _ tls: TLSContext?) {
    self.mailbox = mailbox
    self.tls = tls
    loop = EventLoop(bell: mailbox.bell)
  }

  deinit { scratch.deallocate() }

  func run() { loop.run(self) }

  func rung() {
    for command in mailbox.take() {
      switch command {
      case .ask(let id, let question, let reply): begin(id, question, reply)
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

  private func begin(_ id: UInt64, _ question: ProbeQuestion, _ reply: FirstReply<ProbeAnswer>) {
    let descriptor = Self.connect(question.address)
    guard descriptor >= 0 else { return reply.give(.unreachable(-descriptor)) }
    let timer = loop.setTimer(at: loop.clock() + question.timeout.nanoseconds, data: id)
    conversations[id] = Conversation(
      question: question, reply: reply, descriptor: descriptor, timer: timer)
    if !loop.watch(descriptor, .writable, data: id) { finish(id, .unreachable(roost_errno())) }
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
    ended.reply.give(answer)
  }

  func ready(_ id: UInt64, _ events: ReadyEvents) {
    switch conversations[id]?.phase {
    case .connecting: connected(id)
    case .shaking: shake(id)
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
    guard let name = conversation.question.serverName else { return talk(id) }
    let isHTTP2 = conversation.question.overHTTP2
    guard let tls,
      let cipher = UpstreamCipher(UpstreamIdentity(context: tls, serverName: name), isHTTP2: isHTTP2)
    else { return finish(id, .untrusted("TLS is not set up")) }
    conversations[id]?.cipher = cipher
    conversations[id]?.phase = .shaking
    shake(id)
  }

  private func shake(_ id: UInt64) {
    guard let conversation = conversations[id], let cipher = conversation.cipher else { return }
    switch cipher.shake(conversation.descriptor, scratch) {
    case .done: talk(id)
    case .waiting:
      loop.rewatch(
        conversation.descriptor, cipher.wantsToWrite ? [.readable, .writable] : .readable, data: id)
    case .failed(let failure):
      finish(id, failure.tls.map { .untrusted($0) } ?? .unreachable(failure.code))
    }
  }

  private func talk(_ id: UInt64) {
    guard let question = conversations[id]?.question else { return }
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
        bytes.baseAddress.map { send(conversation, $0, bytes.count) } ?? 0
      }
      if sent < 0 {
        let code = Int32(-sent)
        if code == ROOST_EINTR { continue }
        // What the server said before it hung up is read, if it said anything.
        if roost_would_block(code) == 0 { return read(id) }
        break
      }
      conversations[id]?.output.removeFirst(sent)
    }
    guard let conversation = conversations[id] else { return }
    if let cipher = conversation.cipher { _ = cipher.drain(conversation.descriptor) }
    let isWritten = conversation.output.isEmpty && !(conversation.cipher?.wantsToWrite ?? false)
    loop.rewatch(conversation.descriptor, isWritten ? .readable : [.readable, .writable], data: id)
  }

  /// How many bytes were taken, or -errno.
  private func send(_ conversation: Conversation, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
    if let cipher = conversation.cipher { return cipher.send(conversation.descriptor, bytes, count) }
    let sent = roost_send(conversation.descriptor, bytes, count)
    return sent < 0 ? -Int(roost_errno()) : sent
  }

  private func read(_ id: UInt64) {
    guard let conversation = conversations[id] else { return }
    if let cipher = conversation.cipher {
      let received = cipher.fill(conversation.descriptor, scratch)
      if received < 0 {
        if !UpstreamCipher.isPatient(Int32(-received)) { finish(id, .closed) }
        return
      }
      while conversations[id] != nil {
        let count = cipher.read(scratch, 65_536)
        guard count > 0 else { break }
        take(id, count)
      }
      if received == 0 || cipher.hasEnded || cipher.hasFailed { finish(id, .closed) }
      return
    }
    let received = roost_recv(conversation.descriptor, scratch, 65_536)
    if received < 0 {
      let code = roost_errno()
      if code == ROOST_EINTR || roost_would_block(code) != 0 { return }
      return finish(id, .closed)
    }
    guard received > 0 else { return finish(id, .closed) }
    take(id, received)
  }

  /// Takes what was read to the loop's buffer.
  private func take(_ id: UInt64, _ received: Int) {
    guard let conversation = conversations[id] else { return }
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
    guard let input = conversations[id]?.input else { return }
    // Interim answers are passed over here and dropped together: a server may send thousands in one piece.
    var at = 0
    while true {
      let count = input.withUnsafeBufferPointer { bytes in
        bytes.baseAddress.flatMap { HTTP1Head.end($0 + at, bytes.count - at, from: 0) }
      }
      guard let count else { break }
      do throws(HTTP1Fault) {
        let head = try HTTP1ResponseHead.parse(input[at..<(at + count)])
        if head.status >= 200 || head.status == 101 { return finish(id, .status(head.status)) }
        at += count
      } catch { return finish(id, .malformed("it does not speak HTTP/1.1: \(error.message)")) }
    }
    if !Self.mayBeHTTP(input[at...]) { return finish(id, .malformed("it does not speak HTTP/1.1")) }
    if input.count - at > Self.inputLimit {
      return finish(id, .malformed("the head of its answer is too large"))
    }
    if at > 0 { conversations[id]?.input = Array(input[at...]) }
  }

  /// Bytes that can't begin an answer need no more of them to be refused.
  private static func mayBeHTTP(_ input: ArraySlice<UInt8>) -> Bool {
    zip(input, "HTTP/1.".utf8).allSatisfy { $0 == $1 }
  }
}

extension Duration {
  var nanoseconds: Int64 {
    let parts = components
    return parts.seconds * 1_000_000_000 + parts.attoseconds / 1_000_000_000
  }
}
