internal import CLinux
internal import Glibc

/// What the kernel tells of the time of one thread (`/proc/thread-self/schedstat`): whether a loop is busy, and whether it
/// gets its core. Touch it on any thread; it speaks of the one that made it.
public final class ThreadSchedule {
  private let file: Int32

  /// Since the thread started.
  public struct Times: Equatable, Sendable {
    /// Nanoseconds that it ran.
    public var ran: Int64 = 0
    /// Nanoseconds that it was ready to and others had its core.
    public var waited: Int64 = 0
  }

  /// Of the calling thread; nil where the kernel does not count (CONFIG_SCHED_INFO).
  public init?() {
    file = roost_open_schedule()
    guard file >= 0 else { return nil }
  }

  deinit { _ = close(file) }

  /// The times until now; nil when the thread is gone.
  public var times: Times? {
    var times = Times()
    return roost_read_schedule(file, &times.ran, &times.waited) == 0 ? times : nil
  }
}
