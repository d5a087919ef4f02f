internal import CLinux
internal import Domain
internal import HTTPTransport
internal import Reactor
internal import Telemetry
internal import Wire

/// The loop's connections to instances, and the frames on them.
extension GatewayLoop {
  // MARK: The table

  /// Takes over a routing table: places at instances that stay are kept, requests of nodes that go are answered.
  func use(_ next: LoopTable) {
    if let table, next.generation < table.generation { return }
    var oldNodes: [String: LoopNode] = [:]
    for node in nodes { oldNodes[node.shared.id] = node }
    var oldLinks: [ObjectIdentifier: InstanceLink] = [:]
    var oldTargets: [ObjectIdentifier: ProxyTarget] = [:]
    var oldCallTargets: [ObjectIdentifier: ProxyTarget] = [:]
    for node in nodes {
      for link in node.links { oldLinks[ObjectIdentifier(link.shared)] = link }
      for target in node.targets { oldTargets[ObjectIdentifier(target.shared)] = target }
      for target in node.callTargets { oldCallTargets[ObjectIdentifier(target.shared)] = target }
    }
    table = next
    places.removeAll(keepingCapacity: true)
    lastPlace = nil
    nodes = next.nodes.enumerated().map { slot, entry in
      let node = oldNodes.removeValue(forKey: entry.shared.id) ?? LoopNode(entry)
      node.entry = entry
      node.slot = slot
      node.hasRetryTimer = false
      node.folders = entry.routed.acl.compactMap { nodeKey($0.text) }
      node.links = entry.instances.compactMap { instance in
        guard instance.routed.endpoint.wireProtocol == .frames else { return nil }
        return oldLinks.removeValue(forKey: ObjectIdentifier(instance)) ?? makeLink(instance)
      }
      node.targets = entry.instances.compactMap { instance in
        guard instance.routed.endpoint.wireProtocol != .frames else { return nil }
        return oldTargets.removeValue(forKey: ObjectIdentifier(instance))
          ?? makeTarget(instance, instance.routed.endpoint)
      }
      node.callTargets = entry.instances.compactMap { instance in
        guard let endpoint = instance.routed.callEndpoint else { return nil }
        return oldCallTargets.removeValue(forKey: ObjectIdentifier(instance))
          ?? makeTarget(instance, endpoint)
      }
      node.plan = ProxyPlan(entry.routed)
      if let key = nodeKey(entry.routed.id.text) { places[key] = slot }
      return node
    }
    useAliases(next)
    for link in oldLinks.values { retire(link) }
    for target in oldTargets.values { upstream.retire(target.upstream) }
    for target in oldCallTargets.values { upstream.retire(target.upstream) }
    for node in oldNodes.values {
      node.links = []
      node.targets = []
      node.callTargets = []
      failWaiting(node, "node \(node.shared.id) was deleted while the request waited")
    }
    if !holds.isEmpty { endHolds(without: aliases) }
    for node in nodes {
      if let refusal = node.entry.routed.refusal { failWaiting(node, refusal) } else { pump(node) }
    }
    if !streamedCalls.isEmpty { tellWatchers() }
    counters.generation.set(Int(clamping: next.generation))
  }

  private func makeTarget(_ instance: SharedInstance, _ endpoint: Endpoint) -> ProxyTarget {
    ProxyTarget(
      instance, at: endpoint, zone: shared.configuration.zone, tls: shared.configuration.upstreamTLS)
  }

  private func nodeKey(_ text: String) -> NodeKey? {
    var text = text
    return text.withUTF8 { bytes in bytes.baseAddress.flatMap { NodeKey($0, bytes.count) } }
  }

  private func failWaiting(_ node: LoopNode, _ message: String) {
    for tag in node.waiting {
      if let request = proxy(tag), request.state == .queued {
        refuse(request, Refusal(.unavailable, message, origin: .node))
      }
      guard let request = request(tag), request.state == .queued else { continue }
      fail(request, Refusal(.unavailable, message, origin: .node))
    }
  }

