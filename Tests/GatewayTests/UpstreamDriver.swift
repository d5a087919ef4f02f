import CLinux
import Glibc
import HTTPTransport
import Reactor
import Synchronization
import Testing
import Wire

/// An upstream client on a loop of its own, for tests.
final class UpstreamDriver: Sendable {
  struct Call: Sendable {
    var address: String
    var head = "GET / HTTP/1.1\r\nhost: test\r\n"
    var body = UpstreamBody.none
    var parts: [[UInt8]] = []
    var trailers = ""
    var fresh = false
    var unique = false
    /// After an upgrade: what to send, and whether to close our side then.
    var raw: [UInt8] = []
    /// Give up once the head is there.
    var cancelsAtHead = false
    /// Stop reading after each part, for so many milliseconds.
    var pauses = 0
    /// Let the whole loop stand still between the head and the body, for so many milliseconds.
    var stalls: UInt32 = 0
  }

  struct Answer: Sendable {
    var status = 0
    var headers: [(name: String, value: String)] = []
    var interim: [Int] = []
    var body: [UInt8] = []
    var parts = 0
    var trailers = ""
    var failure: UpstreamFailure?
    var text: String { String(decoding: body, as: UTF8.self) }
  }

  enum Message: Sendable {
    case call(Call, CheckedContinuation<Answer, Never>)
    case open(String, CheckedContinuation<Int, Never>)
    case settled(String, Int, CheckedContinuation<Void, Never>)
    case stop
  }

  private let mailbox = Mailbox<Message>()
  private let thread: LoopThread?

  init(limits: UpstreamClient.Limits = UpstreamClient.Limits()) {
    thread = LoopThread(name: "upstream") { [mailbox] in
      let loop = EventLoop(bell: mailbox.bell)
      loop.run(Runner(mailbox, loop, limits))
    }
  }

  func call(_ call: Call) async -> Answer {
    await withCheckedContinuation { mailbox.post(.call(call, $0)) }
  }

  /// Connections open to an address.
  func open(_ address: String) async -> Int {
    await withCheckedContinuation { mailbox.post(.open(address, $0)) }
  }

  /// Returns once no more than `count` connections are open to an address.
  func settled(_ address: String, at count: Int) async {
    await withCheckedContinuation { mailbox.post(.settled(address, count, $0)) }
  }

  func stop() {
    mailbox.post(.stop)
    thread?.join()
  }

  private final class Runner: LoopOwner, UpstreamOwner {
    final class Pending {
      let call: Call
      let continuation: CheckedContinuation<Answer, Never>
      var answer = Answer()
      var next = 0
      init(_ call: Call, _ continuation: CheckedContinuation<Answer, Never>) {
        self.call = call
        self.continuation = continuation
      }
    }

    let mailbox: Mailbox<Message>
    let loop: EventLoop
    let limits: UpstreamClient.Limits
    lazy var client = UpstreamClient(loop: loop, limits: limits, owner: self)
    var targets: [String: UpstreamTarget] = [:]
    var pending: [UInt64: Pending] = [:]
    var paused: [UInt64: UpstreamExchange] = [:]
    var serial: UInt64 = 0
    var settling: [(address: String, count: Int, continuation: CheckedContinuation<Void, Never>)] = []

    init(_ mailbox: Mailbox<Message>, _ loop: EventLoop, _ limits: UpstreamClient.Limits) {
      self.mailbox = mailbox
      self.loop = loop
      self.limits = limits
      _ = loop.setTimer(at: loop.now + 20_000_000, data: .max)
    }

    func target(_ address: String) -> UpstreamTarget {
      if let known = targets[address] { return known }
      let made = UpstreamTarget(address: address, isHTTP2: false)
      targets[address] = made
      return made
    }

    func rung() {
      for message in mailbox.take() {
        switch message {
        case .stop: loop.stop()
        case .open(let address, let continuation): continuation.resume(returning: target(address).openCount)
        case .settled(let address, let count, let continuation):
          settling.append((address, count, continuation))
        case .call(let call, let continuation): start(call, continuation)
        }
      }
    }

