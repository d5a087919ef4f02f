/// How the number of a node's instances follows its load, within `instances.min` and `instances.max`. What is left out has the
/// default that is named.
public struct ScalingSpec: Sendable, Codable, Equatable {
  /// Requests that one instance has at a time, on average (where no other aim is given: 0.7, of image nodes 5).
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

/// Body of `POST /v1/nodes/{id}/scaling:whatIf`: recorded requests, and what differs from the node.
public struct WhatIfRequest: Sendable, Codable, Equatable {
  /// When requests came, in seconds from the beginning of the recording, in any order; at most 200,000 within six hours.
  public var seconds: [Double]
  /// How long each took; left out: `serviceSeconds`.
  public var services: [Double]?
  /// How long a request takes (0.1).
  public var serviceSeconds: Double?
  /// How long an instance takes to start (0.05, of a container 1).
  public var startSeconds: Double?
  /// Requests that an instance takes at once (1, of a container 100).
  public var width: Int?
  public var minimum: Int?
  public var maximum: Int?
  /// Instead of the node's; signals that a recording doesn't have (`cpuPercent`, `gauge`) are not looked at.
  public var scaling: ScalingSpec?

  public init(
    seconds: [Double], services: [Double]? = nil, serviceSeconds: Double? = nil, startSeconds: Double? = nil,
    width: Int? = nil, minimum: Int? = nil, maximum: Int? = nil, scaling: ScalingSpec? = nil
  ) {
    self.seconds = seconds
    self.services = services
    self.serviceSeconds = serviceSeconds
    self.startSeconds = startSeconds
    self.width = width
    self.minimum = minimum
    self.maximum = maximum
    self.scaling = scaling
  }
}

/// What the node would have done.
public struct WhatIfResource: Sendable, Codable, Equatable {
  public var requests: Int
  /// Length of the recording.
  public var seconds: Int
  /// The most instances at any time, and their time added up.
  public var peak: Int
  public var instanceSeconds: Double
  /// How long requests waited for an instance: half of them, 95 and 99 of 100, and the longest.
  public var p50WaitSeconds: Double
  public var p95WaitSeconds: Double
  public var p99WaitSeconds: Double
  public var longestWaitSeconds: Double
  /// Requests that still waited at the end.
  public var unanswered: Int
  public var changes: [WhatIfChange]
  /// Instances by the second.
  public var counts: [Int]

  public init(
    requests: Int, seconds: Int, peak: Int, instanceSeconds: Double, p50WaitSeconds: Double,
    p95WaitSeconds: Double, p99WaitSeconds: Double, longestWaitSeconds: Double, unanswered: Int,
    changes: [WhatIfChange], counts: [Int]
  ) {
    self.requests = requests
    self.seconds = seconds
    self.peak = peak
    self.instanceSeconds = instanceSeconds
    self.p50WaitSeconds = p50WaitSeconds
    self.p95WaitSeconds = p95WaitSeconds
    self.p99WaitSeconds = p99WaitSeconds
    self.longestWaitSeconds = longestWaitSeconds
    self.unanswered = unanswered
    self.changes = changes
    self.counts = counts
  }
}

/// A change of the number of instances that would have been made.
public struct WhatIfChange: Sendable, Codable, Equatable {
  /// From the beginning of the recording.
  public var seconds: Double
  public var from: Int
  public var to: Int
  public var reason: String
  public var message: String

  public init(seconds: Double, from: Int, to: Int, reason: String, message: String) {
    self.seconds = seconds
    self.from = from
    self.to = to
    self.reason = reason
    self.message = message
  }
}
