internal import CLinux
internal import Domain
internal import HTTPTransport
internal import Reactor
internal import Telemetry
internal import Wire

/// Requests of an alias that is held: they wait before a node is chosen for them, so whatever the alias became meanwhile
/// counts when they go on.
extension GatewayLoop {
  // MARK: The table

  /// The hold of an alias in a table that comes into use; nil when requests go on.
  func hold(of entry: LoopTable.Alias) -> LoopHold? {
    guard let routed = entry.routed.hold else { return nil }
    if let known = holds[entry.routed.id] {
      if known.routed != routed { renew(known, routed) }
      return known.hasEnded ? nil : known
    }
    let left = left(of: routed)
    guard left > 0 else { return nil }
    holdSerial &+= 1
    let hold = LoopHold(entry.routed, routed, entry.shared, serial: holdSerial, endsAt: loop.now + left)
    holds[entry.routed.id] = hold
    setTimer(hold)
    return hold
  }

  /// Nanoseconds until its end by the wall clock, never more than its whole length: a clock that is set back holds nobody longer.
  private func left(of routed: RoutedHold) -> Int64 {
    let wall = (routed.endsAt.microseconds - roost_wall_us()) * 1000
    return min(wall, Int64(routed.durationMilliseconds) * 1_000_000)
  }

  private func renew(_ hold: LoopHold, _ routed: RoutedHold) {
    hold.routed = routed
    hold.endsAt = loop.now + left(of: routed)
    hold.hasEnded = hold.endsAt <= loop.now
    setTimer(hold)
  }

  private func setTimer(_ hold: LoopHold) {
    loop.cancel(&hold.timer)
    hold.timer = loop.setTimer(at: hold.endsAt, data: Kind.hold << 56 | UInt64(hold.serial))
  }

  /// Lets go what waits for holds that a new table doesn't have.
  func endHolds(without aliases: [LoopAlias]) {
    for (id, hold) in holds where !aliases.contains(where: { $0.hold === hold }) {
      holds[id] = nil
      end(hold)
    }
  }

  func holdTimerFired(_ data: UInt64) {
    guard let hold = holds.values.first(where: { UInt64($0.serial) == data }) else { return }
    hold.timer = .none
    guard loop.now >= hold.endsAt else { return setTimer(hold) }
    end(hold)
  }

  private func end(_ hold: LoopHold) {
    hold.hasEnded = true
    loop.cancel(&hold.timer)
    let waiting = hold.waiting
    hold.waiting = []
    for tag in waiting { if let request = held(tag) { goOn(request) } }
  }

  // MARK: Requests

  func held(_ tag: UInt64) -> HeldRequest? {
    guard tag & HeldRequest.mark != 0, tag & ProxyRequest.mark == 0 else { return nil }
    let slot = Int(tag & 0x3fff_ffff)
    guard slot < heldRequests.count else { return nil }
    let request = heldRequests[slot]
    return request.tag == tag && request.hold != nil ? request : nil
  }

  /// Keeps a request whose body is there until the hold ends. Returns why it can't wait; nil: it does.
  func park(_ exchange: HTTPExchange, _ refusal: Refusal, _ hold: LoopHold) -> Refusal? {
    guard let incoming else { return Refusal(.internal, "the request is gone", origin: .platform) }
    return keep(exchange, incoming.fields, hold, bodyCount: incoming.count) { request in
      request.body.append(incoming.body, incoming.count)
      request.isOpenInference = refusal.isOpenInference
      exchange.ownerTag = request.tag
    }
  }

  /// The same for a request that is passed on: what comes of its body waits with it.
  func park(
    _ proxied: ProxyRequest, _ exchange: HTTPExchange, _ fields: ProxyFields, _ found: ProxyHeaders,
    _ route: ProxyRoute?, _ hold: LoopHold
  ) -> Refusal? {
    keep(exchange, fields.fields, hold, bodyCount: ProxyRequest.replayLimit) { request in
      request.proxied = proxied.tag
      request.found = found
      request.route = route
      proxied.held = request.tag
      frame(proxied, exchange)
    }
  }

