internal import CLinux
internal import Domain
internal import HTTPTransport
internal import Reactor
internal import Telemetry
internal import Wire

/// A proxied request between its admission and its answer: the queue, attempts at instances, bodies in both directions.
extension GatewayLoop {
  static let mostAttempts = 3

  /// Straight to an instance when nobody waits, else into the node's queue.
  func begin(_ request: ProxyRequest, _ node: LoopNode) {
    node.retries.earn()
    if node.shared.queueLength == 0, let target = acquireTarget(node, request, except: nil) {
      return attempt(request, target)
    }
    if request.execution != nil, request.heldBytes == 0 {
      // Other bodies are given on as they come, and at most a little of them is kept.
      if let objection = objection(toWaiting: request.body.count, node) { return refuse(request, objection) }
      request.heldBytes = request.body.count
      server.heldBytes += request.heldBytes
    }
    guard node.shared.enterQueue(limit: heldNanoseconds > 0 ? .max : node.entry.routed.queueLimit) else {
      let routed = node.entry.routed
      return refuse(
        request,
        Refusal(
          .resourceExhausted,
          "the queue of node \(routed.id) is full: \(routed.queueLimit) requests wait already",
          origin: .node, retryAfter: node.shared.retryAfterSeconds()))
    }
    request.ticket = node.shared.ticket()
    node.waiting.append(request.tag)
    arm(request)
    showFront(node)
    pump(node)
  }

  /// Takes a place at the least loaded instance. Instances at rest are used only when there is no other, and one that
  /// has just come back counts as more loaded than it is. Instances of other zones come after those of the gateway's own.
  func acquireTarget(_ node: LoopNode, _ request: ProxyRequest, except tried: ProxyTarget?) -> ProxyTarget? {
    let isCall = request.isGRPC && !node.callTargets.isEmpty
    let count = isCall ? node.callTargets.count : node.targets.count
    guard count > 1 else {
      guard let only = isCall ? node.callTargets.first : node.targets.first else { return nil }
      return only.shared.load < only.shared.limit && only.shared.acquire() ? only : nil
    }
    for _ in 0...count {
      var best: ProxyTarget?
      var least = Int.max
      let first = Int(truncatingIfNeeded: rotation % UInt(count))
      rotation &+= 1
      for step in 0..<count {
        let at = first + step
        let place = at < count ? at : at - count
        let target = isCall ? node.callTargets[place] : node.targets[place]
        let load = target.shared.load
        guard load < target.shared.limit else { continue }
        var score = load
        if node.plan.slowStart > 0 { score = target.shared.slowed(load, node.plan.slowStart, loop.now) }
        // Other zones serve what finds no place in this one.
        if target.isElsewhere { score += 1 << 39 }
        if target.shared.isResting(loop.now) { score += 1 << 40 }
        if let tried, target === tried { score += 1 << 41 }
        if score < least {
          best = target
          least = score
        }
      }
      guard let best else { return nil }
      if best.shared.acquire() { return best }
    }
    return nil
  }

  /// Sends the request to an instance at which it has a place.
  func attempt(_ request: ProxyRequest, _ target: ProxyTarget) {
    request.target = target
    request.attempts += 1
    request.attemptBegan = loop.now
    if request.dispatched == 0 { request.dispatched = loop.clock() }
    request.node?.shared.inFlight.add(1)
    request.state = .connecting
    guard let head = request.head.base else { return }
    let upstream: UpstreamExchange
    do throws(UpstreamFailure) {
      upstream = try self.upstream.start(
        target.upstream, head: head, count: request.head.count,
        body: request.isTunnel ? .webSocket : request.framing, tag: request.tag, fresh: request.wantsFresh,
        unique: !request.isIdempotent)
    } catch { return attemptFailed(request, error) }
    request.upstream = upstream
    if upstream.isConnected { request.state = .waiting }
    if request.framing != .none, let body = request.body.base, !request.body.isEmpty {
      self.upstream.send(upstream, body, request.body.count)
    }
    if request.requestEnded, request.framing != .none {
      self.upstream.end(upstream, trailers: request.trailers.bytes)
    }
    arm(request)
    if !request.requestEnded, let exchange = held(of: request) {
      exchange._withUnsafeGuaranteedRef { server.resume($0) }
    }
  }

  func exchange(of request: ProxyRequest) -> HTTPExchange? { held(of: request)?.takeUnretainedValue() }

  /// The same, not counted: the server's slab holds it.
  private func held(of request: ProxyRequest) -> Unmanaged<HTTPExchange>? {
    guard let exchange = server.held(request.exchange) else { return nil }
    let isOurs = exchange._withUnsafeGuaranteedRef { $0.ownerTag == request.tag }
    return isOurs ? exchange : nil
  }

  // MARK: From the caller

