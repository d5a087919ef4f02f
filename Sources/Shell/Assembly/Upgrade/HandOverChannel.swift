import Domain
import FoundationEssentials
import HTTPModel
import Sandboxing
import Synchronization

/// What the process that serves and the one that takes over tell each other. The order of a hand-over:
/// `prepared`, `take`, `ready`, a `request` of the health check, `listen`, `listening`; from then on the rest.
enum HandOverMessage: Codable, Sendable {
  // From the process that takes over.
  /// All is checked that can be without owning the data folder.
  case prepared(version: String, schema: Int)
  /// It gives up.
  case failed(message: String)
  /// The database is open, the instances are found.
  case ready
  /// Every loop accepts connections.
  case listening
  /// Instances that requests may be sent to.
  case keep(instances: [String])
  /// How many requests does the other process have at an instance?
  case outstanding(ask: Int, instance: String)
  /// Streams at an instance end.
  case endStreams(instance: String)
  case answer(ask: Int, answer: HandedResponse)

  // From the process that hands over.
  /// The data folder is the other's; `healthy` get requests.
  case take(healthy: [String])
  case listen
  /// What its gateway saw of an instance or a node, for the process that can do something about it.
  case unreachable(instance: String, reason: String)
  case hung(instance: String, request: String)
  case waiting(node: String)
  /// A request of the API, for the process that can answer it.
  case request(ask: Int, request: HandedRequest)
  case count(ask: Int, requests: Int)
}

extension HandOverMessage {
  init(_ observation: GatewayObservation) {
    switch observation {
    case .unreachable(let id, let reason): self = .unreachable(instance: id.text, reason: reason)
    case .hung(let id, let request): self = .hung(instance: id.text, request: request)
    case .waiting(let node): self = .waiting(node: node.text)
    }
  }

  /// Nil for other messages.
  var observation: GatewayObservation? {
    switch self {
    case .unreachable(let id, let reason): InstanceID(id).map { .unreachable($0, reason: reason) }
    case .hung(let id, let request): InstanceID(id).map { .hung($0, requestID: request) }
    case .waiting(let node): NodeID(node).map { .waiting($0) }
    default: nil
    }
  }
}

/// A request of the API on its way to another process.
struct HandedRequest: Codable, Sendable {
  var method: String
  var target: String
  var headers: [[String]]
  var body: Data
  var requestID: String
  var peer: String
  var isTLS: Bool
  var isGRPC: Bool

  init(_ request: HTTPRequest) {
    method = request.method
    target = request.target
    headers = request.headers.map { [$0.name, $0.value] }
    body = Data(request.body)
    requestID = request.requestID
    peer = request.peer
    isTLS = request.isTLS
    isGRPC = request.isGRPC
  }

  var request: HTTPRequest {
    HTTPRequest(
      method: method, target: target, headers: HandedResponse.pairs(headers), body: Array(body),
      requestID: requestID, peer: peer, isTLS: isTLS, isGRPC: isGRPC)
  }
}

/// Its answer.
struct HandedResponse: Codable, Sendable {
  var status: Int
  var headers: [[String]]
  var body: Data
  var trailers: [[String]]

  init(_ response: HTTPResponse) {
    status = response.status
    headers = response.headers.map { [$0.name, $0.value] }
    body = Data(response.body)
    trailers = response.trailers.map { [$0.name, $0.value] }
  }

  var response: HTTPResponse {
    HTTPResponse(
      status: status, headers: Self.pairs(headers), body: Array(body), trailers: Self.pairs(trailers))
  }

  static func pairs(_ list: [[String]]) -> [(name: String, value: String)] {
    list.compactMap { $0.count == 2 ? (name: $0[0], value: $0[1]) : nil }
  }
}

/// The connection of the two processes: JSON messages behind their length (four bytes, big end first).
final class HandOverChannel: Sendable {
  private struct State {
    var inbox: [HandOverMessage] = []
    var isOver = false
    var asks: [Int: CheckedContinuation<HandOverMessage?, Never>] = [:]
    var lastAsk = 0
  }

  private static let longest = 64 << 20
  private let connection: UnixConnection
  private let state = Mutex(State())
  private let writing = Mutex(())
  private let handle: @Sendable (HandOverMessage, HandOverChannel) -> Bool

  /// - Parameter handle: sees each message first, in order, on a thread that waits for it; true: it needs nobody else.
  init(_ connection: UnixConnection, handle: @escaping @Sendable (HandOverMessage, HandOverChannel) -> Bool) {
    self.connection = connection
    self.handle = handle
    startThread { [self] in read() }
  }

  /// The other process has ended, or what it says is not understood.
  var isOver: Bool { state.withLock { $0.isOver } }

  /// False when the other process does not take it.
  @discardableResult
  func send(_ message: HandOverMessage) -> Bool {
    guard let json = try? JSONEncoder().encode(message), json.count <= Self.longest else { return false }
    let count = UInt32(json.count)
    let head = [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: count >> $0) }
    return writing.withLock { _ in
      do throws(UnixConnection.Failure) {
        try connection.send(head + Array(json), deadline: Deadline(after: .seconds(10)))
        return true
      } catch { return false }
    }
  }

  /// The next message that nobody handled; nil after the time, or when none can come.
  func receive(until deadline: ContinuousClock.Instant) async -> HandOverMessage? {
    while true {
      let (message, isOver) = state.withLock { state in
        (state.inbox.isEmpty ? nil : state.inbox.removeFirst(), state.isOver)
      }
      if let message { return message }
      if isOver || ContinuousClock.now >= deadline { return nil }
      try? await Task.sleep(for: .milliseconds(2))
    }
  }

  /// Sends a question and waits for its answer; nil when none comes within the time.
  func ask(
    within limit: Duration, _ question: @Sendable (Int) -> HandOverMessage
  ) async -> HandOverMessage? {
    let number = state.withLock { state in
      state.lastAsk += 1
      return state.lastAsk
    }
    let message = question(number)
    return await withCheckedContinuation { continuation in
      state.withLock { $0.asks[number] = continuation }
      if isOver || !send(message) { settle(number, nil) }
      Task {
        try? await Task.sleep(for: limit)
        settle(number, nil)
      }
    }
  }

  private func settle(_ ask: Int, _ message: HandOverMessage?) {
    state.withLock { $0.asks.removeValue(forKey: ask) }?.resume(returning: message)
  }

  private func read() {
    var buffer: [UInt8] = []
    while let part = next() {
      buffer += part
      while buffer.count >= 4 {
        let count = buffer[..<4].reduce(0) { $0 << 8 | Int($1) }
        guard count <= Self.longest else { return end() }
        guard buffer.count >= 4 + count else { break }
        guard
          let message = try? JSONDecoder().decode(HandOverMessage.self, from: Data(buffer[4..<4 + count]))
        else { return end() }
        buffer.removeFirst(4 + count)
        switch message {
        case .answer(let ask, _), .count(let ask, _): settle(ask, message)
        default: if !handle(message, self) { state.withLock { $0.inbox.append(message) } }
        }
      }
    }
    end()
  }

  private func next() -> [UInt8]? {
    while true {
      do throws(UnixConnection.Failure) {
        return try connection.receive(deadline: Deadline(after: .seconds(3600)))
      } catch {
        if case .timedOut = error { continue }
        return nil
      }
    }
  }

  private func end() {
    let left = state.withLock { state in
      state.isOver = true
      defer { state.asks = [:] }
      return Array(state.asks.values)
    }
    for continuation in left { continuation.resume(returning: nil) }
  }
}
