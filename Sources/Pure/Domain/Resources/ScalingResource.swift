/// How the number of a node's instances follows its load, within `instances.min` and `instances.max`. What is left out has the
/// default that is named.
public struct ScalingSpec: Sendable, Codable, Equatable {
  /// Requests that one instance has at a time, on average (0.7, where `requestsPerSecond` is not given either).
  public var concurrency: Double?
  /// Requests per second of one instance (not looked at).
  public var requestsPerSecond: Double?
  /// Percent of one vCPU that one instance uses, on average (not looked at).
  public var cpuPercent: Double?
  /// A metric of the node's telemetry (not looked at).
  public var gauge: ScalingGauge?
  /// The load over this time decides in quiet times (60).
  public var stableSeconds: Int?
  /// The load over this time decides when it rises suddenly (2).
  public var panicSeconds: Int?
  /// An instance leaves when it wasn't needed for this long (60).
  public var leaveSeconds: Int?
  /// The last instance leaves when nothing was asked for this long (300). Only with `instances.min` of 0.
  public var lastLeaveSeconds: Int?

  public init(
    concurrency: Double? = nil, requestsPerSecond: Double? = nil, cpuPercent: Double? = nil,
    gauge: ScalingGauge? = nil, stableSeconds: Int? = nil,
    panicSeconds: Int? = nil, leaveSeconds: Int? = nil, lastLeaveSeconds: Int? = nil
  ) {
    self.concurrency = concurrency
    self.requestsPerSecond = requestsPerSecond
    self.cpuPercent = cpuPercent
    self.gauge = gauge
    self.stableSeconds = stableSeconds
    self.panicSeconds = panicSeconds
    self.leaveSeconds = leaveSeconds
    self.lastLeaveSeconds = lastLeaveSeconds
  }
}

/// A metric that instances tell of themselves, and how much of it one instance may have.
public struct ScalingGauge: Sendable, Codable, Equatable {
  /// All its series of all instances are added up.
  public var name: String
  /// What one instance is meant to have.
  public var target: Double

  public init(name: String, target: Double) {
    self.name = name
    self.target = target
  }
}

/// A change of the number of instances, and why.
public struct ScalingEvent: Sendable, Codable, Equatable {
  public var at: Timestamp
  public var from: Int
  public var to: Int
  /// `load`, `panic`, `wake`, `idle`, `minimum`, `maximum`.
  public var reason: String
  /// For people, with the figures.
  public var message: String

  public init(at: Timestamp, from: Int, to: Int, reason: String, message: String) {
    self.at = at
    self.from = from
    self.to = to
    self.reason = reason
    self.message = message
  }
}

/// Answer of `GET /v1/nodes/{id}/scaling`.
public struct ScalingResource: Sendable, Codable, Equatable {
  /// Whether the number follows the load; false: it is fixed.
  public var automatic: Bool
  public var minimum: Int
  public var maximum: Int
  /// Instances that are wanted now.
  public var count: Int
  /// Why no other number, for people.
  public var message: String
  /// Requests with instances and in the queue, at the last look.
  public var running: Int
  public var queued: Int
  /// The last 256 changes, the newest first. Older ones are in the node's log.
  public var events: [ScalingEvent]

  public init(
    automatic: Bool, minimum: Int, maximum: Int, count: Int, message: String, running: Int = 0,
    queued: Int = 0,
    events: [ScalingEvent] = []
  ) {
    self.automatic = automatic
    self.minimum = minimum
    self.maximum = maximum
    self.count = count
    self.message = message
    self.running = running
    self.queued = queued
    self.events = events
  }
}
