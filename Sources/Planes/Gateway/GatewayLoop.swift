internal import Access
internal import CLinux
internal import Domain
internal import HTTPModel
internal import HTTPTransport
internal import Reactor
internal import Telemetry
internal import Wire

/// One event loop of the gateway, with all that it owns. Lives and dies on one thread.
final class GatewayLoop: LoopOwner, HTTPServerOwner, UpstreamOwner {
  /// Kinds in the top byte of what the loop watches and of its timers.
  enum Kind {
    static let instance: UInt64 = 16
    static let request: UInt64 = 17
    static let retry: UInt64 = 18
    static let second: UInt64 = 19
    static let proxy: UInt64 = 20
    static let hold: UInt64 = 21
    static let held: UInt64 = 22
    static let injected: UInt64 = 23
  }

  /// A request that the responder has.
  struct Collected {
    var requestID: String
    var isHead: Bool
    var isGRPC: Bool
    var task: Task<Void, Never>
  }

  /// An answer of the responder that its client has not taken yet.
  struct Remainder {
    var response: HTTPResponse
    var isGRPC: Bool
    /// Bytes of its body that were given to the server.
    var sent = 0
    /// What it costs: the body, unless all have the same, and what is copied of it.
    var heldBytes: Int { GatewayLoop.firstSlice + (response.isShared ? 0 : response.body.count) }
  }

  let shared: GatewayShared
  let index: Int
  let loop: EventLoop
  let counters: LoopCounters
  let accessLog: AccessLog?
  let server: HTTPServer
  let upstream: UpstreamClient

  var table: LoopTable?
  var nodes: [LoopNode] = []
  var places: [NodeKey: Int] = [:]
  /// What was found in `places` last.
  var lastPlace: (key: NodeKey, place: Int)?
  var aliases: [LoopAlias] = []
  /// Places of aliases by the hash of their names.
  var aliasPlaces: [UInt64: [Int]] = [:]
  /// The place of the alias that was found last.
  var lastAlias: Int?
  let aliasPrefix = Array(AliasValidation.prefix.utf8)
  /// With the dot before it.
  let aliasDomain: [UInt8]
  var links: [InstanceLink] = []
  var freeLinks: [Int] = []
  var dirtyLinks: [InstanceLink] = []
  var requests: [ExecuteRequest] = []
  var freeRequests: [Int] = []
  var proxies: [ProxyRequest] = []
  /// The same, to look at without counting.
  var heldProxies: [Unmanaged<ProxyRequest>] = []
  var freeProxies: [Int] = []
  var holds: [AliasID: LoopHold] = [:]
  var holdSerial: UInt32 = 0
  var heldRequests: [HeldRequest] = []
  var freeHeld: [Int] = []
  /// How long the request that is taken up again has waited; 0: it just came.
  var heldNanoseconds: Int64 = 0
  /// The request that `received` is at, while there are holds.
  var incoming: (fields: UnsafeMutablePointer<HTTP1Field>, body: UnsafePointer<UInt8>, count: Int)?
  /// Requests of the platform itself to servers, by their tags.
  var injected: [UInt64: InjectedExchange] = [:]
  var injectedSerial: UInt32 = 0
  var collected: [UInt64: Collected] = [:]
  var remainders: [UInt64: Remainder] = [:]
  var streamedCalls: [UInt64: StreamedCall] = [:]
  var verdicts = VerdictCache()
  let journal: RequestJournal
  private var schedule: ThreadSchedule?
  /// One warning a minute is enough.
  private var nextScarcityWarning: Int64 = 0
  var spans: [RequestRecord] = []
  let logText = LogText()
  /// Where the search for the least loaded instance begins: equal loads take turns.
  var rotation: UInt = 0
  var randomState = UInt64.random(in: 0...UInt64.max)
  let scratch = UnsafeMutablePointer<UInt8>.allocate(capacity: 262_144)

  init(_ shared: GatewayShared, index: Int, listeners: [HTTPListener]) {
    self.shared = shared
    self.index = index
    counters = shared.counters[index]
    journal = shared.journals[index]
    accessLog = shared.currentAccessLog
    let domain = shared.configuration.aliasDomain
    aliasDomain = domain.isEmpty ? [] : Array(".\(domain)".utf8)
    loop = EventLoop(bell: shared.mailboxes[index].bell)
    var limits = HTTPServer.Limits()
    limits.writeIdleSeconds = shared.configuration.writeIdleSeconds
    limits.heldBytes = max(
      shared.configuration.leastHeldBytes, shared.configuration.heldBytes / shared.mailboxes.count)
    limits.firstReservedDescriptor = shared.configuration.openFiles.clients
    server = HTTPServer(
      loop: loop, listeners: listeners, tlsContext: shared.currentTLS, limits: limits,
      trusted: shared.configuration.trustedProxies)
    var upstreamLimits = UpstreamClient.Limits()
    upstreamLimits.firstReservedDescriptor = shared.configuration.openFiles.instances
    upstream = UpstreamClient(loop: loop, limits: upstreamLimits)
    server.owner = self
    upstream.owner = self
  }