  private func makeLink(_ instance: SharedInstance) -> InstanceLink {
    let slot = freeLinks.popLast() ?? links.count
    let link = InstanceLink(instance, slot: slot)
    if slot == links.count {
      links.append(link)
    } else {
      link.generation = links[slot].generation &+ 1
      links[slot] = link
    }
    return link
  }

  private func retire(_ link: InstanceLink) {
    link.isRetired = true
    if link.pending.isEmpty { close(link) }
  }

  private func close(_ link: InstanceLink) {
    if link.descriptor >= 0 { _ = roost_close(link.descriptor) }
    link.descriptor = -1
    link.generation &+= 1
    link.input.free()
    link.output.free()
    link.sent = 0
    link.skipping = 0
    link.watchesWrite = false
    if link.isRetired, links[link.slot] === link { freeLinks.append(link.slot) }
  }

  // MARK: Writing

  /// Connects to the instance; false, and the instance rests, when it refuses.
  func connect(_ link: InstanceLink) -> Bool {
    let address = link.shared.routed.endpoint.address
    let descriptor: Int32
    if address.hasPrefix("unix:") {
      descriptor = roost_connect_unix(String(address.dropFirst(5)))
    } else if let colon = address.lastIndex(of: ":"),
      let port = UInt16(address[address.index(after: colon)...])
    {
      descriptor = roost_connect_tcp(String(address[..<colon]), port)
    } else {
      descriptor = -22
    }
    guard descriptor >= 0 else {
      // What this process lacks itself is not the instance's fault.
      let isShortage = roost_is_shortage(-descriptor) != 0
      rest(link, String(cString: roost_error_text(-descriptor)), isSeen: !isShortage)
      return false
    }
    // A cell can write to the folder of its node's sockets: a link there must not lead to another process.
    let owner = link.shared.routed.pid
    if owner > 0, roost_peer_pid(descriptor) != owner {
      _ = roost_close(descriptor)
      rest(link, "its socket leads to another process")
      return false
    }
    link.descriptor = descriptor
    link.generation &+= 1
    link.sent = 0
    loop.watch(descriptor, [.readable, .hangup], data: Kind.instance << 56 | link.key)
    return true
  }

  private func rest(_ link: InstanceLink, _ reason: String, isSeen: Bool = true) {
    let isNew = !link.shared.isResting(loop.now)
    link.shared.rest(until: loop.now + 50_000_000)
    if isSeen, isNew, !link.isRetired { shared.observe(.unreachable(link.shared.routed.id, reason: reason)) }
  }

  func writeExecute(
    _ request: ExecuteRequest, _ link: InstanceLink, _ milliseconds: UInt32, _ input: UnsafePointer<UInt8>,
    _ count: Int
  ) {
    let named = request.namedCount
    let before = 5 + named
    let kind = request.isPlain ? FrameKind.executePlain : .execute
    let head = FrameHead(kind: kind.rawValue, tag: request.tag, payloadCount: before + count)
    let target = link.output.room(head.frameCount)
    head.write(target)
    FrameHead.put(target + FrameHead.size, milliseconds)
    target[FrameHead.size + 4] = UInt8(named)
    for index in 0..<request.identifierCount {
      target[FrameHead.size + 5 + index] = request.identifier[index]
    }
    if named > request.identifierCount {
      target[FrameHead.size + 5 + request.identifierCount] = 0x20
      request.trace.write(target + FrameHead.size + 6 + request.identifierCount)
    }
    roost_copy(target + FrameHead.size + before, input, count)
    link.output.wrote(head.frameCount)
    markDirty(link)
  }

  private func markDirty(_ link: InstanceLink) {
    guard !link.isDirty else { return }
    link.isDirty = true
    dirtyLinks.append(link)
  }

  /// Tells the worker that nobody waits any more. The signal follows the frame: it makes running code look for it.
  func cancelAtInstance(_ request: ExecuteRequest) {
    guard let link = request.link, link.descriptor >= 0 else { return }
    let head = FrameHead(kind: FrameKind.cancel.rawValue, tag: request.tag, payloadCount: 0)
    head.write(link.output.room(FrameHead.size))
    link.output.wrote(FrameHead.size)
    flush(link)
    guard link.descriptor >= 0 else { return }
    let pid = link.shared.routed.pid > 0 ? link.shared.routed.pid : roost_peer_pid(link.descriptor)
    if pid > 1, pid != roost_own_pid() { _ = roost_signal(pid, Int32(ROOST_SIGUSR1)) }
  }

