public import Domain

/// What the nodes of one side of a ramp answered in one window of time.
public struct RampWindow: Sendable, Equatable, Codable {
  public var requests: Int
  /// Those of them that failed by the node's fault.
  public var failures: Int
  public var latencies: LatencyCounts

  public init(requests: Int = 0, failures: Int = 0, latencies: LatencyCounts = LatencyCounts()) {
    self.requests = requests
    self.failures = failures
    self.latencies = latencies
  }

  public static func - (left: RampWindow, right: RampWindow) -> RampWindow {
    RampWindow(
      requests: max(left.requests - right.requests, 0), failures: max(left.failures - right.failures, 0),
      latencies: left.latencies - right.latencies)
  }

  public static func + (left: RampWindow, right: RampWindow) -> RampWindow {
    RampWindow(
      requests: left.requests + right.requests, failures: left.failures + right.failures,
      latencies: left.latencies + right.latencies)
  }

  var failureRate: Double { requests == 0 ? 0 : Double(failures) / Double(requests) }

  public var numbers: RampNumbers {
    RampNumbers(
      requests: requests, failures: failures,
      p95Milliseconds: latencies.quantile(0.95).map { Double($0) / 1000 })
  }
}

/// How far a ramp is and what it has seen: all that must survive a restart.
public struct RampProgress: Sendable, Equatable, Codable {
  /// Index of the plan's step.
  public var step = 0
  /// Seconds of the step, without pauses and without the time in which the server was down.
  public var elapsed = 0.0
  /// Seconds for which the candidate has taken no requests.
  public var unavailable = 0.0
  /// What was answered in the step.
  public var candidate = RampWindow()
  public var others = RampWindow()
  /// What the others answered in the step before: at 100 % nobody else is left.
  public var before = RampWindow()
  /// Evidence of the worse, which long good times don't outweigh: see `RampMachine.note`.
  var failureAlarm = 0.0
  var latencyAlarm = 0.0

  public init() {}

  /// The next step begins.
  public mutating func advance() {
    let others = self.others.requests > 0 ? self.others : before
    let (step, alarms) = (self.step + 1, (failureAlarm, latencyAlarm))
    self = RampProgress()
    self.step = step
    before = others
    (failureAlarm, latencyAlarm) = alarms
  }
}
