internal import CLinux
internal import Domain
internal import HTTPTransport
internal import Reactor
internal import Telemetry

/// Balancing and queueing: the least loaded instance that has a free place, else one queue per node over all loops.
///
/// No waiter is stranded: who waits first shows its ticket and then looks for a place; who gives a place back does so first
/// and then looks for tickets. Both orders are sequentially consistent, so one of the two sees the other.
extension GatewayLoop {
  func takeRequest() -> ExecuteRequest {
    let slot = freeRequests.popLast() ?? requests.count
    if slot == requests.count { requests.append(ExecuteRequest(slot: slot)) }
    let request = requests[slot]
    request.form = .rest
    request.isPlain = false
    request.isRepeatable = false
    request.dispatched = 0
    request.ticket = 0
    request.reportedHung = false
    request.attempts = 0
    request.path = nil
    request.aliasPath = nil
    return request
  }

  func request(_ tag: UInt64) -> ExecuteRequest? {
    let slot = Int(tag & 0xffff_ffff)
    guard slot < requests.count else { return nil }
    let request = requests[slot]
    return request.tag == tag && request.state != .free ? request : nil
  }

  func recycle(_ request: ExecuteRequest) {
    loop.cancel(&request.timer)
    request.state = .free
    request.serial &+= 1
    request.node = nil
    if request.choice != nil { request.choice = nil }
    if request.witness != nil { request.witness = nil }
    request.link = nil
    if request.form != .rest { request.inference = nil }
    dropInput(request)
    freeRequests.append(request.slot)
  }

  /// Keeps a copy of a request's input, instead of the former one.
  private func keepInput(_ request: ExecuteRequest, _ input: UnsafePointer<UInt8>, _ count: Int) {
    dropInput(request)
    request.input.append(input, count)
    server.heldBytes += count
  }

  private func dropInput(_ request: ExecuteRequest) {
    server.heldBytes -= request.input.count
    request.input.clear()
  }

  /// Why a request with so long a body may not wait; nil: it may. Those of modest length always may, within the queue's limit.
  func objection(toWaiting count: Int, _ node: LoopNode) -> Refusal? {
    let limit = server.limits.heldBytes
    guard count > HTTPServer.modestBody, heldNanoseconds == 0, server.heldBytes + count > limit else {
      return nil
    }
    return Refusal(
      .resourceExhausted,
      "node \(node.shared.id) is busy, and the request's \(count) bytes can't wait: requests that do have \(server.heldBytes) of the \(limit) bytes of memory that they may have here",
      origin: .platform, retryAfter: node.shared.retryAfterSeconds())
  }

  /// A new request: straight to an instance when nobody waits, else into the queue.
  func start(_ request: ExecuteRequest, _ node: LoopNode, _ input: UnsafePointer<UInt8>, _ count: Int) {
    if request.choice?.alias.isCopied == true { copy(request, input, count) }
    if node.shared.queueLength == 0, let link = acquire(node) {
      if request.isRepeatable { keepInput(request, input, count) }
      return dispatch(request, to: link, input, count)
    }
    request.state = .queued
    if let objection = objection(toWaiting: count, node) {
      respond(request, objection)
      return recycle(request)
    }
    // Who waited for the end of a hold has stood in a queue already.
    guard node.shared.enterQueue(limit: heldNanoseconds > 0 ? .max : node.entry.routed.queueLimit) else {
      respond(
        request,
        Refusal(
          .resourceExhausted,
          "the queue of node \(node.shared.id) is full: \(node.entry.routed.queueLimit) requests wait already",
          origin: .node, retryAfter: node.shared.retryAfterSeconds()))
      return recycle(request)
    }
    if node.links.isEmpty { shared.observe(.waiting(node.entry.routed.id)) }
    keepInput(request, input, count)
    request.ticket = node.shared.ticket()
    setQueueTimer(request, node, from: request.arrived)
    node.waiting.append(request.tag)
    showFront(node)
    pump(node)
  }

