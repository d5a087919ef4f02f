public import Domain

/// How often an instance is probed and how many probes make a verdict.
public struct ProbePolicy: Sendable, Equatable {
  public var timeout: Duration
  public var interval: Duration
  /// Failed probes in a row after which an instance leaves rotation.
  public var fails: Int
  /// Passed probes in a row after which it comes back.
  public var passes: Int

  public init(timeout: Duration, interval: Duration, fails: Int, passes: Int) {
    self.timeout = timeout
    self.interval = interval
    self.fails = fails
    self.passes = passes
  }

  /// The knobs of a health check. Without one, only connections are tried: a refused one is plain enough to be believed
  /// the second time, and one that was made says all that can be said.
  public init(_ check: HealthCheck?, connectTimeout: Duration) {
    guard let check else {
      self.init(timeout: connectTimeout, interval: .seconds(5), fails: 2, passes: 1)
      return
    }
    self.init(
      timeout: .seconds(check.timeoutSeconds), interval: .seconds(check.intervalSeconds),
      fails: check.failsThreshold, passes: check.passesThreshold)
  }
}

/// What one probe changed.
public enum OnProbe: Equatable, Sendable {
  /// From now on it may get requests.
  case entersRotation
  /// From now on it must not.
  case leavesRotation
  /// It is where it was.
  case stays
}

/// Makes verdicts of probes: the thresholds of one instance.
///
/// A new instance is judged by its first probe, since there is no rotation to flap in. One that was healthy leaves after
/// `fails` failures in a row; one that left comes back after `passes` passes in a row.
public struct ProbeMachine: Sendable, Equatable {
  public enum Verdict: Sendable, Equatable {
    /// Not probed yet.
    case unknown
    case healthy
    /// `wasHealthy`: it has been in rotation before, so that its return needs `passes`.
    case unhealthy(wasHealthy: Bool)
  }

  /// How soon an instance that was never healthy is looked at again, at most.
  static let eagerInterval = Duration.seconds(1)

  public var policy: ProbePolicy
  public private(set) var verdict: Verdict
  /// Probes with the newest result, in a row.
  public private(set) var inARow = 0
  private var lastPassed: Bool?

  /// - Parameter isHealthy: somebody else has judged it already.
  public init(_ policy: ProbePolicy, isHealthy: Bool = false) {
    self.policy = policy
    verdict = isHealthy ? .healthy : .unknown
  }

  /// Whether it may get requests.
  public var isHealthy: Bool { verdict == .healthy }

  public mutating func probed(passed: Bool) -> OnProbe {
    inARow = lastPassed == passed ? inARow + 1 : 1
    lastPassed = passed
    let next = judged(passed)
    let was = isHealthy
    verdict = next
    return isHealthy == was ? .stays : isHealthy ? .entersRotation : .leavesRotation
  }

  private func judged(_ passed: Bool) -> Verdict {
    switch (verdict, passed) {
    case (.unknown, true): .healthy
    case (.unknown, false): .unhealthy(wasHealthy: false)
    case (.healthy, true): .healthy
    case (.healthy, false): inARow >= policy.fails ? .unhealthy(wasHealthy: true) : .healthy
    case (.unhealthy(let wasHealthy), true):
      inARow >= (wasHealthy ? policy.passes : 1) ? .healthy : .unhealthy(wasHealthy: wasHealthy)
    case (.unhealthy, false): verdict
    }
  }

  /// How long to wait before the next probe.
  public var pause: Duration {
    switch verdict {
    case .unknown: .zero
    case .unhealthy(wasHealthy: false): min(policy.interval, Self.eagerInterval)
    case .healthy, .unhealthy: policy.interval
    }
  }
}
