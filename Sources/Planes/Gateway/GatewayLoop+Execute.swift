internal import Access
internal import CLinux
internal import Contract
internal import Domain
internal import HTTPTransport
internal import Reactor
internal import Telemetry
internal import Wire

/// The way of an execute request from its head to an instance or the queue.
extension GatewayLoop {
  func execute(
    _ connection: HTTPExchange, _ fields: UnsafeMutablePointer<HTTP1Field>, _ target: ExecuteTarget,
    _ body: UnsafePointer<UInt8>, _ count: Int
  ) {
    let arrival = arrive(connection, fields)
    var known: LoopNode?
    do throws(Refusal) {
      let verdict = try authenticate(connection, fields)
      guard !target.isAlias else {
        return try execute(connection, fields, alias: target.name, verdict, arrival, body, count)
      }
      let node = try find(connection, target.name)
      known = node
      let slices = try admit(verdict, node, body, count)
      guard let input = slices.input else { throw Refusal(.invalidArgument, "input: \(Self.inputShape)") }
      if let models = node.entry.models {
        return try execute(
          connection, fields, arrival, node, models, body + input.lowerBound, input.count, nil)
      }
      let request = try prepare(connection, fields, arrival, node, .rest, inputCount: input.count)
      request.isPlain = slices.isPlain
      start(request, node, body + input.lowerBound, input.count)
    } catch {
      refuse(connection, arrival, known, .rest, error)
    }
  }

  /// The same of an alias: its node is chosen when nothing else can be wrong with the request.
  private func execute(
    _ connection: HTTPExchange, _ fields: UnsafeMutablePointer<HTTP1Field>, alias name: Range<Int>,
    _ verdict: VerdictCache.Verdict, _ arrival: borrowing Arrival, _ body: UnsafePointer<UInt8>, _ count: Int
  ) throws(Refusal) {
    guard let base = connection.base else { return }
    let alias = try known(UnsafeBufferPointer(start: base + name.lowerBound, count: name.count))
    try mayCall(verdict, alias)
    let slices = try slice(body, count)
    let folder = slices.folderID ?? 0..<0
    try allow(
      UnsafeBufferPointer(start: body + folder.lowerBound, count: folder.count), alias, field: "folder_id")
    guard let input = slices.input else { throw Refusal(.invalidArgument, "input: \(Self.inputShape)") }
    let choice = try choose(alias, verdict, connection, fields)
    try limitRate(verdict, choice.node)
    try refuseServers(choice.node)
    if let models = choice.node.entry.models {
      return try execute(
        connection, fields, arrival, choice.node, models, body + input.lowerBound, input.count, choice)
    }
    let request = try prepare(connection, fields, arrival, choice.node, .rest, inputCount: input.count)
    request.isPlain = slices.isPlain
    request.choice = choice
    request.aliasPath = alias.shared.paths.execute
    start(request, choice.node, body + input.lowerBound, input.count)
  }

  /// The same of a node of saved models.
  private func execute(
    _ connection: HTTPExchange, _ fields: UnsafeMutablePointer<HTTP1Field>, _ arrival: borrowing Arrival,
    _ node: LoopNode, _ models: ModelNodeContract, _ input: UnsafePointer<UInt8>, _ count: Int,
    _ choice: AliasChoice?
  ) throws(Refusal) {
    let call = try modelCall(
      node, models, Array(UnsafeBufferPointer(start: input, count: count)), service: nil, choice)
    try execute(
      connection, fields, arrival, node, ModelExecution(models, call, .rest), choice, bodyCount: count)
  }

  // MARK: Who and where

  func authenticate(
    _ connection: HTTPExchange, _ fields: UnsafeMutablePointer<HTTP1Field>
  ) throws(Refusal) -> VerdictCache.Verdict {
    guard let base = connection.base, connection.head.authorization >= 0 else {
      throw Refusal(
        .unauthenticated,
        connection.head.authorization == -2
          ? "the Authorization header is given twice"
          : "no token: send the header 'Authorization: Bearer <IAM token>'")
    }
    let field = fields[Int(connection.head.authorization)]
    var start = Int(field.valueStart)
    let end = start + Int(field.valueCount)
    let (bearer, apiKey): (StaticString, StaticString) = ("bearer ", "api-key ")
    if end - start > 7, scan_equals_lower(base + start, bearer.utf8Start, 7) != 0 {
      start += 7
    } else if end - start > 8, scan_equals_lower(base + start, apiKey.utf8Start, 8) != 0 {
      start += 8
    } else {
      throw Refusal(
        .unauthenticated, "the Authorization header must be 'Bearer <IAM token>' or 'Api-Key <key>'")
    }
    while start < end, base[start] == 0x20 { start += 1 }
    return try judge(base + start, end - start)
  }