  func flushLinks() {
    while !dirtyLinks.isEmpty {
      let dirty = dirtyLinks
      dirtyLinks.removeAll(keepingCapacity: true)
      for link in dirty {
        link.isDirty = false
        if link.descriptor >= 0 { flush(link) }
      }
    }
  }

  private func flush(_ link: InstanceLink) {
    while let base = link.output.base, !link.output.isEmpty {
      let sent = roost_send(link.descriptor, base, link.output.count)
      if sent < 0 {
        let code = roost_errno()
        if code == ROOST_EINTR { continue }
        guard roost_would_block(code) != 0 else { return died(link, String(cString: roost_error_text(code))) }
        watchWrites(link, true)
        return
      }
      link.sent += sent
      link.output.drop(sent)
    }
    watchWrites(link, false)
  }

  private func watchWrites(_ link: InstanceLink, _ wanted: Bool) {
    guard link.watchesWrite != wanted else { return }
    link.watchesWrite = wanted
    loop.rewatch(
      link.descriptor, wanted ? [.readable, .writable, .hangup] : [.readable, .hangup],
      data: Kind.instance << 56 | link.key)
  }

  // MARK: Reading

  func linkReady(_ data: UInt64, _ events: ReadyEvents) {
    let key = data & 0xff_ffff_ffff_ffff
    let slot = Int(key & 0xffff_ffff)
    guard slot < links.count, links[slot].key == key, links[slot].descriptor >= 0 else { return }
    let link = links[slot]
    if events.contains(.writable) { flush(link) }
    guard link.descriptor >= 0, !events.intersection([.readable, .hangup, .failed]).isEmpty else { return }
    // What the worker wrote before it closed is read first: those requests have their answers.
    let isDirect = link.input.isEmpty
    let target = isDirect ? scratch : link.input.room(262_144)
    let received = roost_recv(link.descriptor, target, 262_144)
    if received < 0 {
      let code = roost_errno()
      if roost_would_block(code) == 0, code != ROOST_EINTR {
        died(link, String(cString: roost_error_text(code)))
      }
      return
    }
    guard received > 0 else { return died(link, "the worker closed the connection") }
    let generation = link.generation
    if isDirect {
      let used = take(link, scratch, received)
      if link.generation == generation, used < received {
        link.input.append(scratch + used, received - used)
      }
    } else {
      link.input.wrote(received)
      if let base = link.input.base {
        let used = take(link, base, link.input.count)
        if link.generation == generation { link.input.drop(used) }
      }
    }
  }

  /// Takes whole frames; returns how many bytes are used up.
  private func take(_ link: InstanceLink, _ base: UnsafePointer<UInt8>, _ count: Int) -> Int {
    var at = 0
    let generation = link.generation
    while at < count, link.generation == generation {
      if link.skipping > 0 {
        let step = min(link.skipping, count - at)
        link.skipping -= step
        at += step
        continue
      }
      let head: FrameHead?
      do throws(FrameHead.Fault) {
        head = try FrameHead.read(base + at, count - at, maximumPayload: 1 << 30)
      } catch {
        died(link, "the worker sent bytes that are not a frame")
        return at
      }
      guard let head else { break }
      let limit = shared.configuration.responseLimit
      if head.kind == FrameKind.output.rawValue, head.payloadCount - 4 > limit {
        at += FrameHead.size
        link.skipping = head.payloadCount
        var refusal = Refusal(
          .payloadTooLarge, "the outputs may have at most \(limit) bytes; they have \(head.payloadCount - 4)")
        refusal.origin = .node
        completed(link, head.tag, with: refusal)
        continue
      }
      guard count - at >= head.frameCount else { break }
      taken(link, head, base + at + FrameHead.size)
      at += head.frameCount
    }
    return min(at, count)
  }

