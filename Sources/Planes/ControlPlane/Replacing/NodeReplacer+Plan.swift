public import Domain
public import Storage

extension NodeReplacer {
  /// What a replacement would do. Throws, with nothing changed, what it would be refused for.
  public nonisolated func plan(
    _ node: NodeRecord, _ request: ReplaceNodeRequest
  ) async throws(PlatformError) -> (plan: ReplacePlanResource, successor: NodeRecord) {
    try check(request)
    guard node.deletedAt == nil else {
      throw PlatformError(.failedPrecondition, "node '\(node.name)' is being deleted", origin: .caller)
    }
    let all = try await world.store.allNodes()
    let named = all.filter { $0.id.text == request.successor || $0.name == request.successor }
    let live = named.filter { $0.deletedAt == nil }
    guard let successor = live.first(where: { $0.folderID == node.folderID }) ?? live.first else {
      throw PlatformError(
        .notFound,
        "successor: no node '\(request.successor)'; make it first, or list nodes with: roost node list",
        origin: .caller, field: "successor")
    }
    guard successor.id != node.id else {
      throw .invalid("successor", "successor: a node can't take its own place; name another one")
    }
    guard !successor.suspended else {
      throw PlatformError(
        .failedPrecondition,
        "successor: node '\(successor.name)' is suspended; resume it first: roost node resume \(successor.name)",
        origin: .caller, field: "successor")
    }
    var shares: [ReplacedShare] = []
    var others: [String] = []
    for alias in try await world.store.allAliases() {
      let isWanted =
        request.alias.map { $0 == alias.id.text || AliasValidation.bare($0) == alias.name } ?? true
      if isWanted {
        let replaced = try aliases.replaced(
          alias, node.id, by: successor.id, allowBreaking: request.allowBreaking ?? false, all)
        // A replay that is asked for may still pass the gate.
        if request.replay != true {
          try await AliasGate.check(alias.id, gives: node.id, to: successor.id, world, fleet)
        }
        guard let replaced else { continue }
        try await aliases.refuseDuringRamp(of: alias)
        if request.ramp != nil { try refuseOthers(of: alias, node, successor) }
        shares.append(replaced.share)
      } else {
        let spec = try StoredJSON.value(AliasSpec.self, from: alias.specJSON)
        let isUsed =
          spec.shares.contains { $0.nodeId == node.id && $0.weight > 0 }
          || spec.rules.contains { $0.nodeId == node.id }
        if isUsed { others.append(alias.name) }
      }
    }
    guard !shares.isEmpty else {
      let place = request.alias.map { "alias '\($0)'" } ?? "any alias"
      throw PlatformError(
        .failedPrecondition,
        "node '\(node.name)' has no share and no rule in \(place): there is nothing to replace",
        origin: .caller, field: request.alias == nil ? nil : "alias")
    }
    let afterwards = request.afterwards ?? .suspend
    guard afterwards == .keep || others.isEmpty else {
      throw PlatformError(
        .failedPrecondition,
        "afterwards: node '\(node.name)' has requests of \(others.joined(separator: ", ")) too: keep it (--keep), or replace it in all aliases",
        origin: .caller, field: "afterwards")
    }
    let steps = steps(node, successor, shares, request, afterwards)
    return (
      ReplacePlanResource(nodeId: node.id, successorId: successor.id, aliases: shares, steps: steps),
      successor
    )
  }

  /// A ramp moves an alias' requests from all its nodes: it may have no other than the two.
  private nonisolated func refuseOthers(
    of alias: AliasRecord, _ node: NodeRecord, _ successor: NodeRecord
  ) throws(PlatformError) {
    let shares = try StoredJSON.value(AliasSpec.self, from: alias.specJSON).shares
    guard shares.contains(where: { $0.weight > 0 && $0.nodeId != node.id && $0.nodeId != successor.id })
    else { return }
    throw PlatformError(
      .failedPrecondition,
      "ramp: alias '\(alias.name)' has other nodes too, whose requests a ramp would move: replace without a ramp, or move them first",
      origin: .caller, field: "ramp")
  }

  private nonisolated func steps(
    _ node: NodeRecord, _ successor: NodeRecord, _ shares: [ReplacedShare], _ request: ReplaceNodeRequest,
    _ afterwards: ReplacedNode
  ) -> [String] {
    let names = shares.map(\.aliasName).joined(separator: ", ")
    var steps = ["wait until \(successor.name) is healthy, at most \(request.healthySeconds ?? 600) s"]
    if request.replay == true {
      steps.append("replay recorded requests of \(names) against \(successor.name); stop when they fail")
    }
    if let ramp = request.ramp,
      let plan = try? RampValidation.plan(ramp.request(to: successor.id, allowBreaking: false))
    {
      let percents = plan.steps.map(String.init).joined(separator: ", ")
      for share in shares where share.weight > 0 {
        steps.append(
          "ramp \(share.aliasName) to \(successor.name) by steps of \(percents) %, each \(plan.stepSeconds) s at least; a rollback ends the replacement"
        )
      }
    }
    if let seconds = request.holdSeconds {
      steps.append(
        "hold \(names) until nothing is under way at \(node.name), at most \(seconds) s; else stop, with nothing changed"
      )
    }
    for share in shares {
      let rules = share.rules == 0 ? "" : share.rules == 1 ? " and a rule" : " and \(share.rules) rules"
      steps.append(
        "\(share.aliasName): \(share.weight) %\(rules) of \(node.name) to \(successor.name), which then has \(share.successorWeight) %"
      )
    }
    if request.holdSeconds != nil { steps.append("let go what waits") }
    steps.append(
      "wait until nothing is under way at \(node.name), at most \(request.drainSeconds ?? 300) s")
    switch afterwards {
    case .suspend: steps.append("suspend \(node.name)")
    case .delete: steps.append("delete \(node.name)")
    case .keep: steps.append("\(node.name) runs on")
    }
    return steps
  }

  private nonisolated func check(_ request: ReplaceNodeRequest) throws(PlatformError) {
    func check(_ field: String, _ value: Int?, _ range: ClosedRange<Int>) throws(PlatformError) {
      guard let value, !range.contains(value) else { return }
      throw .invalid(
        field, "\(field): \(value) is out of range; use \(range.lowerBound) to \(range.upperBound) seconds")
    }
    if let ramp = request.ramp {
      guard request.holdSeconds == nil else {
        throw .invalid("ramp", "ramp: with holdSeconds nobody moves step by step; leave one of the two out")
      }
      let plan = try RampValidation.plan(
        StartRampRequest(
          to: request.successor, steps: ramp.steps, stepSeconds: ramp.stepSeconds, guards: ramp.guards,
          minimumRequests: ramp.minimumRequests))
      guard plan.steps.last == 100 else {
        throw .invalid(
          "ramp.steps", "ramp.steps: the last one must be 100, since the former node keeps nothing")
      }
    }
    try check("holdSeconds", request.holdSeconds, 1...AliasService.longestHold)
    try check("healthySeconds", request.healthySeconds, 1...86400)
    try check("drainSeconds", request.drainSeconds, 0...86400)
  }
}