  /// The same of a request that may not wait; false, and nothing is done, where nobody is free for it.
  func startAtOnce(
    _ request: ExecuteRequest, _ node: LoopNode, _ input: UnsafePointer<UInt8>, _ count: Int
  ) -> Bool {
    guard node.shared.queueLength == 0, let link = acquire(node) else { return false }
    dispatch(request, to: link, input, count)
    return true
  }

  private func setQueueTimer(_ request: ExecuteRequest, _ node: LoopNode, from: Int64) {
    let aged = from + Int64(node.entry.routed.queueAgeMilliseconds) * 1_000_000
    request.timer = loop.setTimer(
      at: min(request.deadline, aged), data: Kind.request << 56 | request.tag)
  }

  /// The tag and the ticket of the oldest request that still waits here.
  private func front(_ node: LoopNode) -> (tag: UInt64, ticket: UInt64)? {
    while node.front < node.waiting.count {
      let tag = node.waiting[node.front]
      if let request = request(tag), request.state == .queued { return (tag, request.ticket) }
      if let request = proxy(tag), request.state == .queued { return (tag, request.ticket) }
      node.front += 1
    }
    node.waiting.removeAll(keepingCapacity: true)
    node.front = 0
    return nil
  }

  func showFront(_ node: LoopNode) {
    node.shared.setFront(front(node)?.ticket ?? .max, loop: index)
    if node.front > 1024 {
      node.waiting.removeFirst(node.front)
      node.front = 0
    }
  }

  /// Hands waiting requests to free places until there are none of either.
  func pump(_ node: LoopNode) {
    while let oldest = node.shared.oldestLoop(of: shared.mailboxes.count) {
      guard oldest == index else {
        if node.links.contains(where: { $0.shared.load < $0.shared.limit })
          || node.targets.contains(where: { $0.shared.load < $0.shared.limit })
        {
          shared.mailboxes[oldest].post(.wake(node.shared.id))
        }
        return
      }
      guard let waiting = front(node) else { return showFront(node) }
      if let request = proxy(waiting.tag) {
        guard let target = acquireTarget(node, request, except: nil) else { return }
        node.front += 1
        showFront(node)
        node.shared.leaveQueue()
        attempt(request, target)
        continue
      }
      guard let request = request(waiting.tag) else { continue }
      guard let link = acquire(node) else { return retryLater(node) }
      node.front += 1
      showFront(node)
      node.shared.leaveQueue()
      loop.cancel(&request.timer)
      guard let base = request.input.base else { continue }
      dispatch(request, to: link, base, request.input.count)
      if !request.isRepeatable { dropInput(request) }
    }
  }

  /// When places are free but at rest after a failure, nobody else would wake the queue.
  private func retryLater(_ node: LoopNode) {
    guard !node.hasRetryTimer, node.links.contains(where: { $0.shared.isResting(loop.now) }) else { return }
    node.hasRetryTimer = true
    _ = loop.setTimer(at: loop.now + 50_000_000, data: Kind.retry << 56 | UInt64(node.slot))
  }

  /// Takes a place at the least loaded instance that can be reached.
  private func acquire(_ node: LoopNode) -> InstanceLink? {
    let count = node.links.count
    guard count > 0 else { return nil }
    for _ in 0...count {
      var best: InstanceLink?
      var least = Int.max
      let first = Int(truncatingIfNeeded: rotation % UInt(count))
      rotation &+= 1
      for step in 0..<count {
        let link = node.links[(first + step) % count]
        let load = link.shared.load
        if load < least, load < link.shared.limit, !link.shared.isResting(loop.now) {
          best = link
          least = load
        }
      }
      guard let best else { return nil }
      guard best.shared.acquire() else { continue }
      if best.descriptor >= 0 || connect(best) { return best }
      best.shared.release()
    }
    return nil
  }

