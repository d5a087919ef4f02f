internal import CLinux
internal import Domain
internal import HTTPTransport
internal import Reactor
internal import Telemetry
internal import Wire

/// What is known of a request for a cell before it is one of its node's.
struct Arrival {
  /// The loop's clock when its last byte had been read.
  let at: Int64
  fileprivate(set) var identifier: InlineArray<64, UInt8> = .init(repeating: 0)
  fileprivate(set) var identifierCount = 0
  fileprivate(set) var trace = TraceContext()

  fileprivate init(at: Int64) { self.at = at }

  var identifierText: String {
    var bytes: [UInt8] = []
    for index in 0..<identifierCount { bytes.append(identifier[index]) }
    return String(decoding: bytes, as: UTF8.self)
  }
}

/// The steps that all requests for cells share, whatever their form.
extension GatewayLoop {
  func arrive(_ exchange: HTTPExchange, _ fields: UnsafeMutablePointer<HTTP1Field>) -> Arrival {
    var arrival = Arrival(at: loop.clock())
    arrival.identifierCount = takeIdentifier(exchange, fields, into: &arrival.identifier)
    arrival.trace = takeTrace(exchange, fields)
    return arrival
  }

  /// A request of `node` with all but its input, which `start` is given.
  func prepare(
    _ exchange: HTTPExchange, _ fields: UnsafeMutablePointer<HTTP1Field>, _ arrival: borrowing Arrival,
    _ node: LoopNode, _ form: ExecuteRequest.Form, inputCount: Int
  ) throws(Refusal) -> ExecuteRequest {
    let timeout = try timeout(of: node, exchange, fields)
    let request = takeRequest()
    request.form = form
    request.connection = exchange.key
    request.node = node
    request.arrived = arrival.at
    request.deadline = arrival.at + timeout.nanoseconds
    request.callerSetDeadline = timeout.isCallers
    request.identifier = arrival.identifier
    request.identifierCount = arrival.identifierCount
    request.trace = arrival.trace
    request.peer = exchange.peer
    request.path = form == .rest ? nil : pathCounters(node, exchange)
    request.inputCount = inputCount
    request.isRepeatable = hasIdempotencyKey(exchange, fields)
    exchange.ownerTag = request.tag
    return request
  }

  /// Whether the caller says that nothing bad comes of its request being run more than once
  /// (draft-ietf-httpapi-idempotency-key-header).
  func hasIdempotencyKey(_ exchange: HTTPExchange, _ fields: UnsafeMutablePointer<HTTP1Field>) -> Bool {
    guard let base = exchange.base else { return false }
    let name: StaticString = "idempotency-key"
    for index in 0..<Int(exchange.head.fieldCount) where fields[index].nameCount == 15 {
      if scan_equals_lower(base + Int(fields[index].nameStart), name.utf8Start, 15) != 0 { return true }
    }
    return false
  }

  func start(_ request: ExecuteRequest, _ node: LoopNode, _ input: [UInt8]) {
    input.withUnsafeBufferPointer { bytes in
      if let base = bytes.baseAddress { start(request, node, base, bytes.count) }
    }
  }

  /// Counts, remembers and answers a request that never became one of its node's. `known` is the node, once it is found.
  func refuse(
    _ exchange: HTTPExchange, _ arrival: borrowing Arrival, _ known: LoopNode?, _ form: ExecuteRequest.Form,
    _ refusal: Refusal
  ) {
    if let hold = refusal.holder.flatMap({ holds[$0] }) {
      guard let full = park(exchange, refusal, hold) else { return }
      var refused = full
      refused.isOpenInference = refusal.isOpenInference
      return refuse(exchange, arrival, known, form, refused)
    }
    let microseconds = Int((loop.clock() - arrival.at) / 1000)
    if let known, form == .rest {
      known.shared.answered(status: refusal.status, microseconds: microseconds)
    } else if let known {
      let path = pathCounters(known, exchange)
      path?.answered(status: refusal.status, microseconds: microseconds)
      if exchange.isGRPC { path?.answered(grpcStatus: refusal.code.rpcCode) }
    } else {
      counters.refused.add()
    }
    noteRefused(
      known, arrival.identifier, arrival.identifierCount, arrival.trace, peer: exchange.peer,
      status: refusal.status, microseconds: microseconds)
    answer(exchange, refusal, requestID: arrival.identifierText, trace: arrival.trace)
  }
}
