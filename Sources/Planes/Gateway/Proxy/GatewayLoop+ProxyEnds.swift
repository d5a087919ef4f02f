internal import CLinux
internal import Domain
internal import Glibc
internal import HTTPTransport
internal import Reactor
internal import Telemetry
internal import Wire

/// How proxied requests end: answers, failures, deadlines, callers who go away.
extension GatewayLoop {
  // MARK: Failures of attempts

  /// An attempt failed: another one where that is safe, else an error answer.
  func attemptFailed(_ request: ProxyRequest, _ failure: UpstreamFailure) {
    guard let target = request.target, let node = request.node else { return }
    let isStale = failure.isReused && failure.kind == .closed
    if !isStale, !isShortage(failure), failure.kind != .unprocessed, failure.kind != .noWebSocket {
      let wasIn = !target.shared.isResting(loop.now)
      if target.shared.answered(isFailure: true, now: loop.now), wasIn {
        shared.observe(.unreachable(target.shared.routed.id, reason: reason(failure)))
      }
    }
    guard request.state == .connecting || request.state == .waiting else { return broken(request, failure) }
    let mayRepeat =
      failure.nothingSent || failure.kind == .unprocessed || (failure.kind == .closed && request.isIdempotent)
      // Nothing of the answer was passed on.
      || (failure.kind == .truncated && request.execution != nil)
    let isWhole = request.keepsBody && !request.saidInterim
    if mayRepeat, isWhole, exchange(of: request) != nil,
      isStale ? !request.wantsFresh : request.attempts < Self.mostAttempts,
      // Who says goodbye has not looked at the request: sending it again is no more work for anybody.
      isStale || failure.isLeaving || node.retries.spend()
    {
      request.wantsFresh = isStale
      request.upstream = nil
      if isStale {
        // The place is kept: the instance is not to blame.
        node.shared.inFlight.add(-1)
        return attempt(request, target)
      }
      releasePlace(request)
      if let next = acquireTarget(node, request, except: target) { return attempt(request, next) }
      return requeue(request, node)
    }
    refuse(request, refusal(request, target, failure))
  }

  /// Sends a request whose instance could not take it to another one, where that is safe.
  func repeated(_ request: ProxyRequest) -> Bool {
    guard let target = request.target, let node = request.node, exchange(of: request) != nil,
      request.attempts < Self.mostAttempts, request.keepsBody, node.retries.spend()
    else { return false }
    releasePlace(request)
    if let next = acquireTarget(node, request, except: target) {
      attempt(request, next)
    } else {
      requeue(request, node)
    }
    return true
  }

  /// Back to the front of the queue: every place was taken in the meantime.
  private func requeue(_ request: ProxyRequest, _ node: LoopNode) {
    request.state = .queued
    if request.ticket == 0 { request.ticket = node.shared.ticket() }
    node.shared.reenterQueue()
    if node.front > 0 {
      node.front -= 1
      node.waiting[node.front] = request.tag
    } else {
      node.waiting.insert(request.tag, at: 0)
    }
    arm(request)
    showFront(node)
    pump(node)
  }

  /// The head of the answer has gone.
  private func broken(_ request: ProxyRequest, _ failure: UpstreamFailure) {
    if let target = request.target, let exchange = exchange(of: request) {
      breakOff(exchange, refusal(request, target, failure))
    }
    finished(request)
  }

  /// Callers of gRPC get a status; to others only a broken connection can say that the rest is missing.
  private func breakOff(_ exchange: HTTPExchange, _ refusal: Refusal) {
    exchange.ownerTag = 0
    exchange.isGRPC ? endCall(exchange, refusal) : server.reset(exchange)
  }

  func name(_ request: ProxyRequest) -> String {
    guard let target = request.target else { return "the instance" }
    return "instance \(target.shared.routed.id) of node \(request.node?.shared.id ?? "")"
  }

