/// Delays between attempts: doubling from `base` up to `limit`; forgotten after `quiet` without a failure.
public struct Backoff: Sendable, Equatable {
  public var base: Duration
  public var limit: Duration
  public var quiet: Duration
  public private(set) var failures = 0
  private var lastFailure: Duration?

  public init(
    base: Duration = .milliseconds(200), limit: Duration = .seconds(30), quiet: Duration = .seconds(60)
  ) {
    self.base = base
    self.limit = limit
    self.quiet = quiet
  }

  /// Records a failure and returns the earliest time of the next attempt, both by the uptime.
  public mutating func failed(at now: Duration) -> Duration {
    if let lastFailure, now - lastFailure > quiet { failures = 0 }
    lastFailure = now
    failures += 1
    // The first replacement is immediate: a single kill must not cost a user any waiting.
    guard failures > 1 else { return now }
    var delay = base
    for _ in 0..<min(failures - 2, 16) where delay < limit { delay = delay * 2 }
    return now + min(delay, limit)
  }

  public mutating func reset() {
    failures = 0
    lastFailure = nil
  }
}
