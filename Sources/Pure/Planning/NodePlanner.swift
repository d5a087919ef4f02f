public import Domain

/// One node as its reconciler sees it now.
public struct NodeObservation: Sendable, Equatable {
  public enum Host: Sendable, Equatable {
    case down, preparing, ready
  }

  public struct Instance: Sendable, Equatable {
    public var id: InstanceID
    /// Which reset it belongs to; instances of older epochs are replaced.
    public var epoch: Int
    public var status: InstanceStatus
    /// The place that it takes, for nodes whose instances can't stand in for each other.
    public var slot: String?

    public init(id: InstanceID, epoch: Int, status: InstanceStatus, slot: String? = nil) {
      self.id = id
      self.epoch = epoch
      self.status = status
      self.slot = slot
    }
  }

  /// By the uptime, as `notBefore`.
  public var now: Duration
  public var isDeleting: Bool
  public var isSuspended: Bool
  public var epoch: Int
  public var desiredCount: Int
  /// The places to fill, one instance each (the endpoints of an address node); nil: any `desiredCount` instances
  /// will do.
  public var slots: [String]?
  public var host: Host
  /// Nothing is launched before this time (back-off).
  public var notBefore: Duration
  public var instances: [Instance]

  public init(
    now: Duration, isDeleting: Bool = false, isSuspended: Bool = false, epoch: Int = 0, desiredCount: Int,
    slots: [String]? = nil, host: Host, notBefore: Duration = .zero,
    instances: [Instance] = []
  ) {
    self.now = now
    self.isDeleting = isDeleting
    self.isSuspended = isSuspended
    self.epoch = epoch
    self.desiredCount = desiredCount
    self.slots = slots
    self.host = host
    self.notBefore = notBefore
    self.instances = instances
  }
}

/// One thing to do. Each step is idempotent and carries all it needs: the executor makes no choices.
public enum NodeStep: Equatable, Sendable {
  /// Bring the host of the release up, or adopt it.
  case prepareHost
  /// Start this many instances of this epoch.
  case launch(count: Int, epoch: Int)
  /// Start the instance of a place.
  case fill(slot: String, epoch: Int)
  /// Take an instance out of rotation, let its requests end, stop it.
  case drainAndStop(InstanceID)
  /// End the host; every instance has ended.
  case retireHost
  /// All is gone: remove the node's records.
  case forget
}

/// Decides what a node needs next. Pure: the same observation gives the same plan.
public enum NodePlanner {
  /// New instances first; old ones leave only when enough new ones are healthy.
  public static func plan(_ seen: NodeObservation) -> [NodeStep] {
    if seen.isDeleting || seen.isSuspended { return wind(down: seen) }
    switch seen.host {
    case .preparing: return []
    case .down: return seen.now < seen.notBefore ? [] : [.prepareHost]
    case .ready: break
    }
    let alive = seen.instances.filter { $0.status != .deleting }
    if let slots = seen.slots { return fill(slots, alive, seen) }
    let current = alive.filter { $0.epoch == seen.epoch }
    let old = alive.filter { $0.epoch != seen.epoch }
    if current.count < seen.desiredCount {
      return seen.now < seen.notBefore
        ? [] : [.launch(count: seen.desiredCount - current.count, epoch: seen.epoch)]
    }
    guard current.count(where: { $0.status == .healthy }) >= seen.desiredCount else { return [] }
    // Unhealthy and youngest leave first, so that a smaller count keeps the longest proven.
    let ranked = current.filter { $0.status == .healthy } + current.filter { $0.status != .healthy }
    return (old + ranked.dropFirst(seen.desiredCount)).map { .drainAndStop($0.id) }
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
    if !seen.instances.isEmpty || seen.host == .preparing { return [] }
    if seen.host == .ready { return [.retireHost] }
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