  /// What this process lacks itself is not the instance's fault.
  private func isShortage(_ failure: UpstreamFailure) -> Bool {
    failure.kind == .connect && failure.code > 0 && roost_is_shortage(failure.code) != 0
  }

  private func reason(_ failure: UpstreamFailure) -> String {
    let system = failure.code > 0 ? String(cString: roost_error_text(failure.code)) : ""
    if let code = failure.http2Code { return "it reset the stream (code \(code) of HTTP/2)" }
    if let reason = failure.tls { return "TLS: \(reason)" }
    switch failure.kind {
    case .connect: return system.isEmpty ? "no connection" : system
    case .closed:
      return system.isEmpty ? "it closed the connection without an answer" : "\(system) before an answer"
    case .malformed: return "it does not answer in HTTP: \(failure.fault?.message ?? "bad frames")"
    case .truncated: return "its answer broke off"
    case .unprocessed: return "it refused the stream"
    case .noWebSocket: return "it does not offer WebSockets over HTTP/2"
    }
  }

  private func refusal(_ request: ProxyRequest, _ target: ProxyTarget, _ failure: UpstreamFailure) -> Refusal
  {
    let tries = request.attempts > 1 ? " (attempt \(request.attempts))" : ""
    if failure == .connectTimeout {
      let limit = request.node?.entry.routed.proxying.connectTimeoutMilliseconds ?? 0
      return Refusal(
        .unavailable,
        "\(name(request)) can't be reached at \(target.upstream.address): the connect timeout of \(limit) ms ended\(tries)",
        origin: .node)
    }
    if failure.kind == .noWebSocket {
      return Refusal(
        .unimplemented,
        "\(name(request)) at \(target.upstream.address) takes no WebSockets: it speaks HTTP/2 without extended CONNECT (RFC 8441). Let it send SETTINGS_ENABLE_CONNECT_PROTOCOL = 1, or give the node the endpoint type http",
        origin: .node)
    }
    if isShortage(failure) {
      let advice = failure.code == EADDRNOTAVAIL ? "" : "; its limit of open files may be too low"
      return Refusal(
        .unavailable,
        "\(name(request)) was not reached: this server can't open another connection (\(reason(failure)))\(advice)",
        origin: .platform)
    }
    if failure.kind == .connect {
      return Refusal(
        .unavailable,
        "\(name(request)) can't be reached at \(target.upstream.address): \(reason(failure))\(tries)",
        origin: .node)
    }
    return Refusal(
      .unavailable, "\(name(request)) at \(target.upstream.address) failed: \(reason(failure))\(tries)",
      status: 502,
      origin: .node)
  }

  // MARK: Ends

  /// Answers with an error, or breaks off an answer that has begun.
  func refuse(_ request: ProxyRequest, _ refusal: Refusal) {
    request.status = refusal.status
    request.grpcStatus = refusal.code.rpcCode
    if request.dispatched == 0, request.node == nil { counters.refused.add() }
    if let exchange = exchange(of: request) {
      if exchange.hasBegun {
        breakOff(exchange, refusal)
      } else {
        var text: [UInt8] = []
        for index in 0..<request.identifierCount { text.append(request.identifier[index]) }
        exchange.ownerTag = 0
        let requestID = String(decoding: text, as: UTF8.self)
        answer(exchange, refusal, requestID: requestID, trace: request.trace)
      }
    }
    finished(request)
  }

  /// The request is over: its place goes to who waits.
  func finished(_ request: ProxyRequest) {
    guard request.state != .free else { return }
    let node = request.node
    let waited = request.ticket > 0 && request.state == .queued
    logProxy(request)
    releasePlace(request)
    recycle(request)
    guard let node else { return }
    if waited {
      node.shared.leaveQueue()
      showFront(node)
    }
    if node.shared.queueLength > 0 { pump(node) }
  }