  private func taken(_ link: InstanceLink, _ head: FrameHead, _ payload: UnsafePointer<UInt8>) {
    switch FrameKind(rawValue: head.kind) {
    case .output where head.payloadCount >= 4:
      link.shared.measured(Int(FrameHead.word(payload)))
      guard let request = finishPending(link, head.tag) else { return }
      if request.state == .sent { respond(request, output: payload + 4, head.payloadCount - 4) }
      release(request, link)
    case .error:
      let bytes = Array(UnsafeBufferPointer(start: payload, count: head.payloadCount))
      completed(link, head.tag, with: Refusal(workerError: bytes))
    case .ready, .failed, .pong: break
    default: died(link, "the worker sent a frame of unknown kind \(head.kind)")
    }
  }

  private func completed(_ link: InstanceLink, _ tag: UInt64, with refusal: Refusal) {
    guard let request = finishPending(link, tag) else { return }
    if request.state == .sent { respond(request, refusal) }
    release(request, link)
  }

  /// The request of a tag that the instance owes an answer; nil for a tag it owes none.
  private func finishPending(_ link: InstanceLink, _ tag: UInt64) -> ExecuteRequest? {
    guard let place = link.pending.firstIndex(of: tag) else { return nil }
    link.pending.remove(at: place)
    return request(tag)
  }

  /// Gives the place back and hands it to who waits.
  private func release(_ request: ExecuteRequest, _ link: InstanceLink) {
    let node = request.node
    recycle(request)
    link.shared.release()
    node?.shared.inFlight.add(-1)
    if let node {
      node.shared.done(loop.now)
      if node.shared.queueLength > 0 { pump(node) }
    }
    if link.isRetired, link.pending.isEmpty { close(link) }
  }

  private func respond(_ request: ExecuteRequest, output: UnsafePointer<UInt8>, _ count: Int) {
    if let witness = request.witness {
      witness.answered(request, status: 200, output, count, byNode: true, now: loop.clock())
    }
    switch request.form {
    case .rest: break
    case .inference: return respondInference(request, output, count)
    case .structure, .typed, .inferenceCall: return respondCall(request, output, count)
    }
    let now = loop.clock()
    logRequest(request, status: 200, code: 0, now: now, responseBytes: count)
    guard let connection = server.exchange(request.connection), connection.ownerTag == request.tag else {
      return
    }
    beginAnswer(request, connection, status: 200, now: now)
    connection.output.append("content-type: application/json\r\n")
    server.endHead(connection, contentLength: count + 11)
    connection.output.append("{\"output\":")
    connection.output.append(output, count)
    connection.output.append("}")
    server.finish(connection)
  }

  // MARK: Death

  /// The socket is gone: what was written fails, what was not goes to another instance.
  func died(_ link: InstanceLink, _ reason: String) {
    guard link.descriptor >= 0 else { return }
    let pending = link.pending
    link.pending = []
    let sent = link.sent
    let unwritten = link.output.moved()
    if !pending.isEmpty || !link.isRetired { rest(link, reason) }
    close(link)
    var touched: [LoopNode] = []
    for tag in pending.reversed() {
      link.shared.release()
      guard let request = request(tag) else { continue }
      request.node?.shared.inFlight.add(-1)
      if let node = request.node, !touched.contains(where: { $0 === node }) { touched.append(node) }
      let offset = request.frameStart - sent
      if request.state == .sent, offset >= 0, let base = unwritten.base {
        let before = FrameHead.size + 5 + request.namedCount
        requeue(request, base + offset + before, request.inputCount)
        continue
      }
      if request.state == .sent, request.isRepeatable, request.attempts < Self.mostAttempts {
        requeue(request)
        continue
      }
      if request.state == .sent {
        let message =
          "the instance \(link.shared.routed.id) ended before it had answered: \(reason); the cell may have run in part; why it ended: roost node describe \(request.node?.entry.routed.name ?? "")"
        respond(request, Refusal(.unavailable, message, origin: .node))
      }
      recycle(request)
    }
    unwritten.free()
    for node in touched { pump(node) }
  }
}
