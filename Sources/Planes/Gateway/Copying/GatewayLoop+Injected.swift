internal import Domain
internal import HTTPTransport
internal import Reactor
internal import Telemetry
internal import Wire

/// Requests that the platform itself makes to nodes: copies for mirrors, recorded requests again. They take places as others do, and
/// without `mayWait` only such as nobody waits for.
extension GatewayLoop {
  func make(_ injected: InjectedCall) {
    let call = injected.call
    guard let node = nodes.first(where: { $0.entry.routed.id == call.node }) else {
      return injected.end(.failed("the node does not exist"))
    }
    if let refusal = node.entry.routed.refusal { return injected.end(.failed(refusal)) }
    switch call.content {
    case .execute(let input): execute(injected, node, input)
    case .proxy(let head, let body): send(injected, node, head, body)
    }
  }

  // MARK: Cells

  private func execute(_ injected: InjectedCall, _ node: LoopNode, _ input: [UInt8]) {
    guard !node.entry.routed.outputs.isEmpty else {
      return injected.end(.failed("it is made of servers and has no cell to execute"))
    }
    let request = takeRequest()
    // No exchange has this key: who is answered is the witness.
    request.connection = UInt64(UInt32.max >> 1)
    request.node = node
    request.arrived = loop.clock()
    let own = Int64(node.entry.routed.timeoutMilliseconds)
    let wanted = Int64(injected.call.timeoutMilliseconds)
    request.deadline = request.arrived + min(own > 0 ? own : wanted, wanted) * 1_000_000
    request.callerSetDeadline = false
    request.identifierCount = 0
    for byte in injected.call.requestID.utf8.prefix(64) {
      request.identifier[request.identifierCount] = byte
      request.identifierCount += 1
    }
    request.trace = TraceContext()
    request.peer = nil
    request.inputCount = input.count
    request.witness = InjectedWitness(injected)
    if injected.call.mayWait { return start(request, node, input) }
    let isStarted = input.withUnsafeBufferPointer { bytes in
      bytes.baseAddress.map { startAtOnce(request, node, $0, bytes.count) } ?? false
    }
    guard !isStarted else { return }
    injected.end(.busy)
    recycle(request)
  }

  // MARK: Servers

  private func send(_ injected: InjectedCall, _ node: LoopNode, _ head: [UInt8], _ body: [UInt8]) {
    guard node.entry.routed.outputs.isEmpty else {
      return injected.end(.failed("it runs a cell and takes no requests for servers"))
    }
    if node.targets.isEmpty, injected.call.mayWait { shared.observe(.waiting(node.entry.routed.id)) }
    guard node.shared.queueLength == 0, let target = freeTarget(node) else { return injected.end(.busy) }
    injectedSerial &+= 1
    let tag = UInt64(injectedSerial & 0x7fff_ffff) | 1 << 40
    let exchange = InjectedExchange(
      injected, node, target, path: path(of: head, node), began: loop.clock())
    self.injected[tag] = exchange
    node.shared.inFlight.add(1)
    let plan = node.plan
    var limit = Int64(injected.call.timeoutMilliseconds) * 1_000_000
    if plan.total > 0 { limit = min(limit, plan.total) }
    if plan.firstByte > 0 { limit = min(limit, plan.connect + plan.firstByte) }
    exchange.timer = loop.setTimer(at: loop.now + limit, data: Kind.injected << 56 | tag)
    begin(exchange, tag, fresh: false)
  }

  private func begin(_ exchange: InjectedExchange, _ tag: UInt64, fresh: Bool) {
    guard case .proxy(let head, let body) = exchange.injected.call.content else { return }
    let started: Result<UpstreamExchange, UpstreamFailure> = head.withUnsafeBufferPointer { bytes in
      guard let base = bytes.baseAddress else { return .failure(.connectTimeout) }
      do throws(UpstreamFailure) {
        return .success(
          try upstream.start(
            exchange.target.upstream, head: base, count: bytes.count,
            body: body.isEmpty ? .none : .counted(body.count), tag: tag, fresh: fresh, unique: true))
      } catch { return .failure(error) }
    }
    switch started {
    case .failure: endInjected(tag, .failed("its instance can't be reached"))
    case .success(let sent):
      exchange.upstream = sent
      guard !body.isEmpty else { return }
      body.withUnsafeBufferPointer { bytes in
        if let base = bytes.baseAddress { upstream.send(sent, base, bytes.count) }
      }
      upstream.end(sent)
    }
  }

