/// How requests move to a candidate.
public struct RampPlan: Sendable, Codable, Equatable {
  /// Percents of the candidate, rising.
  public var steps: [Int]
  /// Least time of a step.
  public var stepSeconds: Double
  /// Largest part of the candidate's answers that may be failures, 0 to 1; left out: not looked at.
  public var maximumErrorRate: Double?
  /// How much longer the candidate may take than the others, at the 95th percentile: 0.2 is 20 %; left out: not looked at.
  public var maximumP95Increase: Double?
  /// Requests of the candidate in a step without which nothing is decided.
  public var minimumRequests: Int

  public init(
    steps: [Int] = [1, 5, 25, 50, 100], stepSeconds: Double = 120, maximumErrorRate: Double? = 0.01,
    maximumP95Increase: Double? = 0.2, minimumRequests: Int = 100
  ) {
    self.steps = steps
    self.stepSeconds = stepSeconds
    self.maximumErrorRate = maximumErrorRate
    self.maximumP95Increase = maximumP95Increase
    self.minimumRequests = minimumRequests
  }
}

/// Where a ramp is.
public enum RampStatus: String, Sendable, Codable, CaseIterable {
  case running = "RUNNING"
  case paused = "PAUSED"
  case completed = "COMPLETED"
  case rolledBack = "ROLLED_BACK"
  case aborted = "ABORTED"

  /// Whether it goes on.
  public var isUnderWay: Bool { self == .running || self == .paused }
}

/// What a line of a ramp's journal tells of.
public enum RampEventKind: String, Sendable, Codable, CaseIterable {
  case started = "STARTED"
  case advanced = "ADVANCED"
  case held = "HELD"
  case completed = "COMPLETED"
  case rolledBack = "ROLLED_BACK"
  case paused = "PAUSED"
  case resumed = "RESUMED"
  case promoted = "PROMOTED"
  case aborted = "ABORTED"
  case continued = "CONTINUED"
}

/// What one side of a ramp answered in a step, of the requests that came by weight.
public struct RampNumbers: Sendable, Codable, Equatable {
  public var requests: Int
  /// Answers with a status of 500 or above, and calls that ended with a `grpc-status` that blames the server.
  public var failures: Int
  /// Milliseconds within which 95 of 100 were answered; nil before the first one.
  public var p95Milliseconds: Double?

  public init(requests: Int = 0, failures: Int = 0, p95Milliseconds: Double? = nil) {
    self.requests = requests
    self.failures = failures
    self.p95Milliseconds = p95Milliseconds
  }
}

/// A line of a ramp's journal.
public struct RampEvent: Sendable, Codable, Equatable {
  public var at: Timestamp
  /// Which of the alias' ramps, counted from 1.
  public var ramp: Int
  public var kind: RampEventKind
  /// The candidate's percent from then on.
  public var percent: Int
  public var message: String
  /// A subject; `roost` for what the ramp decided by itself.
  public var by: String
  /// The numbers of the step that the decision was made from.
  public var candidate: RampNumbers
  public var others: RampNumbers

  public init(
    at: Timestamp, ramp: Int, kind: RampEventKind, percent: Int, message: String, by: String,
    candidate: RampNumbers = RampNumbers(), others: RampNumbers = RampNumbers()
  ) {
    self.at = at
    self.ramp = ramp
    self.kind = kind
    self.percent = percent
    self.message = message
    self.by = by
    self.candidate = candidate
    self.others = others
  }
}

/// The newest ramp of an alias.
public struct RampResource: Sendable, Codable, Equatable {
  public var aliasId: AliasID
  public var aliasName: String
  /// Which of the alias' ramps, counted from 1.
  public var number: Int
  /// The candidate.
  public var nodeId: NodeID
  public var nodeName: String
  public var status: RampStatus
  public var plan: RampPlan
  /// Which of the plan's steps, counted from 1.
  public var step: Int
  /// The candidate's percent now.
  public var percent: Int
  /// Seconds of the step without pauses.
  public var stepElapsedSeconds: Double
  /// What was found last, in words with the numbers.
  public var message: String
  public var startedAt: Timestamp
  public var startedBy: String
  public var endedAt: Timestamp?
  /// The numbers of the step so far.
  public var candidate: RampNumbers
  /// Of those that it is compared with: at 100 % their numbers of the step before.
  public var others: RampNumbers
  /// The shares before the ramp: what a rollback and `abort` bring back.
  public var base: [AliasShare]
  /// The last lines, the oldest first; only where the ramp itself is asked for.
  public var journal: [RampEvent]?

  public init(
    aliasId: AliasID, aliasName: String, number: Int, nodeId: NodeID, nodeName: String, status: RampStatus,
    plan: RampPlan, step: Int, percent: Int, stepElapsedSeconds: Double, message: String,
    startedAt: Timestamp, startedBy: String, endedAt: Timestamp? = nil, candidate: RampNumbers,
    others: RampNumbers, base: [AliasShare], journal: [RampEvent]? = nil
  ) {
    self.aliasId = aliasId
    self.aliasName = aliasName
    self.number = number
    self.nodeId = nodeId
    self.nodeName = nodeName
    self.status = status
    self.plan = plan
    self.step = step
    self.percent = percent
    self.stepElapsedSeconds = stepElapsedSeconds
    self.message = message
    self.startedAt = startedAt
    self.startedBy = startedBy
    self.endedAt = endedAt
    self.candidate = candidate
    self.others = others
    self.base = base
    self.journal = journal
  }
}

/// What a candidate must keep to; what is left out is not looked at.
public struct RampGuards: Sendable, Codable, Equatable {
  /// Largest part of its answers that may be failures: 0.01 is 1 %.
  public var errorRate: Double?
  /// How much longer it may take than the others at the 95th percentile: 0.2 is 20 %.
  public var p95Increase: Double?

  public init(errorRate: Double? = nil, p95Increase: Double? = nil) {
    self.errorRate = errorRate
    self.p95Increase = p95Increase
  }
}

/// Body of `POST /v1/aliases/{alias}:ramp`.
public struct StartRampRequest: Sendable, Codable, Equatable {
  /// The candidate: id or name of a node.
  public var to: String
  /// Its percents, rising, 1 to 100; left out: 1, 5, 25, 50, 100.
  public var steps: [Int]?
  /// Least time of a step, 1 to 604800; left out: 120.
  public var stepSeconds: Double?
  /// Left out: 1 % of errors and 20 % more time.
  public var guards: RampGuards?
  /// Requests of the candidate in a step without which nothing is decided, 1 to 1000000; left out: 100.
  public var minimumRequests: Int?
  /// The generation of the alias that the ramp was made for: refused when it was changed since.
  public var generation: Int?
  /// Takes a candidate whose API breaks what callers of the present nodes rely on.
  public var allowBreaking: Bool?

  public init(
    to: String, steps: [Int]? = nil, stepSeconds: Double? = nil, guards: RampGuards? = nil,
    minimumRequests: Int? = nil, generation: Int? = nil, allowBreaking: Bool? = nil
  ) {
    self.to = to
    self.steps = steps
    self.stepSeconds = stepSeconds
    self.guards = guards
    self.minimumRequests = minimumRequests
    self.generation = generation
    self.allowBreaking = allowBreaking
  }
}
