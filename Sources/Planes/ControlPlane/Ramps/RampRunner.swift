internal import Domain
internal import Planning
internal import Storage

/// Owns every ramp: looks at what candidates answer, moves weights, and does what users ask.
///
/// A step of a ramp, the weights of the alias, the line of the journal and the audit event are one change of the store, and in
/// use by the gateway before anything else is decided. What was seen of a step is kept every few seconds.
public actor RampRunner {
  /// A ramp that is running or paused.
  struct Live {
    var record: RampRecord
    var plan: RampPlan
    var progress: RampProgress
    /// The gateway's counters that are in `progress` already.
    var counted: [NodeID: RampWindow]
    var lookedAt: Duration
    var savedAt: Duration
    /// The last line of the journal about waiting.
    var held: (why: RampDecision.Hold, at: Duration)?

    var machine: RampMachine { RampMachine(plan) }
    var percent: Int { machine.percent(progress.step) }
  }

  static let journalLength = 256
  /// What is seen is kept so often at least.
  private static let saveInterval = Duration.seconds(3)

  let world: NodeWorld
  let fleet: Fleet
  let aliases: AliasService
  public nonisolated let meters = RampMeters()
  var live: [AliasID: Live] = [:]
  private var isBusy = false
  private var waiting: [CheckedContinuation<Void, Never>] = []

  public init(world: NodeWorld, fleet: Fleet, aliases: AliasService) {
    self.world = world
    self.fleet = fleet
    self.aliases = aliases
  }

  // MARK: The loop

  /// Goes on with the ramps of the last run, and drives all until the task is cancelled. The first routing table must be out.
  public func run() async {
    await recover()
    while !Task.isCancelled {
      for id in live.keys.sorted() { await look(id) }
      try? await Task.sleep(for: .milliseconds(live.isEmpty ? 500 : 200))
    }
    for id in live.keys.sorted() { await alone { await self.save(id) } }
  }

  /// Ramps of the last run go on where they were. What the gateway has counted by now is not looked at: after an upgrade that did
  /// not succeed it is what was seen before.
  func recover() async {
    while await !fleet.isReady {
      if Task.isCancelled { return }
      try? await Task.sleep(for: .milliseconds(20))
    }
    await alone {
      do throws(PlatformError) {
        for record in try await self.world.store.rampsUnderWay() where self.live[record.aliasID] == nil {
          try await self.recover(record)
        }
      } catch { self.world.log(.error, "ramps not read", ["error": error.message]) }
    }
  }

  private func recover(_ record: RampRecord) async throws(PlatformError) {
    let now = world.uptime()
    var ramp = Live(
      record: record, plan: try StoredJSON.value(RampPlan.self, from: record.planJSON),
      progress: try StoredJSON.value(RampProgress.self, from: record.progressJSON),
      counted: await fleet.compared(ofAlias: record.aliasID), lookedAt: now, savedAt: now)
    let alias = try await world.store.alias(named: record.aliasID.text)
    let message =
      "the server was started again: goes on at \(ramp.percent) %, \(Int(ramp.progress.elapsed)) s into the step"
    ramp.record.message = message
    live[record.aliasID] = ramp
    try await keep(ramp, alias, .continued, message, by: RampRunner.itself)
    live[record.aliasID] = ramp
  }

  /// Counts what came since the last look, and acts on it.
  func look(_ id: AliasID) async {
    await alone {
      guard let ramp = self.live[id], self.world.uptime() - ramp.lookedAt >= self.interval(ramp) else {
        return
      }
      do throws(PlatformError) { try await self.lookOnce(id) } catch {
        self.world.log(.error, "ramp not decided", ["alias": id.text, "error": error.message])
      }
    }
  }

  private func interval(_ ramp: Live) -> Duration {
    min(.seconds(1), .milliseconds(Int64(ramp.plan.stepSeconds * 1000 / 8)))
  }

  private func lookOnce(_ id: AliasID) async throws(PlatformError) {
    guard var ramp = live[id] else { return }
    let alias: AliasRecord
    do throws(PlatformError) { alias = try await world.store.alias(named: id.text) } catch {
      guard error.code == .notFound else { throw error }
      live[id] = nil
      meters.show(nil, of: id)
      return
    }
    let refusal = await count(&ramp)
    live[id] = ramp
    let decision = ramp.machine.decide(ramp.progress, refusal: refusal)
    let isRunning = ramp.record.status == .running
    switch decision {
    case .rollBack(let why):
      try await end(&ramp, alias, .rolledBack, .rolledBack, weights: .base, why, by: Self.itself)
    case .advance(let percent, let why) where isRunning:
      try await advance(&ramp, alias, percent, why)
    case .complete(let why) where isRunning:
      try await end(&ramp, alias, .completed, .completed, weights: .asTheyAre, why, by: Self.itself)
    case .hold(let why, let words) where isRunning:
      ramp.record.message = words
      live[id] = ramp
      try await hold(&ramp, alias, why, words)
    default: break
    }
    if let still = live[id], world.uptime() - still.savedAt >= Self.saveInterval { await save(id) }
  }

  /// Takes what came since the last count into the progress. The answer: why the candidate takes no requests, where it doesn't.
  func count(_ ramp: inout Live) async -> String? {
    let counters = await fleet.compared(ofAlias: ramp.record.aliasID)
    let refusal = await fleet.refusal(of: ramp.record.nodeID)
    let now = world.uptime()
    var (candidate, others) = (RampWindow(), RampWindow())
    for (node, counter) in counters {
      let new = counter - (ramp.counted[node] ?? RampWindow())
      if node == ramp.record.nodeID { candidate = new } else { others = others + new }
    }
    // Time in which the process stood still is no time of the step.
    let seconds = min((now - ramp.lookedAt) / .seconds(1), 10)
    ramp.machine.note(
      &ramp.progress, seconds: seconds, candidate: candidate, others: others, isServing: refusal == nil,
      isPaused: ramp.record.status == .paused)
    ramp.counted = counters
    ramp.lookedAt = now
    return refusal
  }

  // MARK: Decisions

  private func advance(
    _ ramp: inout Live, _ alias: AliasRecord, _ percent: Int, _ why: String
  ) async throws(PlatformError) {
    let (candidate, others) = (ramp.progress.candidate, ramp.machine.compared(ramp.progress))
    var next = ramp
    next.progress.advance()
    next.held = nil
    next.record.message = "\(percent) % now, after \(why)"
    try await keep(
      next, try move(alias, next, percent), .advanced, "to \(percent) % after \(why)", by: Self.itself,
      numbers: (candidate.numbers, others.numbers))
    // What came between the last count and the new weights belongs to the new step: it is not counted yet.
    ramp = next
  }

  /// A line about waiting: when the reason is another one, and each step's time again.
  private func hold(
    _ ramp: inout Live, _ alias: AliasRecord, _ why: RampDecision.Hold, _ words: String
  ) async throws(PlatformError) {
    guard why != .time else { return }
    let now = world.uptime()
    if let held = ramp.held, held.why == why,
      now - held.at < .milliseconds(Int64(max(ramp.plan.stepSeconds, 10) * 1000))
    {
      return
    }
    ramp.held = (why, now)
    try await keep(ramp, alias, .held, words, by: Self.itself)
  }

  enum Weights { case base, last, asTheyAre }

  /// Ends the ramp. The shares of the base are those of before, also when the ramp got as far as 100 %.
  func end(
    _ ramp: inout Live, _ alias: AliasRecord, _ status: RampStatus, _ kind: RampEventKind, weights: Weights,
    _ why: String, by subject: String, requestID: String = ""
  ) async throws(PlatformError) {
    var next = ramp
    next.record.status = status
    next.record.message = why
    next.record.endedAt = world.now()
    var moved = alias
    switch weights {
    case .asTheyAre: break
    case .base:
      var spec = try StoredJSON.value(AliasSpec.self, from: alias.specJSON)
      spec.shares = try StoredJSON.value([AliasShare].self, from: ramp.record.baseJSON)
      // A candidate that had no share before keeps an empty one: it is seen, and can be ramped to again.
      if !spec.shares.contains(where: { $0.nodeId == ramp.record.nodeID }) {
        spec.shares.append(AliasShare(nodeId: ramp.record.nodeID, weight: 0))
      }
      moved = try aliases.changed(alias, spec)
    case .last: moved = try move(alias, next, ramp.plan.steps.last ?? 100)
    }
    try await keep(next, moved, kind, why, by: subject, requestID: requestID)
    ramp = next
  }

  func move(_ alias: AliasRecord, _ ramp: Live, _ percent: Int) throws(PlatformError) -> AliasRecord {
    var spec = try StoredJSON.value(AliasSpec.self, from: alias.specJSON)
    let base = try StoredJSON.value([AliasShare].self, from: ramp.record.baseJSON)
    spec.shares = RampMachine.weights(base, candidate: ramp.record.nodeID, percent: percent)
    return try aliases.changed(alias, spec)
  }

  // MARK: Keeping

  /// What the ramp does of its own.
  static let itself = "roost"

  /// Stores a ramp, its alias where that changed, a line of the journal and, but for waiting, an audit event: all or nothing.
  /// Returns when the gateway routes by it.
  func keep(
    _ ramp: Live, _ alias: AliasRecord, _ kind: RampEventKind, _ message: String, by subject: String,
    numbers: (RampNumbers, RampNumbers)? = nil, requestID: String = ""
  ) async throws(PlatformError) {
    let former = try await world.store.alias(named: alias.id.text)
    let spec = try StoredJSON.value(AliasSpec.self, from: alias.specJSON)
    let percent = spec.shares.first { $0.nodeId == ramp.record.nodeID }?.weight ?? 0
    let (candidate, others) =
      numbers ?? (ramp.progress.candidate.numbers, ramp.machine.compared(ramp.progress).numbers)
    let event = RampEvent(
      at: world.now(), ramp: ramp.record.number, kind: kind, percent: percent, message: message, by: subject,
      candidate: candidate, others: others)
    var record = ramp.record
    record.progressJSON = try StoredJSON.text(ramp.progress)
    let (line, moves) = (try StoredJSON.text(event), former.specJSON != alias.specJSON)
    let audit: AuditRecord? =
      kind == .held || kind == .continued
      ? nil
      : AuditRecord(
        id: Identifier<RequestKind>.random().text, at: event.at, subject: subject,
        eventType: "yandex.cloud.audit.datasphere.\(Self.auditName(kind))", resourceID: alias.id.text,
        detailsJSON: line, requestID: requestID)
    let stored = record
    try await world.store.atomically { (store) throws(PlatformError) in
      if moves { try store.updateAlias(alias) }
      try store.putRamp(stored)
      try store.addRampEvent(line, of: alias.id, keeping: RampRunner.journalLength)
      if let audit { try store.addAudit(audit) }
    }
    var kept = ramp
    kept.record = record
    kept.savedAt = world.uptime()
    live[alias.id] = record.status.isUnderWay ? kept : nil
    meters.show(
      .init(alias: alias.name, node: record.nodeID, percent: percent, status: record.status), of: alias.id)
    meters.count(kind, alias: alias.name)
    world.log(
      kind == .rolledBack ? .warn : .info, "ramp",
      ["alias": alias.name, "node": record.nodeID.text, "kind": kind.rawValue, "message": message])
    if moves { await fleet.aliasesChanged() }
  }

  private static func auditName(_ kind: RampEventKind) -> String {
    switch kind {
    case .started: "StartAliasRamp"
    case .advanced: "AdvanceAliasRamp"
    case .completed: "CompleteAliasRamp"
    case .rolledBack: "RollBackAliasRamp"
    case .paused: "PauseAliasRamp"
    case .resumed: "ResumeAliasRamp"
    case .promoted: "PromoteAliasRamp"
    case .aborted: "AbortAliasRamp"
    case .held: "HoldAliasRamp"
    case .continued: "ContinueAliasRamp"
    }
  }

  /// Keeps what was seen.
  private func save(_ id: AliasID) async {
    guard var ramp = live[id] else { return }
    do throws(PlatformError) {
      ramp.record.progressJSON = try StoredJSON.text(ramp.progress)
      ramp.savedAt = world.uptime()
      live[id] = ramp
      try await world.store.putRamp(ramp.record)
    } catch {
      world.log(.error, "what a ramp saw is not saved", ["alias": id.text, "error": error.message])
    }
  }

  // MARK: One at a time

  /// Looks and requests of users don't mix: each sees the ramp as the one before left it.
  func exclusively(
    _ body: () async throws(PlatformError) -> RampResource
  ) async throws(PlatformError) -> RampResource {
    await enter()
    defer { leave() }
    return try await body()
  }

  private func alone(_ body: () async -> Void) async {
    await enter()
    defer { leave() }
    await body()
  }

  private func enter() async {
    if isBusy { await withCheckedContinuation { waiting.append($0) } } else { isBusy = true }
  }

  private func leave() {
    if waiting.isEmpty { isBusy = false } else { waiting.removeFirst().resume() }
  }
}
