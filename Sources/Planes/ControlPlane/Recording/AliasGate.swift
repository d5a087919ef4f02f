import Domain
import Storage

/// Whether nodes that get their first share of an alias have shown what its recording demands.
enum AliasGate {
  /// Throws `failedPrecondition` that names the node and the command to run.
  static func check(
    _ alias: AliasRecord, _ shares: [AliasShare], after former: [AliasShare], _ world: NodeWorld,
    _ fleet: Fleet
  ) async throws(PlatformError) {
    let serving = Set(former.filter { $0.weight > 0 }.map(\.nodeId))
    for (index, share) in shares.enumerated() where share.weight > 0 && !serving.contains(share.nodeId) {
      try await check(alias, share.nodeId, "shares[\(index)].node", world, fleet)
    }
  }

  /// The same of a node that gets the share of another.
  static func check(
    _ alias: AliasID, gives old: NodeID, to new: NodeID, _ world: NodeWorld, _ fleet: Fleet
  ) async throws(PlatformError) {
    guard let record = try await world.store.allAliases().first(where: { $0.id == alias }) else { return }
    let shares = try StoredJSON.value(AliasSpec.self, from: record.specJSON).shares
    guard shares.contains(where: { $0.nodeId == old && $0.weight > 0 }),
      !shares.contains(where: { $0.nodeId == new && $0.weight > 0 })
    else { return }
    try await check(record, new, "successor", world, fleet)
  }

  private static func check(
    _ alias: AliasRecord, _ node: NodeID, _ field: String, _ world: NodeWorld, _ fleet: Fleet
  ) async throws(PlatformError) {
    guard let setting = try await world.store.aliasSetting(alias.id, .record) else { return }
    let spec = try StoredJSON.value(AliasRecordSpec.self, from: setting.settingsJSON)
    guard let gate = spec.gate else { return }
    let release = await fleet.routed(node)?.release
    // The newest one counts: who failed since has not passed.
    let last = try await world.store.replays(of: alias.id).first {
      $0.nodeID == node && $0.release == release
    }
    let report = try last.map { (record) throws(PlatformError) in
      try StoredJSON.value(ReplayResource.self, from: record.reportJSON)
    }
    guard let problem = problem(report, gate, spec.rules) else { return }
    let name = try await world.store.node(node)?.name ?? node.text
    throw PlatformError(
      .failedPrecondition,
      "\(field): alias '\(alias.name)' demands a passed replay of '\(name)' before it gets a share, and \(problem): run roost alias replay \(alias.name) --against \(name)",
      origin: .caller, field: field)
  }

  static func problem(
    _ report: ReplayResource?, _ gate: AliasReplayGate, _ rules: AnswerRules
  ) -> String? {
    guard let report else { return "its release has none" }
    guard report.verdict == .passed else {
      return "the last one failed (\(report.reasons.joined(separator: "; ")))"
    }
    guard report.rules == rules else {
      return "the last one compared by other rules than the recording's"
    }
    guard report.requests >= gate.minRequests else {
      return "the last one sent \(report.requests) requests, fewer than \(gate.minRequests)"
    }
    guard report.mismatchPercent <= gate.maxMismatchPercent else {
      return
        "in the last one \(ReplayTally.text(report.mismatchPercent)) % did not match, \(ReplayTally.text(gate.maxMismatchPercent)) % are allowed"
    }
    if let limit = gate.maxLatencyRatio, let ratio = report.latency?.ratioP50, ratio > limit {
      return
        "in the last one it took \(ReplayTally.text(ratio)) times as long, \(ReplayTally.text(limit)) are allowed"
    }
    return nil
  }
}
