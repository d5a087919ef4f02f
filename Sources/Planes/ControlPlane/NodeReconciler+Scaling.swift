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
    while !Task.isCancelled {
      try? await Task.sleep(
        for: .milliseconds(scaling.machine == nil ? 1000 : ScalingMachine.sampleMilliseconds))
      if scaling.machine != nil { await scaleOnce() }
    }
  }

  /// Looks once and acts on it.
  func scaleOnce() async {
    guard scaling.machine != nil, !record.suspended, record.deletedAt == nil, let load = await load(id),
      var machine = scaling.machine
    else { return }
    let before = machine.count
    let ready = instances.values.count { $0.status == .healthy }
    let decision = machine.decide(
      ScalingSample(
        at: world.uptime(), running: load.running, queued: load.queued, requests: load.requests, ready: ready)
    )
    scaling.machine = machine
    scaling.lastLoad = load
    scaling.lastDecision = decision
    guard decision.count != before else { return }
    scaling.events.append(
      ScalingEvent(
        at: world.now(), from: before, to: decision.count, reason: decision.reason.rawValue,
        message: decision.message))
    if scaling.events.count > Self.journalLength { scaling.events.removeFirst() }
    world.note(
      id, nil, record.release, "scaled from \(before) to \(decision.count) instances: \(decision.message)")
    // A node that goes to rest must not refuse what comes next.
    if before == 0 || decision.count == 0 { await routesChanged(id) }
    wake()
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