  private func freeTarget(_ node: LoopNode) -> ProxyTarget? {
    let count = node.targets.count
    guard count > 0 else { return nil }
    let first = Int(truncatingIfNeeded: rotation % UInt(count))
    rotation &+= 1
    for step in 0..<count {
      let target = node.targets[(first + step) % count]
      guard target.shared.load < target.shared.limit, !target.shared.isResting(loop.now) else { continue }
      if target.shared.acquire() { return target }
    }
    return nil
  }

  private func path(of head: [UInt8], _ node: LoopNode) -> PathCounters? {
    guard let start = head.firstIndex(of: 0x20), let end = head[(start + 1)...].firstIndex(of: 0x20) else {
      return nil
    }
    return head.withUnsafeBufferPointer { bytes in
      bytes.baseAddress.map { node.pathCache.find($0 + start + 1, end - start - 1, in: node.shared.paths) }
    }
  }

  /// Lets go of what the instance says from now on.
  private func endInjected(_ tag: UInt64, _ result: NodeCallResult) {
    guard let exchange = injected.removeValue(forKey: tag) else { return }
    loop.cancel(&exchange.timer)
    if let upstream = exchange.upstream {
      exchange.upstream = nil
      self.upstream.cancel(upstream)
    }
    exchange.target.shared.release()
    exchange.node.shared.inFlight.add(-1)
    exchange.node.shared.done(loop.now)
    let microseconds = Int((loop.clock() - exchange.began) / 1000)
    exchange.path?.answered(status: exchange.status == 0 ? 502 : exchange.status, microseconds: microseconds)
    exchange.injected.end(result)
    if exchange.node.shared.queueLength > 0 { pump(exchange.node) }
  }

  func injectedTimerFired(_ tag: UInt64) {
    guard let exchange = injected[tag] else { return }
    exchange.timer = .none
    endInjected(tag, .failed("it did not answer in time"))
  }

  // MARK: What the instance says

  func injectedHead(_ upstream: UpstreamExchange, _ fields: ProxyFields) {
    let tag = upstream.ownerTag
    guard let exchange = injected[tag] else { return self.upstream.cancel(upstream) }
    exchange.status = Int(upstream.head.status)
    if exchange.status == 101 || (fields.isEventStream && upstream.head.contentLength < 0) {
      return endInjected(tag, .failed("it answered with a stream"))
    }
    let name = Array("content-type".utf8)
    for index in 0..<fields.count where fields.isNamed(index, name) {
      exchange.contentType = String(decoding: fields.value(index), as: UTF8.self)
    }
  }

  func injectedPart(_ upstream: UpstreamExchange, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
    let tag = upstream.ownerTag
    guard let exchange = injected[tag] else { return self.upstream.cancel(upstream) }
    guard exchange.body.count + count <= exchange.injected.call.mostAnswerBytes else {
      return endInjected(
        tag, .failed("its answer has more than \(exchange.injected.call.mostAnswerBytes) bytes"))
    }
    exchange.body.append(contentsOf: UnsafeBufferPointer(start: bytes, count: count))
  }

  func injectedEnded(_ upstream: UpstreamExchange) {
    guard let exchange = injected[upstream.ownerTag] else { return }
    exchange.upstream = nil
    let microseconds = Int((loop.clock() - exchange.began) / 1000)
    endInjected(
      upstream.ownerTag,
      .answered(
        status: exchange.status, contentType: exchange.contentType, body: exchange.body,
        microseconds: microseconds, byNode: true))
  }

  func injectedFailed(_ upstream: UpstreamExchange, _ failure: UpstreamFailure) {
    let tag = upstream.ownerTag
    guard let exchange = injected[tag] else { return }
    exchange.upstream = nil
    // A kept connection may have been closed while it was idle.
    if failure.isReused, failure.kind == .closed, !exchange.isRepeated {
      exchange.isRepeated = true
      return begin(exchange, tag, fresh: true)
    }
    endInjected(tag, .failed("its instance gave no whole answer"))
  }

  func endAllInjected() {
    for tag in Array(injected.keys) { endInjected(tag, .failed("the server is shutting down")) }
  }
}
