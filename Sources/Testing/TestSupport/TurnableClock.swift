public import Domain
import FoundationEssentials
import Synchronization

/// The real wall clock, which a test can set forward and back. The uptime goes on as it does.
public final class TurnableClock: Sendable {
  private let offset = Mutex(Duration.zero)
  private let start = ContinuousClock.now

  public init() {}

  /// As setting the machine's clock would.
  public func turn(_ by: Duration) { offset.withLock { $0 += by } }

  public var source: TimeSource {
    TimeSource(wall: { self.now() }, uptime: { ContinuousClock.now - self.start })
  }

  public func now() -> Timestamp {
    Timestamp(microseconds: Int64(Date().timeIntervalSince1970 * 1_000_000)) + offset.withLock { $0 }
  }
}