  deinit {
    for link in links {
      if link.descriptor >= 0 { _ = roost_close(link.descriptor) }
      link.input.free()
      link.output.free()
    }
    for request in requests { request.input.free() }
    for request in proxies { request.free() }
    for request in heldRequests { request.free() }
    scratch.deallocate()
  }

  func run() {
    // Before the first connection: a node that is in the table must never seem unknown.
    if let table = shared.currentTable { use(table) }
    _ = loop.setTimer(at: loop.now + 1_000_000_000, data: Kind.second << 56)
    schedule = ThreadSchedule()
    loop.run(self)
    flushLog()
    flushSpans()
    counters.connections.set(0)
  }

  // MARK: LoopOwner

  func ready(_ data: UInt64, _ events: ReadyEvents) {
    switch data >> 56 {
    case Kind.instance: linkReady(data, events)
    case UpstreamClient.Kind.connection, UpstreamClient.Kind.session: upstream.ready(data, events)
    default: server.ready(data, events)
    }
  }

  func fired(_ data: UInt64) {
    switch data >> 56 {
    case Kind.request: requestTimerFired(data & 0xff_ffff_ffff_ffff)
    case Kind.proxy: proxyTimerFired(data & 0xff_ffff_ffff_ffff)
    case Kind.hold: holdTimerFired(data & 0xff_ffff_ffff_ffff)
    case Kind.held: heldTimerFired(data & 0xff_ffff_ffff_ffff)
    case Kind.injected: injectedTimerFired(data & 0xff_ffff_ffff_ffff)
    case Kind.retry:
      let slot = Int(data & 0xffff_ffff)
      guard slot < nodes.count else { return }
      nodes[slot].hasRetryTimer = false
      pump(nodes[slot])
    case Kind.second:
      flushLog()
      noteSchedule()
      noteScarcity()
      upstream.sweep()
      flushSpans()
      _ = loop.setTimer(at: loop.now + 1_000_000_000, data: Kind.second << 56)
    default: server.fired(data)
    }
  }

  func batchEnded() {
    writeAll()
    if logText.count > 65536 { flushLog() }
    counters.connections.set(server.openCount)
    counters.accepted.add(server.acceptedCount - counters.accepted.current)
    if server.hasProxyListeners { countProxyHeaders() }
    counters.heldBytes.set(server.heldBytes)
    counters.endedIdle.add(server.scarcity.ended - counters.endedIdle.current)
    guard server.http2.connections > 0 else { return }
    counters.http2Connections.add(server.http2.connections - counters.http2Connections.current)
    counters.http2Requests.add(server.http2.streams - counters.http2Requests.current)
    counters.http2Faults.add(server.http2.faults - server.http2.calmed - counters.http2Faults.current)
    counters.http2Floods.add(server.http2.calmed - counters.http2Floods.current)
  }

  private func countProxyHeaders() {
    let seen = server.proxyHeaders
    counters.proxyHeaders.add(seen.accepted - counters.proxyHeaders.current)
    counters.proxyFaults.add(seen.malformed - counters.proxyFaults.current)
    counters.proxyStrangers.add(seen.untrusted - counters.proxyStrangers.current)
  }

  /// Writes what the batch made, and what that makes in turn.
  func writeAll() {
    repeat {
      flushLinks()
      upstream.flush()
      server.batchEnded()
    } while !dirtyLinks.isEmpty || upstream.hasWork || server.hasWork
  }

  private func noteSchedule() {
    guard let times = schedule?.times else { return }
    counters.ran.set(Int(times.ran))
    counters.waited.set(Int(times.waited))
  }

  private func noteScarcity() {
    let pauses = server.scarcity.pauses - counters.acceptPauses.current
    guard pauses > 0 else { return }
    counters.acceptPauses.add(pauses)
    guard loop.now >= nextScarcityWarning else { return }
    nextScarcityWarning = loop.now + 60_000_000_000
    shared.logger.warning(
      "clients wait to be accepted: connections have all the open files that they may have",
      [
        "connections": .integer(shared.openConnections), "loop": .integer(index),
        "advice": .text("raise the limit of open files (systemd: LimitNOFILE=, shell: ulimit -n)"),
      ])
  }

  private func flushLog() {
    if logText.count > 0 { accessLog?.append(logText.take()) }
  }

  // MARK: Requests

  func arrived(_ exchange: HTTPExchange, fields: UnsafeMutablePointer<HTTP1Field>) -> BodyPlan {
    if proxy(exchange, fields) { return .stream }
    if exchange.isGRPC { return arrivedCall(exchange, fields) }
    let configuration = shared.configuration
    return .collect(
      limit: executeTarget(exchange) == nil ? configuration.bodyLimit : configuration.requestLimit)
  }

