public import Domain

/// One thing to do. Each step is idempotent and carries all it needs: the executor makes no choices.
public enum NodeStep: Equatable, Sendable {
  /// Bring the host of a release up, or adopt it.
  case prepareHost(release: Int)
  /// Start this many instances of this release and epoch, in this zone where the node has zones.
  case launch(count: Int, release: Int, epoch: Int, zone: String? = nil)
  /// Start the instance of a place.
  case fill(slot: String, epoch: Int)
  /// Take an instance out of rotation, let its requests end, stop it.
  case drainAndStop(InstanceID)
  /// End the host of a release; every instance of it has ended.
  case retireHost(release: Int)
  /// All is gone: remove the node's records.
  case forget
}

/// Decides what a node needs next. Pure: the same observation gives the same plan.
public enum NodePlanner {
  /// New instances first; old ones leave only when enough new ones are healthy.
  public static func plan(_ seen: NodeObservation) -> [NodeStep] {
    if seen.isDeleting || seen.isSuspended { return wind(down: seen) }
    return hosts(seen) + ZoneSpread.divide(instances(seen), seen)
  }

  /// Hosts that are needed and down come up; those that nothing needs any more end.
  private static func hosts(_ seen: NodeObservation) -> [NodeStep] {
    let needed = seen.needed
    let missing = needed.map(seen.host).filter { $0.host == .down && seen.now >= $0.notBefore }
    let left = seen.hosts.filter { host in
      host.host == .ready && !needed.contains(host.release)
        && !seen.instances.contains { $0.release == host.release }
    }
    return missing.map { .prepareHost(release: $0.release) } + left.map { .retireHost(release: $0.release) }
  }

  private static func instances(_ seen: NodeObservation) -> [NodeStep] {
    let alive = seen.instances.filter { $0.status != .deleting && seen.counts($0) }
    if let slots = seen.slots {
      return seen.host(of: seen.target).host == .ready ? fill(slots, alive, seen) : []
    }
    let target = seen.target
    if alive.contains(where: { $0.release != target }) || (seen.stable ?? target) != target {
      return RollOut(seen, alive).steps
    }
    let current = alive.filter { $0.epoch == seen.epoch }
    let old = alive.filter { $0.epoch != seen.epoch }
    if current.count < seen.desiredCount {
      return seen.mayLaunch(target)
        ? [.launch(count: seen.desiredCount - current.count, release: target, epoch: seen.epoch)] : []
    }
    guard current.count(where: { $0.status == .healthy }) >= seen.desiredCount else { return [] }
    let leaving = old + surplus(current, over: seen.desiredCount, zones: seen.zones)
    if leaving.isEmpty, current.count == seen.desiredCount, seen.mayLaunch(target),
      let zone = ZoneSpread.emptier(current, seen.zones)
    {
      return [.launch(count: 1, release: target, epoch: seen.epoch, zone: zone)]
    }
    return leaving.map { .drainAndStop($0.id) }
  }

  /// Unhealthy and youngest leave first, so that a smaller count keeps the longest proven; of several zones the fullest gives first.
  static func surplus(
    _ instances: [NodeObservation.Instance], over count: Int, zones: [ZoneView] = []
  ) -> [NodeObservation.Instance] {
    let ranked =
      instances.filter { $0.status == .healthy } + instances.filter { $0.status != .healthy }
    if zones.count > 1 { return ZoneSpread.surplus(ranked, over: count, zones) }
    return Array(ranked.dropFirst(count))
  }

  /// New places are filled at once. What is not wanted any more leaves when every new place has been judged and one of them is
  /// healthy, so that a mistyped list of addresses takes nothing out of rotation; what is not in rotation leaves at once.
  private static func fill(
    _ slots: [String], _ alive: [NodeObservation.Instance], _ seen: NodeObservation
  ) -> [NodeStep] {
    let wanted = alive.filter { $0.slot.map(slots.contains) ?? false }
    let taken = Set(wanted.compactMap(\.slot))
    let missing = slots.filter { !taken.contains($0) }
    let leaving = alive.filter { !($0.slot.map(slots.contains) ?? false) }
    let judged = missing.isEmpty && wanted.allSatisfy { $0.status == .healthy || $0.status == .unhealthy }
    let mayLeave = judged && wanted.contains { $0.status == .healthy }
    return missing.map { .fill(slot: $0, epoch: seen.epoch) }
      + leaving.filter { mayLeave || $0.status != .healthy }.map { .drainAndStop($0.id) }
  }

  private static func wind(down seen: NodeObservation) -> [NodeStep] {
    let running = seen.instances.filter { $0.status != .deleting }
    if !running.isEmpty { return running.map { .drainAndStop($0.id) } }
    if !seen.instances.isEmpty || seen.hosts.contains(where: { $0.host == .preparing }) { return [] }
    let ready = seen.hosts.filter { $0.host == .ready }
    if !ready.isEmpty { return ready.map { .retireHost(release: $0.release) } }
    return seen.isDeleting ? [.forget] : []
  }

  /// The status of a node by what was observed.
  public static func status(_ seen: NodeObservation, minimum: Int, everHealthy: Bool) -> NodeStatus {
    if seen.isDeleting { return .deleting }
    if seen.isSuspended { return .suspended }
    if seen.instances.count(where: { $0.status == .healthy }) >= minimum { return .healthy }
    return everHealthy ? .unhealthy : .created
  }
}