  func bodyPart(_ exchange: HTTPExchange, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
    guard let request = proxy(exchange.ownerTag) else { return callPart(exchange, bytes, count) }
    request.active = loop.now
    request.received += count
    if let capture = request.capture { capture.add(body: bytes, count) }
    if request.state == .upgraded { return passRaw(request, exchange, bytes, count) }
    if request.framing == .none {
      // Bytes of a WebSocket that is not accepted yet.
      request.body.append(bytes, count)
      return server.pause(exchange)
    }
    if request.keepsBody {
      if request.body.count + count <= ProxyRequest.replayLimit || request.state == .queued
        || request.state == .connecting
      {
        request.body.append(bytes, count)
      } else {
        request.keepsBody = false
        request.body.clear()
      }
    }
    if let upstream = request.upstream {
      let hasRoom = self.upstream.send(upstream, bytes, count)
      if !hasRoom { server.pause(exchange) }
    }
    // Until there is a connection all that came is kept: the next instance may need it.
    if request.upstream == nil || request.state == .connecting, request.body.count >= ProxyRequest.replayLimit
    {
      server.pause(exchange)
    }
  }

  private func passRaw(
    _ request: ProxyRequest, _ exchange: HTTPExchange, _ bytes: UnsafePointer<UInt8>, _ count: Int
  ) {
    guard let upstream = request.upstream, !request.saidToInstance else { return }
    if !self.upstream.send(upstream, bytes, count) { server.pause(exchange) }
    guard request.isWebSocket else { return }
    request.toInstance.pass(bytes, count)
    if request.isLeaving { sayGoingAway(request) }
    partIfClosed(request)
  }

  func bodyEnded(_ exchange: HTTPExchange, trailers: UnsafeBufferPointer<UInt8>) {
    guard let held = heldProxy(exchange.ownerTag) else { return callEnded(exchange) }
    held._withUnsafeGuaranteedRef { bodyEnded($0, trailers) }
  }

  private func bodyEnded(_ request: ProxyRequest, _ trailers: UnsafeBufferPointer<UInt8>) {
    guard !request.requestEnded else { return }
    request.requestEnded = true
    request.active = loop.now
    if request.framing != .none || request.state == .upgraded, let upstream = request.upstream {
      self.upstream.end(upstream, trailers: trailers)
    }
    if request.state == .upgraded {
      return request.responseEnded ? finished(request) : arm(request)
    }
    request.trailers.append(trailers)
  }

  func writable(_ exchange: HTTPExchange) {
    guard let request = proxy(exchange.ownerTag) else {
      if !goOnAnswering(exchange) { sendRemainder(of: exchange) }
      return
    }
    guard let upstream = request.upstream else { return }
    self.upstream.resume(upstream)
  }

  func stalled(_ exchange: HTTPExchange) {
    guard let request = proxy(exchange.ownerTag) else { return callStalled(exchange) }
    dropUpstream(request)
    refuse(request, Refusal(.deadlineExceeded, "the request's body did not arrive in time", status: 408))
  }

  // MARK: From the instance

  func upstreamConnected(_ upstream: UpstreamExchange) {
    guard let request = proxy(upstream.ownerTag) else { return }
    request.state = .waiting
    arm(request)
    if !request.requestEnded, let exchange = exchange(of: request) { server.resume(exchange) }
  }

  func upstreamInformational(_ upstream: UpstreamExchange, fields: UnsafeMutablePointer<HTTP1Field>) {
    guard let request = proxy(upstream.ownerTag), let exchange = exchange(of: request),
      let base = upstream.base
    else { return }
    request.saidInterim = true
    let lines = ByteQueue()
    copyAnswerFields(
      ProxyFields(base: base, fields: fields, count: Int(upstream.head.fieldCount)), into: lines,
      isUpgrade: false)
    server.informational(exchange, status: Int(upstream.head.status), fields: lines.bytes)
    lines.free()
  }

  func upstreamHead(_ upstream: UpstreamExchange, fields: UnsafeMutablePointer<HTTP1Field>) {
    guard let held = heldProxy(upstream.ownerTag) else {
      guard let base = upstream.base else { return }
      return injectedHead(
        upstream, ProxyFields(base: base, fields: fields, count: Int(upstream.head.fieldCount)))
    }
    held._withUnsafeGuaranteedRef { request in
      guard let exchange = self.held(of: request) else { return callerIsGone(request) }
      exchange._withUnsafeGuaranteedRef { passHead(request, $0, upstream, fields) }
    }
  }

