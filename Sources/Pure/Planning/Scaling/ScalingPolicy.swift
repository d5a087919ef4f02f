/// How a node's number of instances follows what is asked of it.
public struct ScalingPolicy: Sendable, Equatable, Codable {
  /// Fewest and most instances. A minimum of 0 lets the node rest when nobody calls it.
  public var minimum: Int
  public var maximum: Int
  /// Requests that one instance has at a time, on average; nil: not looked at.
  public var concurrency: Double?
  /// Requests per second of one instance; nil: not looked at.
  public var requestsPerSecond: Double?
  /// Cores that one instance uses, on average; nil: not looked at.
  public var cpus: Double?
  /// What one instance may have of the node's own gauge, summed over instances; nil: not looked at.
  public var gauge: Double?
  /// The load over this time decides in quiet times, in seconds.
  public var stableSeconds: Int
  /// The load over this time decides when it rises suddenly, in seconds.
  public var panicSeconds: Int
  /// The load counts as suddenly risen when it needs this many times the instances there are.
  public var panicFactor: Double
  /// An instance leaves when it wasn't needed for this long, in seconds.
  public var leaveSeconds: Int
  /// The last instance leaves when nothing was asked for this long, in seconds. Only with a minimum of 0.
  public var lastLeaveSeconds: Int
  /// At most this many times as many instances after one step upward. From none or one it may always reach 4.
  public var growth: Double
  /// An instance leaves only when the others would then be filled to at most this part of their aims.
  public var slack: Double
  /// Within this time what waits should be gone, in seconds.
  public var drainSeconds: Double

  public init(
    minimum: Int, maximum: Int, concurrency: Double? = 0.7, requestsPerSecond: Double? = nil,
    cpus: Double? = nil, gauge: Double? = nil, stableSeconds: Int = 60, panicSeconds: Int = 2,
    panicFactor: Double = 1.4, leaveSeconds: Int = 60, lastLeaveSeconds: Int = 300, growth: Double = 4,
    slack: Double = 0.9, drainSeconds: Double = 5
  ) {
    self.minimum = minimum
    self.maximum = maximum
    self.concurrency = concurrency
    self.requestsPerSecond = requestsPerSecond
    self.cpus = cpus
    self.gauge = gauge
    self.stableSeconds = stableSeconds
    self.panicSeconds = panicSeconds
    self.panicFactor = panicFactor
    self.leaveSeconds = leaveSeconds
    self.lastLeaveSeconds = lastLeaveSeconds
    self.growth = growth
    self.slack = slack
    self.drainSeconds = drainSeconds
  }
}

/// What a node's load is asked by.
public enum ScalingSignal: String, Sendable, Codable, CaseIterable {
  case concurrency, requestsPerSecond, cpus, gauge

  /// What one instance is meant to have of it; nil: it is not looked at.
  public func aim(_ policy: ScalingPolicy) -> Double? {
    switch self {
    case .concurrency: policy.concurrency
    case .requestsPerSecond: policy.requestsPerSecond
    case .cpus: policy.cpus
    case .gauge: policy.gauge
    }
  }
}

/// What was seen of a node in one moment.
public struct ScalingSample: Sendable, Equatable {
  /// By the uptime.
  public var at: Duration
  /// Requests with instances, now.
  public var running: Int
  /// Requests that wait for one.
  public var queued: Int
  /// All requests there ever were; falls back to zero when the service starts again.
  public var requests: Int
  /// Processor seconds of all instances so far; nil: not known.
  public var cpuSeconds: Double?
  /// The node's own gauge, summed over instances; nil: not known.
  public var gauge: Double?
  /// Instances that take requests.
  public var ready: Int

  public init(
    at: Duration, running: Int, queued: Int = 0, requests: Int, cpuSeconds: Double? = nil,
    gauge: Double? = nil, ready: Int
  ) {
    self.at = at
    self.running = running
    self.queued = queued
    self.requests = requests
    self.cpuSeconds = cpuSeconds
    self.gauge = gauge
    self.ready = ready
  }
}

/// A number of instances, and why.
public struct ScalingDecision: Sendable, Equatable, Codable {
  public enum Reason: String, Sendable, Codable {
    /// The load over the stable window needs this many.
    case load
    /// The load rose suddenly.
    case panic
    /// Somebody waits and there is no instance.
    case wake
    /// Fewer would do, but not for long enough yet.
    case waiting
    /// Fewer would do, but they would be nearly full.
    case slack
    /// Nothing was asked for long enough.
    case idle
    case minimum, maximum
    /// Nothing changes.
    case steady
  }

  public var count: Int
  public var reason: Reason
  /// The signal that asked for most; nil: there was no load.
  public var signal: ScalingSignal?
  /// Its load over the window that decided, and what one instance is meant to have.
  public var load: Double
  public var aim: Double
  /// Over how many seconds the load was taken.
  public var window: Int
}
