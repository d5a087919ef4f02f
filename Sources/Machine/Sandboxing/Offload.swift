import Glibc

/// Runs a blocking call on a thread of its own, so that the pool of Swift's tasks is never held up.
public func offload<Value: Sendable, Failure: Error>(
  _ body: @escaping @Sendable () throws(Failure) -> Value
) async throws(Failure) -> Value {
  let result = await withCheckedContinuation {
    (continuation: CheckedContinuation<Result<Value, Failure>, Never>) in
    startThread {
      do throws(Failure) {
        continuation.resume(returning: .success(try body()))
      } catch {
        continuation.resume(returning: .failure(error))
      }
    }
  }
  return try result.get()
}

/// Starts a detached thread.
public func startThread(_ body: @escaping @Sendable () -> Void) {
  final class Box: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
  var attributes = pthread_attr_t()
  pthread_attr_init(&attributes)
  pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
  pthread_attr_setstacksize(&attributes, 1 << 20)
  defer { pthread_attr_destroy(&attributes) }
  var thread = pthread_t()
  let box = Unmanaged.passRetained(Box(body))
  // Out of threads: wait for one instead of losing the call.
  while pthread_create(
    &thread, &attributes,
    { argument in
      if let argument { Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body() }
      return nil
    }, box.toOpaque()) != 0
  {
    usleep(10_000)
  }
}

/// A point on the monotonic clock to wait for.
public struct Deadline: Sendable {
  private let nanoseconds: Int64

  public init(after duration: Duration) {
    let parts = duration.components
    let (total, overflow) = parts.seconds.multipliedReportingOverflow(by: 1_000_000_000)
    nanoseconds =
      overflow
      ? .max : Self.now().addingReportingOverflow(total + parts.attoseconds / 1_000_000_000).partialValue
  }

  /// What is left for `poll`, rounded up; 0 when it has passed.
  public var milliseconds: Int32 {
    Int32(clamping: max(0, (nanoseconds - Self.now() + 999_999) / 1_000_000))
  }

  public var hasPassed: Bool { nanoseconds <= Self.now() }

  private static func now() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
  }
}
