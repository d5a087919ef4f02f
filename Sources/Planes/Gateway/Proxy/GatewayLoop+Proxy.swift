internal import Access
internal import CLinux
internal import Domain
internal import HTTPTransport
internal import Reactor
internal import Wire

/// Which node a request is for, when it is not one of the platform's own.
struct ProxyRoute {
  enum Rule { case header, host, path }
  var rule: Rule
  /// The node's id, or the alias' name, in the head.
  var id: Range<Int>
  var isAlias = false
  /// Where the path begins that the instance sees (rule `path`).
  var rest = 0
}

/// Requests that are passed on whole: from the head to the node.
extension GatewayLoop {
  /// Takes a request for a node with `http1` or `http2` endpoints; false when it is not such a request.
  func proxy(_ exchange: HTTPExchange, _ table: UnsafeMutablePointer<HTTP1Field>) -> Bool {
    guard let base = exchange.base else { return false }
    let fields = ProxyFields(base: base, fields: table, count: Int(exchange.head.fieldCount))
    var found = ProxyHeaders()
    for index in 0..<fields.count {
      let count = table[index].nameCount
      guard count == 9 || count == 11 || count == 12 else { continue }
      switch ProxyField(request: fields.name(index), count) {
      case .nodeID: found.nodeID = found.nodeID == -1 ? index : -2
      case .nodeAlias: found.nodeAlias = found.nodeAlias == -1 ? index : -2
      case .folderID: found.folderID = found.folderID == -1 ? index : -2
      default: break
      }
    }
    let isMarked = found.nodeID != -1 || found.nodeAlias != -1
    let route = isMarked ? nil : implicitRoute(exchange, base, table)
    guard isMarked || route != nil else { return false }
    if found.nodeID >= 0, let node = node(fields.value(found.nodeID)), !node.links.isEmpty { return false }
    if found.nodeAlias >= 0, found.nodeID == -1, let alias = alias(fields.value(found.nodeAlias)),
      alias.isCells
    {
      return false
    }
    if let route {
      let key = UnsafeBufferPointer(start: base + route.id.lowerBound, count: route.id.count)
      if route.isAlias ? alias(key)?.isCells ?? false : node(key).map({ !$0.links.isEmpty }) ?? false {
        return false
      }
    }
    if exchange.isGRPC, isOwnCall(exchange, base), isForModels(fields, found, route) { return false }
    start(exchange, fields, found, route)
    return true
  }

  /// A call of a service that nodes of models have here, not in Triton: typed services, execute, reflection.
  private func isOwnCall(_ exchange: HTTPExchange, _ base: UnsafePointer<UInt8>) -> Bool {
    let start = base + Int(exchange.head.targetStart)
    let count = Int(exchange.head.targetCount)
    let own: [StaticString] = ["/roost.nodes.", "/yandex.cloud.datasphere.v1.", "/grpc.reflection."]
    return own.contains { count > $0.utf8CodeUnitCount && begins(start, $0) }
  }

  private func isForModels(_ fields: ProxyFields, _ found: ProxyHeaders, _ route: ProxyRoute?) -> Bool {
    let place = route.map { UnsafeBufferPointer(start: fields.base + $0.id.lowerBound, count: $0.id.count) }
    let byHeader = found.nodeAlias >= 0 ? found.nodeAlias : found.nodeID
    guard let key = byHeader >= 0 ? fields.value(byHeader) : place else { return false }
    guard found.nodeAlias >= 0 || route?.isAlias == true else { return node(key)?.entry.models != nil }
    return alias(key)?.shares.contains { $0.node.entry.models != nil } ?? false
  }

  struct ProxyHeaders {
    var nodeID = -1
    var nodeAlias = -1
    var folderID = -1
  }

  /// `NODE.nodes.DOMAIN` or `ALIAS.DOMAIN` as the host, `/nodes/NODE/proxy/` or `/aliases/ALIAS/proxy/` before the path.
  func implicitRoute(
    _ exchange: HTTPExchange, _ base: UnsafePointer<UInt8>, _ fields: UnsafeMutablePointer<HTTP1Field>
  ) -> ProxyRoute? {
    let start = Int(exchange.head.targetStart)
    let count = Int(exchange.head.targetCount)
    let prefix: StaticString = "/nodes/"
    let marker: StaticString = "/proxy"
    if count >= 33, begins(base + start, prefix), begins(base + start + 27, marker) {
      let rest = start + 33
      if count == 33 || base[rest] == 0x2f || base[rest] == 0x3f {
        return ProxyRoute(rule: .path, id: (start + 7)..<(start + 27), rest: rest)
      }
    }
    if !aliases.isEmpty, let route = aliasRoute(exchange, base, fields) { return route }
    guard exchange.head.host >= 0 else { return nil }
    let host = fields[Int(exchange.head.host)]
    let domain: StaticString = ".nodes."
    guard host.valueCount > 27, begins(base + Int(host.valueStart) + 20, domain) else { return nil }
    if isOwn(base + start, count) { return nil }
    let id = Int(host.valueStart)
    return ProxyRoute(rule: .host, id: id..<(id + 20))
  }