  /// The verdict about a token, or about a browser's session.
  func judge(
    _ token: UnsafePointer<UInt8>, _ count: Int, isSession: Bool = false
  ) throws(Refusal) -> VerdictCache.Verdict {
    let now = Timestamp(microseconds: roost_wall_us())
    let verdict: VerdictCache.Verdict
    // A clock that was set back may make the token one that is not valid yet: it is judged anew.
    if let cached = verdicts.find(token, count), cached.judgedAt <= now,
      (cached.principal.node != nil) == isSession
    {
      verdict = cached
    } else {
      counters.tokenChecks.add()
      let bytes = Array(UnsafeBufferPointer(start: token, count: count))
      let verifier = shared.verifier
      do throws(PlatformError) {
        verdict = VerdictCache.Verdict(
          token: bytes,
          principal: isSession
            ? try verifier.verifySession(bytes, at: now) : try verifier.verify(bytes, at: now), at: now)
      } catch {
        throw Refusal(error.code, error.message, origin: error.origin == .platform ? .caller : error.origin)
      }
      verdicts.keep(verdict)
    }
    guard verdict.principal.expiresAt > now else {
      verdicts.drop(token, count)
      throw Refusal(
        .unauthenticated, "the token expired at \(verdict.principal.expiresAt); get a new one")
    }
    if verdict.generation != table?.generation ?? 0 {
      verdict.generation = table?.generation ?? 0
      verdict.isRevoked = table?.revoked.contains(verdict.principal.tokenID) ?? false
      verdict.folder = ""
    }
    guard !verdict.isRevoked else { throw Refusal(.unauthenticated, "the token was revoked; get a new one") }
    return verdict
  }

  private func find(_ connection: HTTPExchange, _ target: Range<Int>) throws(Refusal) -> LoopNode {
    guard let base = connection.base else { throw Refusal(.internal, "no request", origin: .platform) }
    if let key = NodeKey(base + target.lowerBound, target.count), let place = places[key] {
      return nodes[place]
    }
    let id = String(
      decoding: UnsafeBufferPointer(start: base + target.lowerBound, count: min(target.count, 64)),
      as: UTF8.self)
    throw Refusal(.notFound, "node '\(id)' does not exist")
  }

  private static var inputShape: String { "missing; send {\"folder_id\": ..., \"input\": {...}}" }

  /// Checks the body and the rights; says where its parts are.
  private func admit(
    _ verdict: VerdictCache.Verdict, _ node: LoopNode, _ body: UnsafePointer<UInt8>, _ count: Int
  ) throws(Refusal) -> JSONSlicer {
    let entry = node.entry
    try mayCall(verdict, entry)
    try limitRate(verdict, node)
    try refuseServers(node)
    let slices = try slice(body, count)
    let folder = slices.folderID ?? 0..<0
    guard let key = NodeKey(body + folder.lowerBound, folder.count), node.folders.contains(key) else {
      let text = String(
        decoding: UnsafeBufferPointer(start: body + folder.lowerBound, count: min(folder.count, 64)),
        as: UTF8.self)
      throw Refusal(
        .permissionDenied,
        "folder_id: the ACL of node \(entry.routed.id) does not allow calls from folder '\(text)'")
    }
    if let refusal = entry.routed.refusal { throw Refusal(.unavailable, refusal, origin: .node) }
    return slices
  }

  private func refuseServers(_ node: LoopNode) throws(Refusal) {
    guard node.links.isEmpty, !node.entry.routed.instances.isEmpty, node.entry.models == nil else { return }
    throw Refusal(
      .failedPrecondition,
      "node \(node.shared.id) is made of servers and has no cell to execute; send them requests with the header x-node-id"
    )
  }

  /// The parts of an envelope, of which all are there.
  private func slice(_ body: UnsafePointer<UInt8>, _ count: Int) throws(Refusal) -> JSONSlicer {
    let slices: JSONSlicer
    do throws(JSONError) {
      slices = try JSONSlicer.slice(body, count)
    } catch {
      throw Refusal(.invalidArgument, "the body is refused at \(error)")
    }
    guard slices.folderID != nil else { throw Refusal(.invalidArgument, "folder_id: \(Self.inputShape)") }
    guard slices.input != nil else { throw Refusal(.invalidArgument, "input: \(Self.inputShape)") }
    return slices
  }