  private func keep(
    _ exchange: HTTPExchange, _ fields: UnsafeMutablePointer<HTTP1Field>, _ hold: LoopHold, bodyCount: Int,
    _ fill: (HeldRequest) -> Void
  ) -> Refusal? {
    guard let base = exchange.base else { return Refusal(.internal, "no request", origin: .platform) }
    let headCount = Int(exchange.head.length)
    let bytes = headCount + bodyCount
    switch hold.shared.enterHold(limit: hold.routed.limit, bytes: bytes) {
    case .taken: break
    case .tooMany:
      return refused(hold, "and \(hold.routed.limit) requests wait already, the most allowed")
    case .tooMuch:
      return refused(hold, "and the requests that wait have \(HeldRequest.mostBytes >> 20) MiB already")
    }
    let slot = freeHeld.popLast() ?? heldRequests.count
    if slot == heldRequests.count { heldRequests.append(HeldRequest(slot: slot)) }
    let request = heldRequests[slot]
    request.hold = hold
    request.exchange = exchange.key
    request.head.append(base, headCount)
    request.fields = Array(UnsafeBufferPointer(start: fields, count: Int(exchange.head.fieldCount)))
    request.proxied = 0
    request.route = nil
    request.isOpenInference = false
    request.bytes = bytes
    request.since = loop.now
    request.deadline = loop.now + Int64(hold.routed.waitMilliseconds) * 1_000_000
    request.callerSetDeadline = false
    if let callers = try? callerTimeout(exchange, fields), loop.now + callers < request.deadline {
      request.deadline = loop.now + callers
      request.callerSetDeadline = true
    }
    fill(request)
    request.timer = loop.setTimer(at: request.deadline, data: Kind.held << 56 | request.tag)
    hold.waiting.append(request.tag)
    if hold.waiting.count > 2 * hold.routed.limit { hold.waiting.removeAll { held($0) == nil } }
    return nil
  }

  /// Takes a request up as if it had just come: its alias is not held any more.
  private func goOn(_ request: HeldRequest) {
    let waited = loop.now - request.since
    request.hold?.shared.holds.durations.observe(microseconds: Int(waited / 1000))
    present(request, waited: waited) { exchange, fields in
      if let proxied = proxy(request.proxied) {
        proxied.held = 0
        proxied.arrived = loop.clock()
        proxied.active = proxied.arrived
        let table = ProxyFields(
          base: fields.base, fields: fields.fields, count: Int(exchange.head.fieldCount))
        enter(proxied, exchange, table, request.found, request.route)
      } else if request.proxied == 0 {
        exchange.ownerTag = 0
        received(
          exchange, fields: fields.fields, body: request.body.bytes.baseAddress ?? fields.base,
          count: request.body.count)
      }
    }
    release(request)
  }

  func heldTimerFired(_ tag: UInt64) {
    guard let request = held(tag), let hold = request.hold else { return }
    request.timer = .none
    if request.callerSetDeadline {
      return refuse(
        request,
        Refusal(.deadlineExceeded, "the caller's grpc-timeout ended while alias \(hold.name) was held"))
    }
    // Timers of one tick fire in no order: what may wait as long as the hold lasts goes on at its end.
    guard loop.now < hold.endsAt else { return end(hold) }
    hold.shared.holds.aged.add()
    let seconds = hold.routed.waitMilliseconds / 1000
    refuse(
      request,
      refused(hold, "and the request waited for \(seconds) s, the longest allowed", code: .unavailable))
  }

  /// Answers a request that can't wait any longer.
  func refuse(_ request: HeldRequest, _ refusal: Refusal) {
    if let proxied = proxy(request.proxied) {
      proxied.held = 0
      release(request)
      return refuse(proxied, refusal)
    }
    guard request.proxied == 0 else { return release(request) }
    present(request, waited: 0) { exchange, fields in
      exchange.ownerTag = 0
      var refusal = refusal
      refusal.isOpenInference = request.isOpenInference
      refuse(exchange, arrive(exchange, fields.fields), nil, .rest, refusal)
    }
    release(request)
  }

  private func present(
    _ request: HeldRequest, waited: Int64,
    _ body: (HTTPExchange, (base: UnsafePointer<UInt8>, fields: UnsafeMutablePointer<HTTP1Field>)) -> Void
  ) {
    guard let exchange = server.exchange(request.exchange), let base = request.head.base else { return }
    heldNanoseconds = max(waited, 1)
    request.fields.withUnsafeMutableBufferPointer { fields in
      guard let table = fields.baseAddress else { return }
      server.present(exchange, head: base) { body(exchange, (UnsafePointer(base), table)) }
    }
    heldNanoseconds = 0
  }

  private func refused(
    _ hold: LoopHold, _ why: String, code: PlatformError.Code = .resourceExhausted
  ) -> Refusal {
    if code == .resourceExhausted { hold.shared.holds.refused.add() }
    let seconds = Int(max((hold.endsAt - loop.now + 999_999_999) / 1_000_000_000, 1))
    let reason = hold.routed.reason.isEmpty ? "" : " (\(hold.routed.reason))"
    return Refusal(
      code, "alias \(hold.name) is held for \(seconds) s more\(reason), \(why)", origin: .platform,
      retryAfter: seconds)
  }

  /// Gives its place back.
  func release(_ request: HeldRequest) {
    guard let hold = request.hold else { return }
    loop.cancel(&request.timer)
    hold.shared.leaveHold(bytes: request.bytes)
    request.hold = nil
    request.serial &+= 1
    request.head.clear()
    request.body.clear()
    request.fields = []
    freeHeld.append(request.slot)
  }
}
