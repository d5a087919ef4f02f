/// How the instances of a new release take the place of those of the former one.
public enum RollOutPolicy: Sendable, Equatable {
  /// Up to so many more instances than wanted: an old one leaves when a new one is healthy. At least 1.
  case surge(Int)
  /// Old ones leave first, so many at once; never more instances than wanted. At least 1.
  case recreate(Int)
  /// All new ones beside all old ones, and one switch: for releases that requests can tell apart.
  case atOnce
}

/// Watches a release that is being rolled out. Pure: time is an argument.
public struct RollOutWatch: Sendable, Equatable {
  /// By the uptime.
  public private(set) var lastProgress: Duration
  public private(set) var failures = 0
  private var hopeless = false

  public init(at now: Duration) { lastProgress = now }

  /// An instance of the release became healthy.
  public mutating func progressed(at now: Duration) { lastProgress = now }

  /// An instance of the release ended, or none could be started.
  ///
  /// - Parameter isHopeless: the next attempt would fail the same way.
  public mutating func failed(isHopeless: Bool) {
    failures += 1
    hopeless = hopeless || isHopeless
  }

  /// A time in which nothing could have been started is not the release's fault.
  public mutating func paused(at now: Duration) { lastProgress = max(lastProgress, now) }

  public enum Verdict: Sendable, Equatable {
    case failures(Int)
    case noProgress(Duration)
  }

  /// Why the release has failed; nil while it may yet come up.
  public func verdict(at now: Duration, failureLimit: Int, deadline: Duration) -> Verdict? {
    if hopeless || failures >= max(1, failureLimit) { return .failures(failures) }
    return now - lastProgress >= deadline ? .noProgress(deadline) : nil
  }
}