  private func passHead(
    _ request: ProxyRequest, _ exchange: HTTPExchange, _ upstream: UpstreamExchange,
    _ fields: UnsafeMutablePointer<HTTP1Field>
  ) {
    let head = upstream.head
    request.active = loop.now
    request.answered = loop.clock()
    request.status = Int(head.status)
    _ = request.target?.shared.answered(isFailure: head.status >= 500, now: loop.now)
    if let execution = request.execution, let base = upstream.base {
      return executionHead(
        request, execution, ProxyFields(base: base, fields: fields, count: Int(head.fieldCount)))
    }
    if head.status == 101 || request.isTunnel && head.status < 300 {
      return upgrade(request, exchange, upstream, fields)
    }
    request.body.clear()
    request.keepsBody = false
    if request.isGRPC, let base = upstream.base { request.noteStatus(base, fields, Int(head.fieldCount)) }
    request.state = .answering
    writeAnswerHead(request, exchange, upstream, fields, status: request.status)
    if head.contentLength >= 0 {
      server.endHead(exchange, contentLength: head.contentLength)
      // A short body is waited for, so that head and body leave in one piece.
      if head.contentLength > 16384 { server.push(exchange) }
    } else {
      if let base = upstream.base {
        request.isEventStream =
          ProxyFields(base: base, fields: fields, count: Int(head.fieldCount)).isEventStream
      }
      server.endHead(exchange)
    }
    if let capture = request.capture, let base = upstream.base {
      copy(
        request, capture,
        answer: ProxyFields(base: base, fields: fields, count: Int(upstream.head.fieldCount)))
    }
    arm(request)
  }

  private func upgrade(
    _ request: ProxyRequest, _ exchange: HTTPExchange, _ upstream: UpstreamExchange,
    _ fields: UnsafeMutablePointer<HTTP1Field>
  ) {
    guard request.asksUpgrade else {
      self.upstream.cancel(upstream)
      request.upstream = nil
      return refuse(
        request,
        Refusal(.unavailable, "\(name(request)) switched protocols unasked", status: 502, origin: .node))
    }
    request.state = .upgraded
    let isStream = exchange.isExtendedConnect
    let hasEnded = isStream && request.requestEnded
    request.requestEnded = hasEnded
    request.status = isStream ? 200 : 101
    writeAnswerHead(request, exchange, upstream, fields, status: request.status)
    server.upgrade(exchange)
    if !request.body.isEmpty {
      if let early = request.body.base { self.upstream.send(upstream, early, request.body.count) }
      if request.isWebSocket, let early = request.body.base {
        request.toInstance.pass(early, request.body.count)
      }
      request.body.clear()
      server.resume(exchange)
    }
    if hasEnded { self.upstream.end(upstream) }
    arm(request)
    // The gateway or the instance may have begun to leave while the instance made up its mind.
    if request.isWebSocket, server.isDraining && !server.isLeaving || request.target?.isOver == true {
      closeWebSocket(request)
    }
  }

  func upstreamPart(_ upstream: UpstreamExchange, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
    guard let held = heldProxy(upstream.ownerTag) else { return injectedPart(upstream, bytes, count) }
    held._withUnsafeGuaranteedRef { request in
      guard let exchange = self.held(of: request) else { return callerIsGone(request) }
      exchange._withUnsafeGuaranteedRef { passPart(request, $0, upstream, bytes, count) }
    }
  }

  private func passPart(
    _ request: ProxyRequest, _ exchange: HTTPExchange, _ upstream: UpstreamExchange,
    _ bytes: UnsafePointer<UInt8>, _ count: Int
  ) {
    request.active = loop.now
    if request.execution == nil { request.sent += count }
    if let capture = request.capture { capture.add(answer: bytes, count) }
    if let execution = request.execution { return executionPart(request, execution, bytes, count) }
    if !request.saidToCaller, !server.send(exchange, bytes, count) { self.upstream.pause(upstream) }
    guard request.isWebSocket, request.state == .upgraded else { return }
    request.toCaller.pass(bytes, count)
    if request.isLeaving { sayGoingAway(request) }
    partIfClosed(request)
  }

  func upstreamEnded(_ upstream: UpstreamExchange, trailers: UnsafeBufferPointer<UInt8>) {
    guard let held = heldProxy(upstream.ownerTag) else { return injectedEnded(upstream) }
    held._withUnsafeGuaranteedRef { answerEnded($0, trailers) }
  }

  private func answerEnded(_ request: ProxyRequest, _ trailers: UnsafeBufferPointer<UInt8>) {
    request.responseEnded = true
    if request.state == .upgraded {
      // With both sides closed it is not ours any more, though the caller may still have to go.
      if request.saidToInstance { request.upstream = nil }
      if let exchange = exchange(of: request) { server.end(exchange) }
      request.requestEnded ? finished(request) : arm(request)
      return
    }
    request.upstream = nil
    if request.isGRPC { request.noteStatus(trailers: trailers) }
    if let capture = request.capture { copied(request, capture) }
    if let execution = request.execution { return executionEnded(request, execution) }
    if let exchange = held(of: request) {
      exchange._withUnsafeGuaranteedRef { server.end($0, trailers: trailers) }
    }
    finished(request)
  }

  func upstreamWritable(_ upstream: UpstreamExchange) {
    guard let request = proxy(upstream.ownerTag), let exchange = exchange(of: request) else { return }
    server.resume(exchange)
  }

  func upstreamFailed(_ upstream: UpstreamExchange, _ failure: UpstreamFailure) {
    guard let request = proxy(upstream.ownerTag) else { return injectedFailed(upstream, failure) }
    request.upstream = nil
    attemptFailed(request, failure)
  }
}
