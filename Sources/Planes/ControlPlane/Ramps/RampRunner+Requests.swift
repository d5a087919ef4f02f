public import Domain
internal import Planning
public import Storage

/// What users do to ramps.
extension RampRunner {
  /// Gives the candidate the first step's percent.
  public func start(
    _ alias: AliasRecord, _ request: StartRampRequest, by subject: String, requestID: String
  ) async throws(PlatformError) -> RampResource {
    let plan = try RampValidation.plan(request)
    return try await exclusively { () throws(PlatformError) in
      // Not as the caller found it: another request may have come first.
      let alias = try await world.store.alias(named: alias.id.text)
      if let generation = request.generation, generation != alias.generation {
        throw PlatformError(
          .aborted,
          "generation: alias '\(alias.name)' was changed by somebody else (generation \(alias.generation), yours is \(generation)): read it again and repeat the change",
          origin: .caller, field: "generation")
      }
      let last = try await world.store.ramp(of: alias.id)
      if let last, last.status.isUnderWay {
        throw AliasService.underWay(alias, last, to: await name(last.nodeID))
      }
      let (candidate, base, moved) = try await moved(alias, request, plan)
      let now = world.uptime()
      let words = plan.steps.map(String.init).joined(separator: ", ")
      let ramp = Live(
        record: RampRecord(
          aliasID: alias.id, number: (last?.number ?? 0) + 1, nodeID: candidate.id, status: .running,
          planJSON: try StoredJSON.text(plan), baseJSON: try StoredJSON.text(base), progressJSON: "",
          message: "begins", startedAt: world.now(), startedBy: subject),
        plan: plan, progress: RampProgress(), counted: await fleet.compared(ofAlias: alias.id),
        lookedAt: now, savedAt: now)
      try await keep(
        ramp, moved, .started,
        "to node '\(candidate.name)' by steps of \(words) %, each \(Self.seconds(plan.stepSeconds)) at least",
        by: subject, requestID: requestID)
      return try await resource(alias, journal: true)
    }
  }

  private static func seconds(_ seconds: Double) -> String {
    seconds == seconds.rounded() ? "\(Int(seconds)) s" : "\(seconds) s"
  }

  /// The candidate, the shares before, and the alias with the first step's weights.
  private func moved(
    _ alias: AliasRecord, _ request: StartRampRequest, _ plan: RampPlan
  ) async throws(PlatformError) -> (NodeRecord, [AliasShare], AliasRecord) {
    let nodes = try await world.store.allNodes()
    let candidate = try aliases.node(request.to, "to", alias.folderID, nodes)
    var spec = try StoredJSON.value(AliasSpec.self, from: alias.specJSON)
    let base = spec.shares
    let weight = base.first { $0.nodeId == candidate.id }?.weight ?? 0
    guard weight < 100 else {
      throw PlatformError(
        .failedPrecondition,
        "to: node '\(candidate.name)' has all requests of alias '\(alias.name)' already: name another one",
        origin: .caller, field: "to")
    }
    guard plan.steps[0] >= weight else {
      throw .invalid(
        "steps[0]",
        "steps[0]: node '\(candidate.name)' has \(weight) % already; begin with \(weight) or more")
    }
    if let refusal = await fleet.refusal(of: candidate.id) {
      throw PlatformError(
        .failedPrecondition, "to: node '\(candidate.name)' takes no requests now: \(refusal)",
        origin: .caller, field: "to")
    }
    spec.shares = RampMachine.weights(base, candidate: candidate.id, percent: plan.steps[0])
    try aliases.check(spec, nodes)
    if request.allowBreaking != true {
      try aliases.checkContract(spec.shares, of: base, nodes, field: "to")
    }
    try await AliasGate.check(alias, spec.shares, after: base, world, fleet)
    return (candidate, base, try aliases.changed(alias, spec))
  }

  /// Stays at its percent. The tests go on: what is surely bad is still rolled back.
  public func pause(
    _ alias: AliasRecord, by subject: String, requestID: String
  ) async throws(PlatformError) -> RampResource {
    try await change(alias) { (ramp, alias) throws(PlatformError) in
      guard ramp.record.status == .running else { throw Self.refusal(alias, "is paused already") }
      ramp.record.status = .paused
      ramp.record.message = "paused at \(ramp.percent) %"
      try await keep(ramp, alias, .paused, ramp.record.message, by: subject, requestID: requestID)
    }
  }

  public func resume(
    _ alias: AliasRecord, by subject: String, requestID: String
  ) async throws(PlatformError) -> RampResource {
    try await change(alias) { (ramp, alias) throws(PlatformError) in
      guard ramp.record.status == .paused else { throw Self.refusal(alias, "is not paused") }
      ramp.record.status = .running
      ramp.held = nil
      ramp.record.message = "goes on at \(ramp.percent) %"
      try await keep(ramp, alias, .resumed, ramp.record.message, by: subject, requestID: requestID)
    }
  }