  /// Gives the place at the instance back.
  func releasePlace(_ request: ProxyRequest) {
    guard let target = request.target else { return }
    request.target = nil
    target.shared.release()
    request.node?.shared.inFlight.add(-1)
    request.node?.shared.done(loop.now)
  }

  /// Nobody wants the instance's answer any more.
  func dropUpstream(_ request: ProxyRequest) {
    guard let upstream = request.upstream else { return }
    request.upstream = nil
    // An exchange is used again: never end one that is another request's by now.
    if upstream.ownerTag == request.tag { self.upstream.cancel(upstream) }
  }

  /// The instance says something to a caller who has gone in good order: one whose WebSocket both sides had closed.
  func callerIsGone(_ request: ProxyRequest) {
    dropUpstream(request)
    finished(request)
  }

  /// The caller went away.
  func abandon(_ request: ProxyRequest) {
    counters.cancelled.add()
    if request.state != .upgraded { request.status = 499 }
    dropUpstream(request)
    finished(request)
  }

  // MARK: Deadlines

  /// Sets the timer for the deadline that comes first. One that is set for an earlier time is left: it looks again.
  func arm(_ request: ProxyRequest) {
    var deadline = nextDeadline(request).at
    if !request.requestEnded, request.state == .connecting || request.state == .waiting,
      let firstByte = request.node?.plan.firstByte, firstByte > 0
    {
      // The end of the body sets no timer, and may come at once: then this is the limit, else it is looked again.
      deadline = min(deadline, loop.now + firstByte)
    }
    if request.timer != .none {
      guard deadline < request.timerAt else { return }
      loop.cancel(&request.timer)
    }
    request.timerAt = deadline
    request.timer = loop.setTimer(at: deadline, data: Kind.proxy << 56 | request.tag)
  }

  private func nextDeadline(_ request: ProxyRequest) -> (at: Int64, which: ProxyRequest.Deadline) {
    guard let plan = request.node?.plan else { return (.max, .total) }
    func after(_ from: Int64, _ time: Int64) -> Int64 { time == 0 ? .max : from + time }
    var best: (at: Int64, which: ProxyRequest.Deadline) = (
      request.state == .upgraded && !request.isLeaving ? .max : request.totalDeadline,
      request.callerSetDeadline ? .caller : .total
    )
    func consider(_ at: Int64, _ which: ProxyRequest.Deadline) { if at < best.at { best = (at, which) } }
    switch request.state {
    case .queued:
      consider(after(request.arrived, plan.queueAge), .queue)
      consider(after(request.arrived, plan.firstByte), .firstByte)
    case .connecting:
      consider(after(request.attemptBegan, plan.connect), .connect)
      fallthrough
    case .waiting:
      if request.requestEnded || request.framing == .none {
        consider(after(request.active, plan.firstByte), .firstByte)
      } else {
        consider(after(request.active, plan.idle), .idle)
      }
    case .answering: consider(after(request.active, plan.idle), .idle)
    case .upgraded:
      consider(after(request.active, plan.idle), .idle)
      // A WebSocket is never half open for long (RFC 6455, 7.1.1).
      if request.isWebSocket, request.requestEnded || request.responseEnded {
        consider(request.active + Self.closingTime, .idle)
      }
    case .free: break
    }
    return best
  }

