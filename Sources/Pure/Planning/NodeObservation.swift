public import Domain

/// One node as its reconciler sees it now.
public struct NodeObservation: Sendable, Equatable {
  public enum Host: Sendable, Equatable {
    case down, preparing, ready
  }

  public struct Instance: Sendable, Equatable {
    public var id: InstanceID
    public var release: Int
    /// Which reset it belongs to; instances of older epochs are replaced.
    public var epoch: Int
    public var status: InstanceStatus
    /// The place that it takes, for nodes whose instances can't stand in for each other.
    public var slot: String?
    /// Where it is, for nodes that have zones.
    public var zone: String?

    public init(
      id: InstanceID, release: Int = 1, epoch: Int, status: InstanceStatus, slot: String? = nil,
      zone: String? = nil
    ) {
      self.zone = zone
      self.id = id
      self.release = release
      self.epoch = epoch
      self.status = status
      self.slot = slot
    }
  }

  /// What instances of one release are started from.
  public struct ReleaseHost: Sendable, Equatable {
    public var release: Int
    public var host: Host
    /// Nothing of the release is launched before this uptime (back-off).
    public var notBefore: Duration

    public init(release: Int = 1, host: Host, notBefore: Duration = .zero) {
      self.release = release
      self.host = host
      self.notBefore = notBefore
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
  /// The release that is wished.
  public var release: Int
  /// The release that served last; nil while none has.
  public var stable: Int?
  /// The wished release failed: the stable one is to serve on.
  public var isHalted: Bool
  public var policy: RollOutPolicy
  public var hosts: [ReleaseHost]
  public var instances: [Instance]
  /// Where instances are put; empty: all in one place.
  public var zones: [ZoneView]

  public init(
    now: Duration, isDeleting: Bool = false, isSuspended: Bool = false, epoch: Int = 0, desiredCount: Int,
    slots: [String]? = nil, release: Int = 1, stable: Int? = nil, isHalted: Bool = false,
    policy: RollOutPolicy = .surge(1), hosts: [ReleaseHost], instances: [Instance] = [],
    zones: [ZoneView] = []
  ) {
    self.zones = zones
    self.now = now
    self.isDeleting = isDeleting
    self.isSuspended = isSuspended
    self.epoch = epoch
    self.desiredCount = desiredCount
    self.slots = slots
    self.release = release
    self.stable = stable
    self.isHalted = isHalted
    self.policy = policy
    self.hosts = hosts
    self.instances = instances
  }

  /// The release that instances are to be of in the end.
  public var target: Int { isHalted ? stable ?? release : release }

  /// The releases that instances may be started of: the target, and the one that served last while the target is unproven.
  var needed: [Int] { stable.map { $0 == target ? [target] : [target, $0] } ?? [target] }

  public func host(of release: Int) -> ReleaseHost {
    hosts.first { $0.release == release } ?? ReleaseHost(release: release, host: .down)
  }

  /// Whether instances of a release may be started now.
  func mayLaunch(_ release: Int) -> Bool {
    let host = host(of: release)
    return host.host == .ready && now >= host.notBefore
  }
}
