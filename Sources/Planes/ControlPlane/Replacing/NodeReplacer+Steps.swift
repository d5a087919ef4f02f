internal import Domain
internal import Storage

/// The careful ways of a replacement: requests that were recorded come first, and those of callers follow step by step.
extension NodeReplacer {
  /// Sends each alias' recorded requests to the successor. Throws when a replay fails.
  func replay(
    _ operation: OperationRecord, _ memo: inout OperationMemo, _ step: inout ReplaceMemo
  ) async throws(PlatformError) {
    for share in step.shares {
      let alias = try await world.store.alias(named: share.aliasId.text)
      let id: OperationID
      if let begun = step.replays?.first(where: { $0.alias == alias.id }) {
        id = begun.value
      } else {
        id = try await replays.start(
          alias, ReplayAliasRequest(node: step.successor.text), by: operation.createdBy
        ).id
        step.replays = (step.replays ?? []) + [ReplacedPart(alias: alias.id, value: id)]
        try await keep(operation.id, &memo, step)
      }
      while let replay = try await world.store.operation(id), !replay.done {
        let how = await replays.progress(of: id) ?? "begins"
        try await pause(operation.id, "replays requests of alias \(alias.name): \(how)")
      }
      guard let report = try await replays.reports(of: alias.id).first(where: { $0.id == id }) else {
        throw PlatformError(
          .failedPrecondition,
          "replay: operation \(id) ended without a verdict on alias '\(alias.name)'. Nothing was changed; see: roost operation show \(id)",
          origin: .node, field: "replay")
      }
      guard report.verdict == .passed else {
        throw PlatformError(
          .failedPrecondition,
          "replay: the successor does not answer requests of alias '\(alias.name)' as they were answered: \(report.reasons.joined(separator: "; ")). Nothing was changed; see: roost alias replay \(alias.name)",
          origin: .node, field: "replay")
      }
    }
  }

  /// Moves requests by a ramp of each alias, one after another. Throws when one does not get to its end.
  func ramp(
    _ operation: OperationRecord, _ memo: inout OperationMemo, _ step: inout ReplaceMemo,
    _ begun: inout ReplaceMemo?
  ) async throws(PlatformError) {
    guard let wanted = step.ramp else { return }
    for share in step.shares where share.weight > 0 {
      let alias = try await world.store.alias(named: share.aliasId.text)
      let number: Int
      if let known = step.ramps?.first(where: { $0.alias == alias.id }) {
        number = known.value
      } else {
        // Kept before it begins: after a crash in between it is begun, and not taken for another one's.
        number = (try await world.store.ramp(of: alias.id)?.number ?? 0) + 1
        step.ramps = (step.ramps ?? []) + [ReplacedPart(alias: alias.id, value: number)]
        try await keep(operation.id, &memo, step)
      }
      begun = step
      try await follow(operation, alias, number, wanted, step)
    }
  }

  private func follow(
    _ operation: OperationRecord, _ alias: AliasRecord, _ number: Int, _ wanted: ReplaceRamp,
    _ step: ReplaceMemo
  ) async throws(PlatformError) {
    while true {
      guard let ramp = try await world.store.ramp(of: alias.id), ramp.number >= number else {
        _ = try await ramps.start(
          alias, wanted.request(to: step.successor, allowBreaking: step.allowBreaking),
          by: operation.createdBy, requestID: operation.id.text)
        continue
      }
      guard ramp.number == number, ramp.nodeID == step.successor else {
        throw PlatformError(
          .failedPrecondition,
          "ramp: alias '\(alias.name)' had another ramp meanwhile; look at it with: roost alias ramp \(alias.name)",
          origin: .caller, field: "ramp")
      }
      switch ramp.status {
      case .completed: return
      case .rolledBack, .aborted:
        throw PlatformError(
          .failedPrecondition,
          "ramp: that of alias '\(alias.name)' ended \(ramp.status.rawValue): \(ramp.message). The former shares are back; see: roost alias ramp \(alias.name)",
          origin: .node, field: "ramp")
      case .running, .paused:
        let now = try? await ramps.summary(of: alias)
        try await pause(
          operation.id,
          "the ramp of alias \(alias.name) is \(ramp.status.rawValue): \(now?.message ?? ramp.message)")
      }
    }
  }

  /// Ends ramps that a replacement leaves behind, which was cancelled.
  func abortRamps(of step: ReplaceMemo, _ id: OperationID) async {
    for part in step.ramps ?? [] {
      do throws(PlatformError) {
        guard let ramp = try await world.store.ramp(of: part.alias), ramp.number == part.value,
          ramp.status.isUnderWay
        else { continue }
        let alias = try await world.store.alias(named: part.alias.text)
        _ = try await ramps.abort(alias, by: ramp.startedBy, requestID: id.text)
      } catch {
        world.log(.warn, "a ramp was not ended", ["alias": part.alias.text, "error": error.message])
      }
    }
  }
}