    private func start(_ call: Call, _ continuation: CheckedContinuation<Answer, Never>) {
      serial += 1
      let entry = Pending(call, continuation)
      let head = Array(call.head.utf8)
      let started: Result<UpstreamExchange, UpstreamFailure> = head.withUnsafeBufferPointer { bytes in
        guard let base = bytes.baseAddress else { fatalError("a request without a head") }
        do throws(UpstreamFailure) {
          return .success(
            try client.start(
              target(call.address), head: base, count: bytes.count, body: call.body, tag: serial,
              fresh: call.fresh,
              unique: call.unique))
        } catch { return .failure(error) }
      }
      switch started {
      case .success(let exchange):
        pending[serial] = entry
        if call.stalls > 0 {
          client.flush()
          usleep(call.stalls * 1000)
        }
        push(exchange, entry)
      case .failure(let failure):
        entry.answer.failure = failure
        continuation.resume(returning: entry.answer)
      }
    }

    private func push(_ exchange: UpstreamExchange, _ entry: Pending) {
      while entry.next < entry.call.parts.count {
        let part = entry.call.parts[entry.next]
        entry.next += 1
        let more = part.withUnsafeBufferPointer { bytes in
          bytes.baseAddress.map { client.send(exchange, $0, bytes.count) } ?? true
        }
        guard more else { return }
      }
      guard entry.call.body != .none, !exchange.requestEnded else { return }
      var trailers = entry.call.trailers
      trailers.withUTF8 { client.end(exchange, trailers: $0) }
    }

    private func finish(_ tag: UInt64) {
      guard let entry = pending.removeValue(forKey: tag) else { return }
      entry.continuation.resume(returning: entry.answer)
    }

    func ready(_ data: UInt64, _ events: ReadyEvents) { client.ready(data, events) }
    func fired(_ data: UInt64) {
      if data == .max {
        client.sweep()
        for wait in settling where target(wait.address).openCount <= wait.count { wait.continuation.resume() }
        settling.removeAll { target($0.address).openCount <= $0.count }
        _ = loop.setTimer(at: loop.now + 20_000_000, data: .max)
      } else if let exchange = paused.removeValue(forKey: data) {
        client.resume(exchange)
      }
    }
    func batchEnded() { while client.hasWork { client.flush() } }

    func upstreamConnected(_ exchange: UpstreamExchange) {}
    func upstreamInformational(_ exchange: UpstreamExchange, fields: UnsafeMutablePointer<HTTP1Field>) {
      pending[exchange.ownerTag]?.answer.interim.append(Int(exchange.head.status))
    }
    func upstreamHead(_ exchange: UpstreamExchange, fields: UnsafeMutablePointer<HTTP1Field>) {
      guard let entry = pending[exchange.ownerTag], let base = exchange.base else { return }
      entry.answer.status = Int(exchange.head.status)
      func text(_ start: Int32, _ count: Int32) -> String {
        String(decoding: UnsafeBufferPointer(start: base + Int(start), count: Int(count)), as: UTF8.self)
      }
      for index in 0..<Int(exchange.head.fieldCount) {
        let field = fields[index]
        entry.answer.headers.append(
          (text(field.nameStart, field.nameCount).lowercased(), text(field.valueStart, field.valueCount)))
      }
      if entry.call.cancelsAtHead {
        let tag = exchange.ownerTag
        client.cancel(exchange)
        return finish(tag)
      }
      if exchange.head.status == 101 {
        entry.call.raw.withUnsafeBufferPointer { bytes in
          if let base = bytes.baseAddress { client.send(exchange, base, bytes.count) }
        }
        client.end(exchange)
      }
    }
    func upstreamPart(_ exchange: UpstreamExchange, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
      guard let entry = pending[exchange.ownerTag] else { return }
      entry.answer.body += Array(UnsafeBufferPointer(start: bytes, count: count))
      entry.answer.parts += 1
      if entry.call.pauses > 0 {
        client.pause(exchange)
        paused[exchange.ownerTag] = exchange
        _ = loop.setTimer(at: loop.now + Int64(entry.call.pauses) * 1_000_000, data: exchange.ownerTag)
      }
    }
    func upstreamEnded(_ exchange: UpstreamExchange, trailers: UnsafeBufferPointer<UInt8>) {
      paused[exchange.ownerTag] = nil
      pending[exchange.ownerTag]?.answer.trailers = String(decoding: trailers, as: UTF8.self)
      finish(exchange.ownerTag)
    }
    func upstreamWritable(_ exchange: UpstreamExchange) {
      if let entry = pending[exchange.ownerTag] { push(exchange, entry) }
    }
    func upstreamFailed(_ exchange: UpstreamExchange, _ failure: UpstreamFailure) {
      paused[exchange.ownerTag] = nil
      pending[exchange.ownerTag]?.answer.failure = failure
      finish(exchange.ownerTag)
    }
  }
}
