internal import Domain
internal import Reactor
internal import Telemetry

/// Who else learns of a request's answer. Only requests that are copied, or that the platform makes itself, have such a one.
class AnswerWitness {
  /// A cell's request was answered: with outputs (`byNode`), or with an error. Called once at most, on the loop's thread.
  func answered(
    _ request: ExecuteRequest, status: Int, _ body: UnsafePointer<UInt8>?, _ count: Int, byNode: Bool,
    now: Int64
  ) {}

  /// The same of an error answer.
  final func refused(_ request: ExecuteRequest, _ refusal: Refusal, now: Int64) {
    let body = refusal.body
    body.withUnsafeBufferPointer { bytes in
      answered(
        request, status: refusal.status, bytes.baseAddress, bytes.count, byNode: refusal.details != nil,
        now: now)
    }
  }
}

/// A copy of one request that is being made. Lives on its loop; what is complete goes to the sink, which must not block.
final class Capture: AnswerWitness {
  private let alias: SharedAlias
  private let node: NodeID
  private let requestID: String
  private let most: Int
  private let forMirror: Bool
  private let forRecording: Bool
  private let room: CopyRoom
  private let sink: @Sendable (CapturedExchange) -> Bool
  private var head: [UInt8] = []
  private var body: [UInt8] = []
  private var answer: [UInt8] = []
  private var status = 0
  private var contentType = ""
  private var contentEncoding = ""
  /// It was counted what became of it.
  private var isDone = false

  init(
    _ alias: SharedAlias, node: NodeID, requestID: String, most: Int, forMirror: Bool, forRecording: Bool,
    _ ledger: CopyLedger, sink: @escaping @Sendable (CapturedExchange) -> Bool
  ) {
    self.alias = alias
    self.node = node
    self.requestID = requestID
    self.most = most
    self.forMirror = forMirror
    self.forRecording = forRecording
    self.sink = sink
    room = CopyRoom(ledger)
  }

  deinit { if !isDone { count(\.unanswered) } }

  private func count(_ which: KeyPath<CopyCounters, Counter>) {
    if forMirror { alias.mirrored[keyPath: which].add() }
    if forRecording { alias.recorded[keyPath: which].add() }
  }

  /// No copy of this one after all.
  func giveUp(_ reason: KeyPath<CopyCounters, Counter>) {
    guard !isDone else { return }
    isDone = true
    count(reason)
    head = []
    body = []
    answer = []
  }

  private func takes(_ more: Int, beside held: Int) -> Bool {
    guard !isDone else { return false }
    guard held + more <= most else {
      giveUp(\.tooLarge)
      return false
    }
    guard room.grow(by: more) else {
      giveUp(\.overMemory)
      return false
    }
    return true
  }

  func add(head bytes: UnsafeBufferPointer<UInt8>) {
    // The limit is one of bodies.
    guard !isDone else { return }
    guard room.grow(by: bytes.count) else { return giveUp(\.overMemory) }
    head.append(contentsOf: bytes)
  }

  func add(body bytes: UnsafePointer<UInt8>, _ count: Int) {
    guard takes(count, beside: body.count) else { return }
    body.append(contentsOf: UnsafeBufferPointer(start: bytes, count: count))
  }

  func add(answer bytes: UnsafePointer<UInt8>, _ count: Int) {
    guard takes(count, beside: answer.count) else { return }
    answer.append(contentsOf: UnsafeBufferPointer(start: bytes, count: count))
  }

  func began(status: Int, contentType: String, contentEncoding: String = "") {
    self.status = status
    self.contentType = contentType
    self.contentEncoding = contentEncoding
  }

  /// The answer of a server is complete.
  func ended(microseconds: Int) {
    finish(.proxy(head: head, body: body), microseconds: microseconds)
  }

  override func answered(
    _ request: ExecuteRequest, status: Int, _ bytes: UnsafePointer<UInt8>?, _ count: Int, byNode: Bool,
    now: Int64
  ) {
    // What the gateway refused says nothing about nodes.
    guard byNode else { return giveUp(\.unanswered) }
    began(status: status, contentType: "application/json")
    if let bytes { add(answer: bytes, count) }
    finish(.execute(input: body), microseconds: Int((now - request.dispatched) / 1000))
  }

  private func finish(_ content: NodeCall.Content, microseconds: Int) {
    guard !isDone else { return }
    isDone = true
    let copy = CapturedExchange(
      alias: alias.id, node: node, requestID: requestID, request: content, status: status,
      contentType: contentType, contentEncoding: contentEncoding, answer: answer,
      microseconds: microseconds, at: Timestamp(microseconds: WallClock.microseconds()), forMirror: forMirror,
      forRecording: forRecording, room: room)
    count(sink(copy) ? \.taken : \.overMemory)
  }
}