  private func dispatch(
    _ request: ExecuteRequest, to link: InstanceLink, _ input: UnsafePointer<UInt8>, _ count: Int
  ) {
    let now = loop.clock()
    request.state = .sent
    request.link = link
    request.dispatched = now
    request.attempts += 1
    request.frameStart = link.sent + link.output.count
    request.node?.shared.inFlight.add(1)
    link.pending.append(request.tag)
    let left = max((request.deadline - now) / 1_000_000, 1)
    writeExecute(request, link, UInt32(clamping: left), input, count)
    // The worker answers a timeout itself, with the traceback: it gets a moment to do so.
    request.timer = loop.setTimer(at: request.deadline + 100_000_000, data: Kind.request << 56 | request.tag)
  }

  /// Puts a request back that was dispatched but never written. It stands at the front, past the queue's limit.
  func requeue(_ request: ExecuteRequest, _ input: UnsafePointer<UInt8>, _ count: Int) {
    keepInput(request, input, count)
    requeue(request)
  }

  /// The same of one that has its input still.
  func requeue(_ request: ExecuteRequest) {
    guard let node = request.node else { return }
    loop.cancel(&request.timer)
    request.state = .queued
    request.link = nil
    request.dispatched = 0
    node.shared.reenterQueue()
    setQueueTimer(request, node, from: loop.now)
    if node.front > 0 {
      node.front -= 1
      node.waiting[node.front] = request.tag
    } else {
      node.waiting.insert(request.tag, at: 0)
    }
    showFront(node)
  }

  // MARK: Ends

  /// Takes a waiting request out of the queue.
  private func leaveQueue(_ request: ExecuteRequest) {
    guard let node = request.node else { return recycle(request) }
    recycle(request)
    node.shared.leaveQueue()
    showFront(node)
    pump(node)
  }

  /// Answers with an error and lets go: a waiting request leaves the queue, a sent one is cancelled.
  func fail(_ request: ExecuteRequest, _ refusal: Refusal) {
    respond(request, refusal)
    giveUp(request)
  }

  /// Nobody waits for the answer any more.
  func giveUp(_ request: ExecuteRequest) {
    switch request.state {
    case .queued: leaveQueue(request)
    case .sent:
      request.state = .orphaned
      loop.cancel(&request.timer)
      let timeout = Int64(request.node?.entry.routed.timeoutMilliseconds ?? 0) * 1_000_000
      request.timer = loop.setTimer(
        at: request.dispatched + timeout + 1_000_000_000, data: Kind.request << 56 | request.tag)
      cancelAtInstance(request)
    case .free, .orphaned: break
    }
  }

  func requestTimerFired(_ tag: UInt64) {
    guard let request = request(tag), let node = request.node else { return }
    request.timer = .none
    let routed = node.entry.routed
    let timer =
      request.callerSetDeadline
      ? "the caller's grpc-timeout" : "the node's timeout of \(routed.timeoutMilliseconds) ms"
    switch request.state {
    case .queued where loop.now >= request.deadline:
      fail(
        request,
        Refusal(
          .deadlineExceeded, "\(timer) ended while the request waited for a free instance", origin: .node))
    case .queued:
      let why = node.links.isEmpty ? "no instance is in rotation" : "every instance is busy"
      let message =
        "the request waited in the queue for \(routed.queueAgeMilliseconds) ms, the longest allowed: \(why)"
      fail(
        request,
        Refusal(.resourceExhausted, message, origin: .node, retryAfter: node.shared.retryAfterSeconds()))
    case .sent:
      fail(request, Refusal(.deadlineExceeded, "\(timer) ended while the cell was running", origin: .node))
    case .orphaned: watchOrphan(request)
    case .free: break
    }
  }

  /// The place of an abandoned request is still taken: an instance that doesn't give it back hangs.
  private func watchOrphan(_ request: ExecuteRequest) {
    guard let link = request.link else { return }
    if link.pending.first == request.tag, !request.reportedHung {
      request.reportedHung = true
      shared.observe(.hung(link.shared.routed.id, requestID: request.identifierText))
    }
    request.timer = loop.setTimer(at: loop.now + 1_000_000_000, data: Kind.request << 56 | request.tag)
  }
}
