public import Domain
import Planning
public import Storage
import Wire

/// Sends copies of aliases' requests to candidates, beside the requests themselves, and compares the answers.
///
/// What comes from the gateway is taken or dropped at once: nothing of this is waited for by a request.
public actor AliasMirrors {
  /// What is known of one mirror since it was set.
  private struct Mirror {
    var spec: AliasMirrorSpec
    var comparer: AnswerComparer
    var since: Timestamp
    /// What had been copied before it was set.
    var before: CopyCounts
    var budget: MirrorBudget
    var waiting: [CapturedExchange] = []
    var sent = 0
    var equal = 0
    var different = 0
    var failed = 0
    var overBudget = 0
    var busy = 0
    var tooLarge = 0
    var latency = LatencyPairs()
    var worst = WorstDifferences()
  }

  let world: NodeWorld
  let fleet: Fleet
  private var mirrors: [AliasID: Mirror] = [:]

  public init(world: NodeWorld, fleet: Fleet) {
    self.world = world
    self.fleet = fleet
  }

  // MARK: Settings

  /// What was set before the last restart.
  public func recover() async throws(PlatformError) {
    for setting in try await world.store.aliasSettings() where setting.kind == .mirror {
      let spec = try StoredJSON.value(AliasMirrorSpec.self, from: setting.settingsJSON)
      mirrors[setting.aliasID] = await mirror(setting.aliasID, spec)
    }
  }

  private func mirror(_ alias: AliasID, _ spec: AliasMirrorSpec) async -> Mirror {
    Mirror(
      spec: spec, comparer: AnswerComparer(spec.rules, slower: spec.slower), since: world.now(),
      before: await fleet.sink.copies(ofAlias: alias)?.mirrored ?? CopyCounts(),
      budget: MirrorBudget(
        mostAtOnce: spec.maxConcurrent, bytesPerSecond: spec.maxBytesPerSecond, now: world.uptime()))
  }

  /// Begins to mirror, or mirrors otherwise; counts begin anew.
  public func set(
    _ alias: AliasRecord, _ request: SetAliasMirrorRequest, by subject: String
  ) async throws(PlatformError) {
    let nodes = try await world.store.allNodes()
    let aliases = AliasService(world: world, fleet: fleet)
    let node = try aliases.node(request.node, "node", alias.folderID, nodes)
    let shares = try StoredJSON.value(AliasSpec.self, from: alias.specJSON)
    let spec = try MirrorValidation.spec(request, node: node.id)
    if let reason = AliasCopying.resting(spec, shares) {
      throw PlatformError(
        .failedPrecondition, "node: '\(node.name)' can't be the candidate of '\(alias.name)': \(reason)",
        origin: .caller, field: "node")
    }
    try aliases.checkKind(of: node, beside: shares.shares.map(\.nodeId), "node", nodes)
    try await world.store.setAliasSetting(
      AliasSettingRecord(
        aliasID: alias.id, kind: .mirror, settingsJSON: try StoredJSON.text(spec), updatedAt: world.now(),
        updatedBy: subject))
    mirrors[alias.id] = await mirror(alias.id, spec)
    await fleet.aliasesChanged()
  }

  /// Copies that are under way are still compared, for nobody.
  public func remove(_ alias: AliasID) async throws(PlatformError) {
    try await world.store.removeAliasSetting(alias, .mirror)
    mirrors[alias] = nil
    await fleet.aliasesChanged()
  }

  /// The alias was deleted.
  public func forget(_ alias: AliasID) { mirrors[alias] = nil }

  public func status(_ alias: AliasRecord) async throws(PlatformError) -> AliasMirrorResource {
    guard let mirror = mirrors[alias.id] else { return AliasMirrorResource(alias: alias.name, state: .off) }
    let shares = try StoredJSON.value(AliasSpec.self, from: alias.specJSON)
    let node = try await world.store.node(mirror.spec.nodeId)
    var reason = AliasCopying.resting(mirror.spec, shares)
    if node == nil || node?.deletedAt != nil { reason = "the node was deleted: name another one, or --off" }
    if reason == nil, let refusal = await fleet.refusal(of: mirror.spec.nodeId) { reason = refusal }
    return AliasMirrorResource(
      alias: alias.name, state: reason == nil ? .on : .resting, reason: reason,
      nodeName: node?.name ?? mirror.spec.nodeId.text, spec: mirror.spec, since: mirror.since,
      sent: mirror.sent, equal: mirror.equal, different: mirror.different, failed: mirror.failed,
      dropped: await drops(alias.id, mirror), latency: mirror.latency.comparison,
      worst: mirror.worst.all)
  }

  private func drops(_ alias: AliasID, _ mirror: Mirror) async -> MirrorDrops {
    let now = await fleet.sink.copies(ofAlias: alias)?.mirrored ?? mirror.before
    return MirrorDrops(
      overBudget: mirror.overBudget, busy: mirror.busy,
      tooLarge: now.tooLarge - mirror.before.tooLarge + mirror.tooLarge,
      overMemory: now.overMemory - mirror.before.overMemory,
      notCopyable: now.notCopyable - mirror.before.notCopyable,
      unanswered: now.unanswered - mirror.before.unanswered)
  }

  // MARK: Copies

  /// Takes copies until there are no more.
  public func run(_ copies: AsyncStream<CapturedExchange>) async {
    await withDiscardingTaskGroup { group in
      for await copy in copies {
        guard let first = came(copy) else { continue }
        group.addTask {
          var next: CapturedExchange? = first
          while let copy = next, !Task.isCancelled { next = await self.mirror(copy) }
        }
      }
      group.cancelAll()
    }
  }

  /// The copy, when it is to be sent now.
  private func came(_ copy: CapturedExchange) -> CapturedExchange? {
    guard copy.forMirror, var mirror = mirrors[copy.alias] else { return nil }
    defer { mirrors[copy.alias] = mirror }
    guard Self.bodyBytes(copy) <= mirror.spec.maxBodyBytes, copy.answer.count <= mirror.spec.maxBodyBytes
    else {
      mirror.tooLarge += 1
      return nil
    }
    switch mirror.budget.came(
      bytes: copy.request.byteCount + copy.answer.count, now: world.uptime())
    {
    case .send: return copy
    case .wait:
      mirror.waiting.append(copy)
      return nil
    case .drop:
      mirror.overBudget += 1
      return nil
    }
  }

  static func bodyBytes(_ copy: CapturedExchange) -> Int {
    switch copy.request {
    case .execute(let input): input.count
    case .proxy(_, let body): body.count
    }
  }

  /// Sends a copy and takes note of the answer; the copy that has waited for its place.
  private func mirror(_ copy: CapturedExchange) async -> CapturedExchange? {
    guard let begun = mirrors[copy.alias] else { return nil }
    let id = "copy-" + copy.requestID.prefix(59)
    let result: NodeCallResult
    if let content = copy.request.copy(requestID: id) {
      result = await fleet.sink.call(
        NodeCall(
          node: begun.spec.nodeId, requestID: id, content: content, mayWait: false,
          timeoutMilliseconds: 60_000, mostAnswerBytes: begun.spec.maxBodyBytes))
    } else {
      result = .failed("the copy can't be read")
    }
    let difference = begun.spec.compare ? Self.difference(copy, result, begun.comparer) : nil
    // It may be another mirror by now, with counts of its own.
    guard var mirror = mirrors[copy.alias], mirror.since == begun.since else { return nil }
    defer { mirrors[copy.alias] = mirror }
    switch result {
    case .busy: mirror.busy += 1
    case .failed:
      mirror.sent += 1
      mirror.failed += 1
      if let difference { mirror.worst.add(difference) }
    case .answered(_, _, _, let microseconds, let byNode):
      mirror.sent += 1
      if byNode {
        mirror.latency.add(
          expectedMicroseconds: copy.microseconds, foundMicroseconds: microseconds)
      } else {
        mirror.failed += 1
      }
      if mirror.spec.compare, byNode {
        if difference == nil { mirror.equal += 1 } else { mirror.different += 1 }
      }
      if let difference { mirror.worst.add(difference) }
    }
    guard mirror.budget.ended(), !mirror.waiting.isEmpty else { return nil }
    return mirror.waiting.removeFirst()
  }

  /// Where the answers differ; nil: nowhere. Off the actor: long texts take their time.
  private nonisolated static func difference(
    _ copy: CapturedExchange, _ result: NodeCallResult, _ comparer: AnswerComparer
  ) -> AnswerDifference? {
    let expected = ComparedAnswer(copy)
    var difference = AnswerDifference(
      requestId: copy.requestID, at: copy.at, target: copy.request.title, expectedStatus: copy.status,
      foundStatus: nil, expectedMilliseconds: Double(copy.microseconds) / 1000, foundMilliseconds: nil,
      count: 1, places: [])
    switch result {
    case .busy: return nil
    case .failed(let reason):
      difference.places = [
        AnswerPlaceDifference(path: "status", kind: "status", expected: "\(copy.status)", found: reason)
      ]
      return difference
    case .answered(let status, let contentType, let body, let microseconds, _):
      var found = ComparedAnswer(
        status: status, contentType: contentType, body: body, microseconds: microseconds)
      if case .execute = copy.request { found.wrapOutputs() }
      (difference.count, difference.places) = comparer.compare(expected, found)
      difference.foundStatus = status
      difference.foundMilliseconds = Double(microseconds) / 1000
      return difference.count == 0 ? nil : difference
    }
  }
}

extension ComparedAnswer {
  /// The answer that the caller got, unpacked.
  init(_ copy: CapturedExchange) {
    self.init(
      status: copy.status, contentType: copy.contentType, body: copy.answer, microseconds: copy.microseconds)
    if case .execute = copy.request {
      wrapOutputs()
      return
    }
    guard let encoding = ContentEncoding(copy.contentEncoding) else { return }
    var plainBody: [UInt8]?
    body.withUnsafeBufferPointer { bytes in
      guard let base = bytes.baseAddress else { return }
      if let plain = try? encoding.unpacked(base, bytes.count, limit: 16 << 20) { plainBody = plain }
    }
    if let plainBody { body = plainBody }
  }

  /// The outputs of a cell as callers over REST get them.
  mutating func wrapOutputs() {
    guard (200..<300).contains(status) else { return }
    body = Array("{\"output\":".utf8) + body + Array("}".utf8)
  }
}
