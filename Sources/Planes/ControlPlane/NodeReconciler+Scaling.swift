import Domain
import Planning
import Storage

/// What a reconciler keeps of the load.
struct Scaling {
  /// nil: the user decides.
  var machine: ScalingMachine?
  var lastDecision: ScalingDecision?
  var lastLoad: NodeLoad?
  /// Changes of the number, the oldest first.
  var events: [ScalingEvent] = []
  /// The gauge as it was last told: instances that are silent for a moment make nobody leave.
  var lastGauge: Double?
  /// When a request woke the node, and how many had been answered then, until the first one is answered.
  var waking: (at: Duration, answered: Int)?
}

/// The number of instances, where it follows the load.
extension NodeReconciler {
  /// How many instances there should be.
  var wantedCount: Int { scaling.machine?.count ?? intent.spec.instances.count }

  private static let journalLength = 256

  /// Takes over what the spec says; called when it may have changed. What is running counts on.
  func followScaling() {
    guard let spec = intent.spec.scaling else {
      scaling.machine = nil
      scaling.lastDecision = nil
      return
    }
    let range = intent.spec.instances
    let policy = ScalingPolicy(spec, minimum: range.min, maximum: range.max)
    guard scaling.machine?.policy != policy else { return }
    let count = scaling.machine?.count ?? (instances.isEmpty ? range.count : instances.count)
    scaling.machine = ScalingMachine(policy, count: count, at: world.uptime())
  }

  /// Looks at the load until the task is cancelled.
  func scale() async {
    if scaling.events.isEmpty, let kept = try? await world.store.scalingEvents(of: id) {
      scaling.events = kept
    }
    var nextAt = world.uptime()
    while !Task.isCancelled {
      try? await Task.sleep(for: .milliseconds(scalingPause))
      if scaling.waking != nil { await watchWaking() }
      // A node that wakes is watched closely; decisions are made as far apart as ever.
      guard world.uptime() >= nextAt else { continue }
      nextAt = world.uptime() + .milliseconds(ScalingMachine.sampleMilliseconds - 10)
      if scaling.machine != nil { await scaleOnce() }
    }
  }

  private var scalingPause: Int {
    scaling.machine == nil ? 1000 : scaling.waking == nil ? ScalingMachine.sampleMilliseconds : 5
  }

  /// Looks whether the first request of a node that woke has been answered.
  private func watchWaking() async {
    guard let (at, before) = scaling.waking, let load = await load(id) else { return }
    let took = world.uptime() - at
    guard Self.answered(load) > before else {
      if took > .seconds(600) || wantedCount == 0 { scaling.waking = nil }
      return
    }
    scaling.waking = nil
    world.meters.coldStart(intent.spec.kind, .answer, took)
  }

  private static func answered(_ load: NodeLoad) -> Int { load.requests - load.running - load.queued }

  /// Looks once and acts on it.
  func scaleOnce() async {
    guard scaling.machine != nil, !record.suspended, record.deletedAt == nil, let load = await load(id),
      var machine = scaling.machine
    else { return }
    let before = machine.count
    let ready = instances.values.count { $0.status == .healthy }
    let cpuSeconds = machine.policy.cpus == nil ? nil : world.meters.cpuSeconds(of: id)
    if let gauge = intent.spec.scaling?.gauge {
      scaling.lastGauge = world.telemetry.gauge(gauge.name, of: id) ?? (ready > 0 ? scaling.lastGauge : nil)
    }
    // What is not known decides nothing: who runs goes on.
    let isBlind =
      machine.policy.cpus != nil && cpuSeconds == nil
      || machine.policy.gauge != nil && scaling.lastGauge == nil
    if isBlind, ready > 0 { return }
    let decision = machine.decide(
      ScalingSample(
        at: world.uptime(), running: load.running, queued: load.queued, requests: load.requests,
        cpuSeconds: cpuSeconds, gauge: machine.policy.gauge == nil ? nil : scaling.lastGauge, ready: ready)
    )
    scaling.machine = machine
    scaling.lastLoad = load
    scaling.lastDecision = decision
    guard decision.count != before else { return }
    if before == 0 { scaling.waking = (world.uptime(), Self.answered(load)) }
    let event = ScalingEvent(
      at: world.now(), from: before, to: decision.count, reason: decision.reason.rawValue,
      message: decision.message)
    scaling.events.append(event)
    if scaling.events.count > Self.journalLength { scaling.events.removeFirst() }
    world.note(
      id, nil, record.release, "scaled from \(before) to \(decision.count) instances: \(decision.message)")
    // A node that goes to rest must not refuse what comes next.
    if before == 0 || decision.count == 0 { await routesChanged(id) }
    wake()
    do throws(PlatformError) {
      try await world.store.addScalingEvent(event, of: id, keeping: Self.journalLength)
    } catch { world.log(.error, "scaling event not saved", ["node": id.text, "error": error.message]) }
  }

  func scalingResource() -> ScalingResource {
    let range = intent.spec.instances
    guard scaling.machine != nil else {
      return ScalingResource(
        automatic: false, minimum: range.min, maximum: range.max, count: range.count,
        message:
          "the number of instances is fixed; it follows the load when min and max are given without a count"
      )
    }
    return ScalingResource(
      automatic: true, minimum: range.min, maximum: range.max, count: wantedCount,
      message: record.suspended
        ? "the node is suspended" : scaling.lastDecision?.message ?? "the load is not known yet",
      running: scaling.lastLoad?.running ?? 0, queued: scaling.lastLoad?.queued ?? 0,
      events: scaling.events.reversed())
  }
}
