public import Domain

/// What a bucket says to a request.
public enum OnTake: Sendable, Equatable {
  /// It may pass; `fullAt` is what the bucket is from now on.
  case taken(fullAt: Int64)
  /// It may not; this many nanoseconds later it might.
  case refused(wait: Int64)
}

/// A bucket of tokens that fills by `requestsPerSecond` up to `burst`; each request takes one.
///
/// All of its state is one number, the monotonic nanoseconds at which it will be full again, so that many threads can share it as
/// one atomic. Pure: time comes in.
public enum TokenBucket {
  /// Longest time that one token takes to come: an hour.
  private static let slowest = 3.6e12

  public static func take(_ limit: RateLimit, fullAt: Int64, now: Int64) -> OnTake {
    guard limit.requestsPerSecond > 0 else { return .refused(wait: Int64(slowest)) }
    let interval = Int64(max(min(1_000_000_000 / limit.requestsPerSecond, slowest), 1))
    let next = max(fullAt, now) + interval
    let late = next - now - interval * Int64(max(limit.burst, 1))
    return late <= 0 ? .taken(fullAt: next) : .refused(wait: late)
  }

  /// Whole seconds for `Retry-After`.
  public static func seconds(_ nanoseconds: Int64) -> Int { Int((nanoseconds + 999_999_999) / 1_000_000_000) }
}