  func received(
    _ connection: HTTPExchange, fields: UnsafeMutablePointer<HTTP1Field>, body: UnsafePointer<UInt8>,
    count: Int
  ) {
    if !holds.isEmpty { incoming = (fields, body, count) }
    defer { incoming = nil }
    if connection.isGRPC {
      receivedCall(connection, fields, body, count)
    } else if let target = executeTarget(connection) {
      execute(connection, fields, target, body, count)
    } else if isLivez(connection) {
      answerLivez(connection, fields)
    } else if let target = openInferenceTarget(connection, fields) {
      openInference(connection, fields, target, body, count)
    } else {
      collect(connection, fields, body, count)
    }
  }

  func refused(_ connection: HTTPExchange, status: Int, message: String) {
    if let request = proxy(connection.ownerTag) {
      dropUpstream(request)
      return refuse(request, Refusal(.invalidArgument, message, status: status))
    }
    counters.refused.add()
    let code: PlatformError.Code =
      switch status {
      case 401: .unauthenticated
      case 403: .permissionDenied
      case 413: .payloadTooLarge
      case 429: .resourceExhausted
      case 408: .deadlineExceeded
      case 501: .unimplemented
      default: .invalidArgument
      }
    let isOurs = status == 429
    answer(
      connection,
      Refusal(
        code, message, status: status, origin: isOurs ? .platform : .caller, retryAfter: isOurs ? 1 : nil))
  }

  func objection(_ exchange: HTTPExchange, fields: UnsafeMutablePointer<HTTP1Field>) -> HTTPObjection? {
    do throws(Refusal) {
      _ = try authenticate(exchange, fields)
      return nil
    } catch { return HTTPObjection(status: error.status, message: error.message) }
  }

  func abandoned(_ connection: HTTPExchange) {
    let key = connection.key
    if streamedCalls.removeValue(forKey: key) != nil { return }
    if let remainder = remainders.removeValue(forKey: key) {
      server.heldBytes -= remainder.heldBytes
      return
    }
    if let collected = collected.removeValue(forKey: key) {
      counters.cancelled.add()
      collected.task.cancel()
    }
    if let request = proxy(connection.ownerTag) { return abandon(request) }
    if let request = held(connection.ownerTag) {
      counters.cancelled.add()
      return release(request)
    }
    if connection.ownerTag != 0, let request = request(connection.ownerTag) {
      counters.cancelled.add()
      logRequest(request, status: 499, code: 1)
      giveUp(request)
    }
  }

  /// What an execute request names: its place in `base`.
  struct ExecuteTarget {
    var name: Range<Int>
    var isAlias: Bool
  }

  /// `POST /datasphere/v1/nodes/{id}:execute` and `POST /datasphere/v1/aliases/{name}:execute`.
  private func executeTarget(_ connection: HTTPExchange) -> ExecuteTarget? {
    guard let base = connection.base else { return nil }
    let (nodes, aliases): (StaticString, StaticString) = ("/datasphere/v1/nodes/", "/datasphere/v1/aliases/")
    let suffix: StaticString = ":execute"
    let start = Int(connection.head.targetStart)
    var end = start + Int(connection.head.targetCount)
    guard end - start > nodes.utf8CodeUnitCount + suffix.utf8CodeUnitCount, connection.head.methodCount == 4,
      starts(base, "POST")
    else { return nil }
    let isAlias = !starts(base + start, nodes)
    if isAlias, !starts(base + start, aliases) { return nil }
    let from = start + (isAlias ? aliases : nodes).utf8CodeUnitCount
    for at in from..<end where base[at] == 0x3f {
      end = at
      break
    }
    let to = end - suffix.utf8CodeUnitCount
    guard to > from, starts(base + to, suffix) else { return nil }
    for at in from..<to where base[at] == 0x2f { return nil }
    return ExecuteTarget(name: from..<to, isAlias: isAlias)
  }

  /// `GET /livez`
  private func isLivez(_ connection: HTTPExchange) -> Bool {
    guard let base = connection.base else { return false }
    let head = connection.head
    return head.methodCount == 3 && head.targetCount == 6 && starts(base, "GET")
      && starts(base + Int(head.targetStart), "/livez")
  }

  /// That the loop answers is what is asked: nobody else needs to be.
  private func answerLivez(_ connection: HTTPExchange, _ fields: UnsafeMutablePointer<HTTP1Field>) {
    var identifier: InlineArray<64, UInt8> = .init(repeating: 0)
    let count = takeIdentifier(connection, fields, into: &identifier)
    server.begin(connection, status: 200)
    connection.output.append("x-request-id: ")
    append(identifier, count, to: connection)
    connection.output.append("\r\ncontent-type: text/plain; charset=utf-8\r\n")
    server.endHead(connection, contentLength: 3)
    connection.output.append("ok\n")
    server.finish(connection)
  }

  private func starts(_ base: UnsafePointer<UInt8>, _ text: StaticString) -> Bool {
    for index in 0..<text.utf8CodeUnitCount where base[index] != text.utf8Start[index] { return false }
    return true
  }
}