  func proxyTimerFired(_ tag: UInt64) {
    guard let request = proxy(tag) else { return }
    request.timer = .none
    let (at, which) = nextDeadline(request)
    guard at <= loop.now else { return arm(request) }
    guard let routed = request.node?.entry.routed else { return }
    let limits = routed.proxying
    if request.state == .upgraded, request.isWebSocket, request.requestEnded || request.responseEnded {
      // One side has said goodbye and the other nothing more: that is its end, and no error.
      if let exchange = exchange(of: request) {
        exchange.ownerTag = 0
        server.reset(exchange)
      }
      return callerIsGone(request)
    }
    if which == .connect, let upstream = request.upstream {
      self.upstream.cancel(upstream)
      return attemptFailed(request, UpstreamFailure.connectTimeout)
    }
    let isWaiting = request.state == .queued
    let place =
      isWaiting ? "while the request waited for a free instance" : "before \(name(request)) answered"
    let during = request.state == .answering ? "while \(name(request)) was answering" : place
    var refusal: Refusal
    switch which {
    case .queue:
      let why =
        node(of: request, hasInstances: true) ? "every instance is busy" : "no instance is in rotation"
      refusal = Refusal(
        .resourceExhausted,
        "the request waited in the queue for \(routed.queueAgeMilliseconds) ms, the longest allowed: \(why)",
        origin: .node, retryAfter: request.node?.shared.retryAfterSeconds())
    case .firstByte, .connect:
      refusal = Refusal(
        .deadlineExceeded,
        "the first-byte timeout of \(limits.firstByteTimeoutMilliseconds) ms ended \(place)",
        origin: .node)
    case .idle:
      refusal = Refusal(
        .deadlineExceeded, "the idle timeout of \(limits.idleTimeoutMilliseconds) ms ended \(during)",
        origin: .node)
    case .total:
      refusal = Refusal(
        .deadlineExceeded, "the node's timeout of \(routed.timeoutMilliseconds) ms ended \(during)",
        origin: .node)
    case .caller:
      refusal = Refusal(.deadlineExceeded, "the caller's grpc-timeout ended \(during)", origin: .node)
    }
    if which == .firstByte { _ = request.target?.shared.answered(isFailure: true, now: loop.now) }
    dropUpstream(request)
    refuse(request, refusal)
  }

  private func node(of request: ProxyRequest, hasInstances: Bool) -> Bool {
    (request.node?.targets.isEmpty ?? true) != hasInstances
  }

  // MARK: Drain

  /// Ends calls of gRPC and event streams at an instance whose time to drain is over (nil: at all, since that of the gateway is), and
  /// asks both ends of WebSockets to go.
  func endStreams(at instance: InstanceID?) {
    for request in proxies where instance == nil || request.target?.shared.routed.id == instance {
      if instance != nil { request.target?.isOver = true }
      switch request.state {
      case .connecting, .waiting: if request.isGRPC { endCall(request) }
      case .answering:
        if request.isGRPC { endCall(request) } else if request.isEventStream { endEvents(request) }
      case .upgraded: if request.isWebSocket, !request.isLeaving { closeWebSocket(request) }
      case .free, .queued: break
      }
    }
  }

  private func endCall(_ request: ProxyRequest) {
    let isOurs = server.isDraining && !server.isLeaving
    let refusal = Refusal(
      .unavailable,
      "\(isOurs ? "the server" : name(request)) is leaving and its time to drain is over; call again",
      origin: isOurs ? .platform : .node)
    dropUpstream(request)
    refuse(request, refusal)
  }

  /// Who reads events connects again when they end (HTML, 9.2.3).
  private func endEvents(_ request: ProxyRequest) {
    dropUpstream(request)
    request.responseEnded = true
    if let exchange = exchange(of: request) { server.end(exchange) }
    finished(request)
  }

  // MARK: The log

  private func logProxy(_ request: ProxyRequest) {
    let now = loop.clock()
    let microseconds = Int((now - request.arrived) / 1000)
    request.path?.answered(status: request.status, microseconds: microseconds)
    // 1: the caller went away; 2: the instance said nothing.
    let grpcStatus = request.grpcStatus >= 0 ? request.grpcStatus : request.status == 499 ? 1 : 2
    let isCall = request.isGRPC || request.execution?.isCall == true
    if isCall { request.path?.answered(grpcStatus: grpcStatus) }
    if let choice = request.choice {
      count(
        choice, request.aliasPath, status: request.status, grpcStatus: isCall ? grpcStatus : 0,
        microseconds: microseconds)
      if isCall { request.aliasPath?.answered(grpcStatus: grpcStatus) }
    }
    note(request, now: now)
  }
}