  /// Whether the target is the platform's on every host.
  func isOwn(_ target: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    count > Self.ownPrefix.utf8CodeUnitCount && begins(target, Self.ownPrefix)
  }

  private func begins(_ bytes: UnsafePointer<UInt8>, _ text: StaticString) -> Bool {
    scan_equals_lower(bytes, text.utf8Start, text.utf8CodeUnitCount) != 0
  }

  private func node(_ id: UnsafeBufferPointer<UInt8>) -> LoopNode? {
    guard let base = id.baseAddress, let key = NodeKey(base, id.count) else { return nil }
    // A request asks twice, and the next one often means the same node.
    if let last = lastPlace, last.key == key { return nodes[last.place] }
    guard let place = places[key] else { return nil }
    lastPlace = (key, place)
    return nodes[place]
  }

  // MARK: Admission

  private func start(
    _ exchange: HTTPExchange, _ fields: ProxyFields, _ found: ProxyHeaders, _ route: ProxyRoute?
  ) {
    let request = takeProxy()
    request.exchange = exchange.key
    request.arrived = loop.clock()
    request.active = request.arrived
    request.isGRPC = exchange.isGRPC
    request.identifierCount = takeIdentifier(exchange, fields.fields, into: &request.identifier)
    request.trace = takeTrace(exchange, fields.fields)
    request.peer = exchange.peer
    request.route = found.nodeID >= 0 || found.nodeAlias >= 0 ? .header : route?.rule == .host ? .host : .path
    request.state = .queued
    exchange.ownerTag = request.tag
    enter(request, exchange, fields, found, route)
  }

  /// From the admission on; once more when the request waited for the end of a hold.
  func enter(
    _ request: ProxyRequest, _ exchange: HTTPExchange, _ fields: ProxyFields, _ found: ProxyHeaders,
    _ route: ProxyRoute?
  ) {
    do throws(Refusal) {
      let node = try admit(request, exchange, fields, found, route)
      let timeout = try callerTimeout(exchange, fields.fields)
      limit(request, to: timeout, of: node)
      frame(request, exchange)
      if !request.isIdempotent { request.isIdempotent = hasIdempotencyKey(exchange, fields.fields) }
      try writeHead(
        request, exchange, fields, route, passesCredentials: node.plan.passesCredentials)
      if request.choice?.alias.isCopied == true { copy(request) }
      begin(request, node)
    } catch {
      if let hold = error.holder.flatMap({ holds[$0] }) {
        if let full = park(request, exchange, fields, found, route, hold) { refuse(request, full) }
        return
      }
      guard error.code == .unauthenticated, let route, let page = signIn(exchange, fields, route)
      else {
        return refuse(request, error)
      }
      var refusal = error
      refusal.status = 303
      refusal.location = page
      refuse(request, refusal)
    }
  }

  /// Sets until when the request may take: as long as its caller waits, and no longer than the node lets it.
  func limit(_ request: ProxyRequest, to timeout: Int64?, of node: LoopNode) {
    let own = node.plan.total
    request.totalDeadline = own > 0 ? request.arrived + own : .max
    guard let timeout, own == 0 || timeout < own else { return }
    request.totalDeadline = request.arrived + timeout
    request.callerSetDeadline = true
  }

  private func admit(
    _ request: ProxyRequest, _ exchange: HTTPExchange, _ fields: ProxyFields, _ found: ProxyHeaders,
    _ route: ProxyRoute?
  ) throws(Refusal) -> LoopNode {
    let verdict = try authenticate(exchange, fields, route)
    guard found.nodeID != -2 else { throw Refusal(.invalidArgument, "the header x-node-id is given twice") }
    guard found.folderID != -2 else {
      throw Refusal(.invalidArgument, "the header x-folder-id is given twice")
    }
    guard found.nodeAlias != -2 else {
      throw Refusal(.invalidArgument, "the header x-node-alias is given twice")
    }
    guard found.nodeID == -1 || found.nodeAlias == -1 else {
      throw Refusal(.invalidArgument, "x-node-id and x-node-alias exclude each other: send one of them")
    }
    if found.nodeAlias >= 0 {
      return try admit(request, exchange, fields, found, verdict, to: fields.value(found.nodeAlias))
    }
    if let route, route.isAlias {
      let name = UnsafeBufferPointer(start: fields.base + route.id.lowerBound, count: route.id.count)
      return try admit(request, exchange, fields, found, verdict, to: name, rest: route.rest)
    }
    let id: UnsafeBufferPointer<UInt8>
    if found.nodeID >= 0 {
      id = fields.value(found.nodeID)
    } else {
      let place = route?.id ?? 0..<0
      id = UnsafeBufferPointer(start: fields.base + place.lowerBound, count: place.count)
    }
    guard let node = node(id) else {
      let text = String(decoding: id.prefix(64), as: UTF8.self)
      throw Refusal(.notFound, "node '\(text)' does not exist")
    }
    request.node = node
    request.path = pathCounters(node, exchange)
    let entry = node.entry
    try mayCall(verdict, entry)
    if found.folderID >= 0 {
      let folder = fields.value(found.folderID)
      guard let base = folder.baseAddress, let key = NodeKey(base, folder.count), node.folders.contains(key)
      else {
        let text = String(decoding: folder.prefix(64), as: UTF8.self)
        throw Refusal(
          .permissionDenied,
          "x-folder-id: the ACL of node \(node.shared.id) does not allow calls from folder '\(text)'")
      }
    } else {
      guard node.plan.allowsOwnFolder else {
        throw Refusal(
          .permissionDenied,
          "x-folder-id: missing; the ACL of node \(node.shared.id) does not allow calls from its own folder, so name another"
        )
      }
    }
    try limitRate(verdict, node)
    if let refusal = entry.routed.refusal { throw Refusal(.unavailable, refusal, origin: .node) }
    return node
  }

