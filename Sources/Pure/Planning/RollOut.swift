import Domain

/// One pass of a roll-out: instances of the target release come, those of others leave.
///
/// The release that served last is kept whole until an instance of the target is healthy. Under `surge` and `atOnce` the roll-out
/// never takes the number of healthy instances below what is wanted, under `recreate` by no more than its step.
struct RollOut {
  private typealias Instance = NodeObservation.Instance

  private let seen: NodeObservation
  private let target: Int
  private let current: [Instance]
  private let old: [Instance]
  private let healthyCurrent: Int
  private let healthyOld: [Instance]
  /// An instance of the target is healthy now; as many as wanted, where they can't serve beside the old ones.
  private let isProven: Bool

  init(_ seen: NodeObservation, _ alive: [NodeObservation.Instance]) {
    self.seen = seen
    target = seen.target
    let target = self.target
    current = alive.filter { $0.release == target && $0.epoch == seen.epoch }
    let old = alive.filter { $0.release != target || $0.epoch != seen.epoch }
    self.old = old
    healthyCurrent = current.count { $0.status == .healthy }
    // The last good release stays longest, of each the longest proven.
    let stable = seen.stable
    let healthy = old.filter { $0.status == .healthy }
    healthyOld = healthy.filter { $0.release != stable } + healthy.filter { $0.release == stable }
    isProven = healthyCurrent >= (seen.policy == .atOnce ? seen.desiredCount : min(1, seen.desiredCount))
  }

  private var desired: Int { seen.desiredCount }
  private var isReturning: Bool { seen.stable == target }
  /// Instances that are about to go.
  private var leaving: Int { seen.instances.count { $0.status == .deleting && seen.waits(for: $0) } }

  var steps: [NodeStep] {
    let useless = leftovers
    let room = room(keeping: old.count - useless.count)
    let fresh = seen.mayLaunch(target) ? min(newcomers, room) : 0
    let refill = min(standIns, room - fresh)
    var steps: [NodeStep] = []
    if fresh > 0 { steps.append(.launch(count: fresh, release: target, epoch: seen.epoch)) }
    if refill > 0, let stable = seen.stable {
      steps.append(.launch(count: refill, release: stable, epoch: seen.epoch))
    }
    let drained = healthyOld.prefix(spare)
    let surplus =
      healthyCurrent >= desired ? NodePlanner.surplus(current, over: desired, zones: seen.zones) : []
    return steps + (useless + drained + surplus).map { .drainAndStop($0.id) }
  }

  /// Instances that may be added now.
  private func room(keeping kept: Int) -> Int {
    switch seen.policy {
    case .surge(let extra): max(0, desired + max(1, extra) - current.count - kept)
    // One that is leaving holds its memory and its devices until it is gone.
    case .recreate:
      max(0, desired - current.count - kept - leaving)
    case .atOnce: max(0, 2 * desired - current.count - kept)
    }
  }

  /// How many instances of the target are missing; while it is unproven it only gets a try.
  private var newcomers: Int {
    let missing = max(0, desired - current.count)
    guard !isProven, !isReturning else { return missing }
    switch seen.policy {
    case .surge(let extra): return min(missing, max(0, max(1, extra) - current.count))
    case .recreate(let step): return min(missing, max(0, max(1, step) - current.count))
    case .atOnce: return missing
    }
  }

  /// Instances of the last good release that stand in for what it lost (or for what the load asks) while the target is unproven.
  private var standIns: Int {
    guard !isProven, let stable = seen.stable, stable != target, seen.mayLaunch(stable) else { return 0 }
    let whole: Int
    switch seen.policy {
    case .recreate: whole = desired - max(current.count, min(newcomers, desired))
    case .surge, .atOnce: whole = desired
    }
    return max(0, whole - old.count)
  }

  /// Old instances that are not in rotation and won't be missed.
  private var leftovers: [Instance] {
    old.filter { instance in
      instance.status != .healthy && (isProven || instance.release != seen.stable)
    }
  }

  /// How many healthy old instances may leave now.
  private var spare: Int {
    let healthy = healthyCurrent + healthyOld.count
    switch seen.policy {
    case .surge: return max(0, min(healthyOld.count, healthy - desired))
    case .recreate(let step):
      let floor = desired - max(1, step)
      // They leave to make place, not for its own sake.
      let place = seen.host(of: target).host == .ready ? max(0, desired - current.count) : 0
      let crowd = max(0, current.count + old.count - desired)
      let wish = healthyCurrent >= desired ? healthyOld.count : max(crowd, min(place, max(1, step)) - leaving)
      return max(0, min(healthyOld.count, healthy - floor, wish))
    case .atOnce: return healthyCurrent >= desired ? healthyOld.count : 0
    }
  }
}
