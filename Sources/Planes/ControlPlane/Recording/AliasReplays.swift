public import Domain
import Planning
public import Storage

/// Sends recorded requests of an alias to a node, as operations, and says how its answers compare with the recorded ones.
public actor AliasReplays {
  /// Replays of an alias that are remembered.
  public static let mostKept = 50
  public static let kind = "ReplayAlias"
  private static let mostConcurrent = 64
  /// Longest wait for a node that is busy or wakes, milliseconds.
  private static let patience = 60_000

  /// What the operation needs to be done again after a restart.
  private struct Order: Codable {
    var node: NodeID
    var request: ReplayAliasRequest
  }

  let world: NodeWorld
  let fleet: Fleet
  private let recordings: AliasRecordings
  private let orders: AsyncStream<OperationID>
  private let asked: AsyncStream<OperationID>.Continuation
  private var progresses: [OperationID: String] = [:]
  private var cancelled: Set<OperationID> = []
  /// Requests without one answer after which a replay gives up.
  private static let hopeless = 20

  public init(world: NodeWorld, fleet: Fleet, recordings: AliasRecordings) {
    self.world = world
    self.fleet = fleet
    self.recordings = recordings
    (orders, asked) = AsyncStream.makeStream()
  }

  /// Begins a replay. Refused when nothing is recorded, or the node could not answer such requests.
  public func start(
    _ alias: AliasRecord, _ request: ReplayAliasRequest, by subject: String
  ) async throws(PlatformError) -> OperationRecord {
    let nodes = try await world.store.allNodes()
    let aliases = AliasService(world: world, fleet: fleet)
    let node = try aliases.node(request.node, "node", alias.folderID, nodes)
    let shares = try StoredJSON.value(AliasSpec.self, from: alias.specJSON).shares
    try aliases.checkKind(of: node, beside: shares.map(\.nodeId), "node", nodes)
    if let limit = request.limit { try MirrorValidation.check("limit", limit, in: 1...1_000_000) }
    try MirrorValidation.check("concurrency", request.concurrency ?? 1, in: 1...Self.mostConcurrent)
    if let mismatch = request.maxMismatchPercent {
      try RecordingValidation.check(mismatch: mismatch, "maxMismatchPercent")
    }
    try RecordingValidation.check(ratio: request.maxLatencyRatio, "maxLatencyRatio")
    if let rules = request.rules { try AnswerComparer.check(rules, slower: nil) }
    guard await recordings.status(alias).requests > 0 else {
      throw PlatformError(
        .failedPrecondition,
        "alias '\(alias.name)' has no recorded requests: record some first (roost alias record \(alias.name) --on), and call it",
        origin: .caller)
    }
    let now = world.now()
    let record = OperationRecord(
      id: .random(), kind: Self.kind, description: "Replay requests of \(alias.name) against \(node.name)",
      createdAt: now, createdBy: subject, modifiedAt: now, resourceID: alias.id.text,
      metadataJSON: try StoredJSON.text(Order(node: node.id, request: request)))
    try await world.store.createOperation(record)
    asked.yield(record.id)
    return record
  }

  /// How far a replay is.
  public func progress(of operation: OperationID) -> String? { progresses[operation] }

  /// Ends a replay; what was sent is not reported. The operation as it is then.
  public func cancel(_ id: OperationID) async throws(PlatformError) -> OperationRecord? {
    guard var operation = try await world.store.operation(id), !operation.done else {
      return try await world.store.operation(id)
    }
    cancelled.insert(id)
    let error = PlatformError(.cancelled, "the replay was cancelled", origin: .caller)
    operation.errorJSON = try StoredJSON.text(
      StatusResource(code: error.code.rpcCode, message: error.message))
    operation.done = true
    operation.modifiedAt = world.now()
    try await world.store.endOperation(operation)
    return try await world.store.operation(id)
  }

  /// The newest first.
  public func reports(of alias: AliasID) async throws(PlatformError) -> [ReplayResource] {
    var found: [ReplayResource] = []
    for record in try await world.store.replays(of: alias) {
      found.append(try StoredJSON.value(ReplayResource.self, from: record.reportJSON))
    }
    return found
  }

  /// Does what is asked for until cancelled. Begins with what an earlier process left undone.
  public func run() async {
    do throws(PlatformError) {
      for operation in try await world.store.pendingOperations() where operation.kind == Self.kind {
        asked.yield(operation.id)
      }
    } catch { world.log(.error, "replays not looked at", ["error": error.message]) }
    await withDiscardingTaskGroup { group in
      for await id in orders { group.addTask { await self.finish(id) } }
      group.cancelAll()
    }
  }

  private func finish(_ id: OperationID) async {
    do throws(PlatformError) { try await replay(id) } catch {
      world.log(.error, "replay not kept", ["operation": id.text, "error": error.message])
    }
    progresses[id] = nil
    cancelled.remove(id)
  }

  private func replay(_ id: OperationID) async throws(PlatformError) {
    guard var operation = try await world.store.operation(id), !operation.done else { return }
    do throws(PlatformError) {
      let report = try await report(of: operation)
      // The end of the service is no verdict: the next one does it again.
      if Task.isCancelled || cancelled.contains(id) { return }
      guard let alias = AliasID(operation.resourceID) else { return }
      try await world.store.addReplay(
        ReplayRecord(
          id: id, aliasID: alias, nodeID: report.nodeId, release: report.release, endedAt: report.endedAt,
          passed: report.verdict == .passed, reportJSON: try StoredJSON.text(report)), keeping: Self.mostKept)
    } catch {
      operation.errorJSON = try StoredJSON.text(
        StatusResource(code: error.code.rpcCode, message: error.message))
    }
    operation.done = true
    operation.modifiedAt = world.now()
    try await world.store.endOperation(operation)
  }

  // MARK: The replay itself

  private func report(of operation: OperationRecord) async throws(PlatformError) -> ReplayResource {
    let order = try StoredJSON.value(Order.self, from: operation.metadataJSON)
    let request = order.request
    guard let alias = try await world.store.allAliases().first(where: { $0.id.text == operation.resourceID }),
      let spec = await recordings.spec(of: alias.id)
    else { throw PlatformError(.failedPrecondition, "the alias, or its recording, is gone", origin: .caller) }
    guard let node = try await world.store.node(order.node), node.deletedAt == nil else {
      throw PlatformError(.failedPrecondition, "the node was deleted", origin: .caller)
    }
    let startedAt = world.now()
    let release = await fleet.routed(node.id)?.release ?? 0
    let (records, redactor) = try await recordings.recorded(alias.id, limit: request.limit)
    var tally = ReplayTally()
    let rules = request.rules ?? spec.rules
    let comparer = AnswerComparer(rules)
    let sink = fleet.sink
    let target = node.id
    await withTaskGroup(of: ReplayOutcome.self) { group in
      var next = 0
      let atOnce = min(request.concurrency ?? 1, records.count)
      func add() {
        let record = records[next]
        next += 1
        group.addTask {
          await ReplayOutcome.of(
            record, against: target, comparer, redactor, sink, patience: Self.patience)
        }
      }
      while next < atOnce { add() }
      for await outcome in group {
        tally.add(outcome)
        progresses[operation.id] =
          "\(tally.requests) of \(records.count) requests, \(tally.mismatches) mismatches"
        let isHopeless = tally.failed == tally.requests && tally.failed >= Self.hopeless
        if next < records.count, !Task.isCancelled, !cancelled.contains(operation.id), !isHopeless { add() }
      }
    }
    let limits = (
      mismatch: request.maxMismatchPercent ?? spec.gate?.maxMismatchPercent ?? 0,
      ratio: request.maxLatencyRatio ?? spec.gate?.maxLatencyRatio
    )
    var reasons = tally.reasons(maxMismatchPercent: limits.mismatch, maxLatencyRatio: limits.ratio)
    if tally.requests < records.count {
      reasons.append(
        "the other \(records.count - tally.requests) requests were not sent: it answered none of the first")
    }
    let releaseNow = await fleet.routed(node.id)?.release ?? 0
    if releaseNow != release {
      reasons.append("the node went from release \(release) to \(releaseNow) meanwhile: replay again")
    }
    return ReplayResource(
      id: operation.id, alias: alias.name, nodeId: node.id, nodeName: node.name, release: release,
      startedAt: startedAt, endedAt: world.now(), verdict: reasons.isEmpty ? .passed : .failed,
      reasons: reasons, requests: tally.requests, equal: tally.equal, different: tally.different,
      failed: tally.failed, onlyShape: tally.onlyShape, mismatchPercent: tally.mismatchPercent,
      maxMismatchPercent: limits.mismatch, maxLatencyRatio: limits.ratio, latency: tally.latency.comparison,
      rules: rules, worst: tally.worst.all)
  }
}
