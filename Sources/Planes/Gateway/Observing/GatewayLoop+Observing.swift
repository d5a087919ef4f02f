internal import HTTPTransport
internal import Reactor
internal import Telemetry
internal import Wire

/// What is kept of a request when it has ended, and its place in a trace.
extension GatewayLoop {
  /// The trace that the caller names, else a new one; with a new span.
  func takeTrace(_ exchange: HTTPExchange, _ fields: UnsafeMutablePointer<HTTP1Field>) -> TraceContext {
    let place = Int(exchange.head.traceparent)
    if place >= 0, let base = exchange.base,
      var given = TraceContext(base + Int(fields[place].valueStart), Int(fields[place].valueCount))
    {
      given.span = nextRandom() | 1
      return given
    }
    var trace = TraceContext()
    trace.traceHigh = nextRandom()
    trace.traceLow = nextRandom() | 1
    trace.span = nextRandom() | 1
    trace.isSampled = shared.spans?.takes(nextRandom()) ?? false
    return trace
  }

  /// Remembers an execute request that has ended.
  func note(_ request: ExecuteRequest, status: Int, now: Int64, responseBytes: Int = 0) {
    var record = RequestRecord()
    record.route = .execute
    if let node = request.node?.key {
      record.node = node
      record.hasNode = true
    }
    if let instance = request.link?.instanceKey {
      record.instance = instance
      record.hasInstance = true
    }
    record.requestBytes = request.inputCount
    record.responseBytes = responseBytes
    record.peer = request.peer
    record.retries = UInt16(clamping: request.attempts - 1)
    let handed = request.dispatched == 0 ? now : request.dispatched
    record.queued = Int((handed - request.arrived) / 1000)
    keep(
      &record, request.identifier, request.identifierCount, request.trace, status: status,
      microseconds: Int((now - request.arrived) / 1000))
  }

  /// Remembers a request for a cell that never became one of its node's.
  func noteRefused(
    _ node: LoopNode?, _ identifier: InlineArray<64, UInt8>, _ count: Int, _ trace: TraceContext,
    peer: NetworkAddress?, status: Int, microseconds: Int
  ) {
    var record = RequestRecord()
    if let key = node?.key {
      record.route = .execute
      record.node = key
      record.hasNode = true
    }
    record.queued = microseconds
    record.peer = peer
    keep(&record, identifier, count, trace, status: status, microseconds: microseconds)
  }

  /// The counters of a request's path.
  func pathCounters(_ node: LoopNode, _ exchange: HTTPExchange) -> PathCounters? {
    guard let base = exchange.base else { return nil }
    return node.pathCache.find(
      base + Int(exchange.head.targetStart), Int(exchange.head.targetCount), in: node.shared.paths)
  }

  /// Remembers a proxied request that has ended.
  func note(_ request: ProxyRequest, now: Int64) {
    var record = RequestRecord()
    record.route = request.route
    if let node = request.node?.key {
      record.node = node
      record.hasNode = true
    }
    if let instance = request.target?.instanceKey {
      record.instance = instance
      record.hasInstance = true
    }
    record.requestBytes = request.received
    record.responseBytes = request.sent
    record.peer = request.peer
    record.retries = UInt16(clamping: request.attempts - 1)
    let handed = request.dispatched == 0 ? now : request.dispatched
    record.queued = Int((handed - request.arrived) / 1000)
    keep(
      &record, request.identifier, request.identifierCount, request.trace, status: request.status,
      microseconds: Int((now - request.arrived) / 1000))
  }

  /// Fills in what every record has, and keeps it: in the ring, in the access log, and for the collector.
  func keep(
    _ record: inout RequestRecord, _ identifier: InlineArray<64, UInt8>, _ count: Int, _ trace: TraceContext,
    status: Int, microseconds: Int
  ) {
    record.identifier = identifier
    record.identifierCount = UInt8(clamping: count)
    record.trace = trace
    record.status = Int16(clamping: status)
    record.duration = microseconds
    record.endedAt = WallClock.microseconds()
    journal.note(record)
    if accessLog != nil { logText.add(record) }
    guard trace.isSampled, shared.spans != nil else { return }
    spans.append(record)
    if spans.count >= 256 { flushSpans() }
  }

  /// Hands finished spans to the exporter.
  func flushSpans() {
    guard !spans.isEmpty else { return }
    shared.spans?.export(spans)
    spans.removeAll(keepingCapacity: true)
  }

  /// The header that tells a caller where to look for what went wrong (W3C Trace Context, level 2).
  func appendTrace(_ trace: TraceContext, to exchange: HTTPExchange) {
    exchange.output.append("traceresponse: ")
    trace.write(exchange.output.room(TraceContext.byteCount))
    exchange.output.wrote(TraceContext.byteCount)
    exchange.output.append("\r\n")
  }
}