  /// Whether the principal has the right in the node's folder.
  func mayCall(_ verdict: VerdictCache.Verdict, _ node: LoopTable.Node) throws(Refusal) {
    guard verdict.folder != node.routed.folderID.text else { return }
    let grant = LoopTable.Grant(subject: verdict.principal.subject, folder: node.routed.folderID.text)
    guard table?.grants.contains(grant) == true else {
      throw Refusal(
        .permissionDenied,
        "\(verdict.principal.subject) may not call nodes of folder \(node.routed.folderID); it needs the role datasphere.user or a higher one there"
      )
    }
    verdict.folder = node.routed.folderID.text
  }

  func timeout(
    of node: LoopNode, _ connection: HTTPExchange, _ fields: UnsafeMutablePointer<HTTP1Field>
  ) throws(Refusal) -> (nanoseconds: Int64, isCallers: Bool) {
    let own = Int64(node.entry.routed.timeoutMilliseconds) * 1_000_000
    guard let callers = try callerTimeout(connection, fields), callers < own else { return (own, false) }
    return (callers, true)
  }

  /// Nanoseconds of the caller's `grpc-timeout`; nil without one.
  func callerTimeout(
    _ connection: HTTPExchange, _ fields: UnsafeMutablePointer<HTTP1Field>
  ) throws(Refusal) -> Int64? {
    guard connection.head.grpcTimeout >= 0, let base = connection.base else { return nil }
    let field = fields[Int(connection.head.grpcTimeout)]
    let value = base + Int(field.valueStart)
    let digits = Int(field.valueCount) - 1
    var amount: Int64 = 0
    guard (1...8).contains(digits) else { throw Self.badTimeout }
    for index in 0..<digits {
      guard (0x30...0x39).contains(value[index]) else { throw Self.badTimeout }
      amount = amount * 10 + Int64(value[index] - 0x30)
    }
    let unit: Int64
    switch value[digits] {
    case 0x48: unit = 3_600_000_000_000
    case 0x4d: unit = 60_000_000_000
    case 0x53: unit = 1_000_000_000
    case 0x6d: unit = 1_000_000
    case 0x75: unit = 1000
    case 0x6e: unit = 1
    default: throw Self.badTimeout
    }
    let (product, overflow) = amount.multipliedReportingOverflow(by: unit)
    // The caller's time goes on while its request waits for the end of a hold.
    return overflow ? nil : max(product - heldNanoseconds, 1)
  }

  private static var badTimeout: Refusal {
    Refusal(.invalidArgument, "grpc-timeout: must be 1 to 8 digits and a unit H, M, S, m, u or n, like 500m")
  }

  // MARK: Request ids

  /// The caller's `x-request-id` when it is 1 to 64 safe characters, else a new one. Returns its length.
  func takeIdentifier(
    _ connection: HTTPExchange, _ fields: UnsafeMutablePointer<HTTP1Field>,
    into identifier: inout InlineArray<64, UInt8>
  ) -> Int {
    guard connection.head.requestID >= 0, let base = connection.base else {
      return makeIdentifier(&identifier)
    }
    let field = fields[Int(connection.head.requestID)]
    let count = Int(field.valueCount)
    guard (1...64).contains(count) else { return makeIdentifier(&identifier) }
    for index in 0..<count {
      let byte = base[Int(field.valueStart) + index]
      switch byte {
      case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x3a: identifier[index] = byte
      default: return makeIdentifier(&identifier)
      }
    }
    return count
  }

  /// `req` and 17 random characters.
  func makeIdentifier(_ identifier: inout InlineArray<64, UInt8>) -> Int {
    let alphabet: StaticString = "abcdefghijklmnopqrstuvwxyz012345"
    identifier[0] = 0x72
    identifier[1] = 0x65
    identifier[2] = 0x71
    var bits = nextRandom()
    for index in 3..<15 {
      identifier[index] = alphabet.utf8Start[Int(bits & 31)]
      bits >>= 5
    }
    bits = nextRandom()
    for index in 15..<20 {
      identifier[index] = alphabet.utf8Start[Int(bits & 31)]
      bits >>= 5
    }
    return 20
  }

  /// Ids must differ, not be secret: a cheap generator, seeded from the system's.
  func nextRandom() -> UInt64 {
    randomState &+= 0x9e37_79b9_7f4a_7c15
    var mixed = randomState
    mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
    return mixed ^ mixed >> 31
  }
}
