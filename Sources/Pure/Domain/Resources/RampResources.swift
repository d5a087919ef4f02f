/// How requests move to a candidate.
public struct RampPlan: Sendable, Codable, Equatable {
  /// Percents of the candidate, rising.
  public var steps: [Int]
  /// Least time of a step.
  public var stepSeconds: Double
  /// Largest part of the candidate's answers with a status of 500 or above, 0 to 1; nil: not looked at.
  public var maximumErrorRate: Double?
  /// How much longer the candidate may take than the others, at the 95th percentile: 0.2 is 20 %; nil: not looked at.
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
}