  /// Gives the candidate the last step's percent at once, whatever was seen of it.
  public func promote(
    _ alias: AliasRecord, by subject: String, requestID: String
  ) async throws(PlatformError) -> RampResource {
    try await change(alias) { (ramp, alias) throws(PlatformError) in
      let percent = ramp.plan.steps.last ?? 100
      try await end(
        &ramp, alias, .completed, .promoted, weights: .last,
        "promoted from \(ramp.percent) % to \(percent) % by hand", by: subject, requestID: requestID)
    }
  }

  /// Brings back the shares before the ramp.
  public func abort(
    _ alias: AliasRecord, by subject: String, requestID: String
  ) async throws(PlatformError) -> RampResource {
    try await change(alias) { (ramp, alias) throws(PlatformError) in
      try await end(
        &ramp, alias, .aborted, .aborted, weights: .base, "aborted at \(ramp.percent) % by hand", by: subject,
        requestID: requestID)
    }
  }

  private func change(
    _ alias: AliasRecord,
    _ body: (inout Live, AliasRecord) async throws(PlatformError) -> Void
  ) async throws(PlatformError) -> RampResource {
    try await exclusively { () throws(PlatformError) in
      let alias = try await world.store.alias(named: alias.id.text)
      guard var ramp = live[alias.id] else {
        guard try await world.store.ramp(of: alias.id)?.status.isUnderWay == true else {
          throw Self.refusal(alias, nil)
        }
        throw PlatformError(
          .unavailable, "the ramp of alias '\(alias.name)' is being recovered: try again", origin: .platform)
      }
      _ = await count(&ramp)
      live[alias.id] = ramp
      try await body(&ramp, alias)
      return try await resource(alias, journal: true)
    }
  }

  private static func refusal(_ alias: AliasRecord, _ what: String?) -> PlatformError {
    guard let what else {
      return PlatformError(
        .failedPrecondition,
        "alias '\(alias.name)' has no ramp under way: start one with: roost alias ramp \(alias.name) --to NODE",
        origin: .caller)
    }
    return PlatformError(.failedPrecondition, "the ramp of alias '\(alias.name)' \(what)", origin: .caller)
  }

  // MARK: Views

  /// The newest ramp of an alias; throws `notFound` when there never was one.
  public func ramp(of alias: AliasRecord) async throws(PlatformError) -> RampResource {
    try await resource(alias, journal: true)
  }

  /// The newest ramp of an alias without its journal; nil when there never was one.
  public func summary(of alias: AliasRecord) async throws(PlatformError) -> RampResource? {
    guard try await world.store.ramp(of: alias.id) != nil else { return nil }
    return try await resource(alias, journal: false)
  }

  private func name(_ node: NodeID) async -> String {
    (try? await world.store.node(named: node.text))?.name ?? node.text
  }

  func resource(_ alias: AliasRecord, journal: Bool) async throws(PlatformError) -> RampResource {
    guard let stored = try await world.store.ramp(of: alias.id) else {
      throw PlatformError(
        .notFound,
        "ramp: alias '\(alias.name)' never had one; start it with: roost alias ramp \(alias.name) --to NODE",
        origin: .caller, field: "ramp")
    }
    let spec = try StoredJSON.value(
      AliasSpec.self, from: try await world.store.alias(named: alias.id.text).specJSON)
    let record = live[alias.id]?.record ?? stored
    let plan = try StoredJSON.value(RampPlan.self, from: record.planJSON)
    var progress = live[alias.id]?.progress
    if progress == nil { progress = try StoredJSON.value(RampProgress.self, from: record.progressJSON) }
    let seen = progress ?? RampProgress()
    var lines: [RampEvent]?
    if journal {
      var found: [RampEvent] = []
      for text in try await world.store.rampEvents(of: alias.id) {
        found.append(try StoredJSON.value(RampEvent.self, from: text))
      }
      lines = found
    }
    return RampResource(
      aliasId: alias.id, aliasName: alias.name, number: record.number, nodeId: record.nodeID,
      nodeName: await name(record.nodeID), status: record.status, plan: plan, step: seen.step + 1,
      percent: spec.shares.first { $0.nodeId == record.nodeID }?.weight ?? 0,
      stepElapsedSeconds: seen.elapsed, message: record.message, startedAt: record.startedAt,
      startedBy: record.startedBy, endedAt: record.endedAt, candidate: seen.candidate.numbers,
      others: RampMachine(plan).compared(seen).numbers,
      base: try StoredJSON.value([AliasShare].self, from: record.baseJSON), journal: lines)
  }
}