  /// The same of an alias.
  private func admit(
    _ request: ProxyRequest, _ exchange: HTTPExchange, _ fields: ProxyFields, _ found: ProxyHeaders,
    _ verdict: VerdictCache.Verdict, to name: UnsafeBufferPointer<UInt8>, rest: Int = 0
  ) throws(Refusal) -> LoopNode {
    let alias = try known(name)
    try mayCall(verdict, alias)
    if found.folderID >= 0 {
      try allow(fields.value(found.folderID), alias, field: "x-folder-id")
    } else if alias.routed.spec.access == .private, !alias.allowsOwnFolder {
      throw Refusal(
        .permissionDenied,
        "x-folder-id: missing; the ACL of alias \(alias.routed.name) does not allow calls from its own folder, so name another"
      )
    }
    let choice = try choose(alias, verdict, exchange, fields.fields, pathStart: rest)
    request.choice = choice
    request.node = choice.node
    request.path = pathCounters(choice.node, exchange)
    request.aliasPath = pathCounters(alias, exchange)
    try limitRate(verdict, choice.node)
    return choice.node
  }

  func frame(_ request: ProxyRequest, _ exchange: HTTPExchange) {
    let head = exchange.head
    if exchange.isExtendedConnect {
      // What comes are bytes of the WebSocket, not a body.
      request.framing = .none
    } else if head.isChunked {
      request.framing = .unknown
    } else if head.contentLength >= 0 {
      request.framing = .counted(head.contentLength)
    }
    guard let base = exchange.base else { return }
    switch head.methodCount {
    case 3: request.isIdempotent = begins(base, "get") || begins(base, "put")
    case 4: request.isIdempotent = head.isHEAD
    case 5: request.isIdempotent = begins(base, "trace")
    case 6: request.isIdempotent = begins(base, "delete")
    case 7: request.isIdempotent = begins(base, "options")
    default: break
    }
  }

  // MARK: The slab

  func takeProxy() -> ProxyRequest {
    let slot = freeProxies.popLast() ?? proxies.count
    if slot == proxies.count {
      let request = ProxyRequest(slot: slot)
      proxies.append(request)
      heldProxies.append(Unmanaged.passUnretained(request))
    }
    let request = proxies[slot]
    request.reset()
    return request
  }

  func proxy(_ tag: UInt64) -> ProxyRequest? { heldProxy(tag)?.takeUnretainedValue() }

  /// The same, not counted: the slab holds it as long as the loop is.
  func heldProxy(_ tag: UInt64) -> Unmanaged<ProxyRequest>? {
    guard tag & ProxyRequest.mark != 0 else { return nil }
    let slot = Int(tag & 0x7fff_ffff)
    guard slot < heldProxies.count else { return nil }
    let isOurs = heldProxies[slot]._withUnsafeGuaranteedRef { $0.tag == tag && $0.state != .free }
    return isOurs ? heldProxies[slot] : nil
  }

  func recycle(_ request: ProxyRequest) {
    guard request.state != .free else { return }
    if request.held != 0, let held = held(request.held) { release(held) }
    loop.cancel(&request.timer)
    request.state = .free
    request.serial &+= 1
    request.node = nil
    if request.choice != nil { request.choice = nil }
    if request.capture != nil { request.capture = nil }
    if request.execution != nil { request.execution = nil }
    request.target = nil
    request.upstream = nil
    request.head.clear()
    request.body.clear()
    request.trailers.clear()
    server.heldBytes -= request.heldBytes
    request.heldBytes = 0
    freeProxies.append(request.slot)
  }
}
