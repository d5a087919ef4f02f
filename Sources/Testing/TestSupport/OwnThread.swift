internal import Dispatch
internal import Glibc
internal import Synchronization
public import Testing

/// Runs each test of a suite on a thread of its own, and no more of them at once than the machine can serve.
///
/// Tests drive real sockets and processes with calls that block. On the shared pool, which has one thread per core, two that
/// block stop every other test, and its limits run out while it does nothing. All tests at once would do the same with
/// processes. Time limits of a suite count the time in which a test waits for its turn: make them generous.
public struct OwnThreadTrait: SuiteTrait, TestTrait, TestScoping {
  public let isRecursive = true

  @concurrent public func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @concurrent @Sendable () async throws -> Void
  ) async throws {
    guard testCase != nil else { return try await function() }
    await Turns.shared.take()
    defer { Turns.shared.give() }
    try await withTaskExecutorPreference(OwnThread()) { try await function() }
  }
}

extension Trait where Self == OwnThreadTrait {
  /// Runs each test on a thread of its own, a few at a time.
  public static var ownThread: Self { Self() }
}

/// A serial queue: its work runs on a thread that does nothing else meanwhile.
private final class OwnThread: TaskExecutor {
  private let queue = DispatchQueue(label: "test")

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    queue.async { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
  }
}

/// Who may run, in the order of asking.
private final class Turns: Sendable {
  static let shared = Turns(max(4, 2 * sysconf(Int32(_SC_NPROCESSORS_ONLN))))

  private struct State {
    var free: Int
    var waiting: [CheckedContinuation<Void, Never>] = []
  }
  private let state: Mutex<State>

  init(_ count: Int) { state = Mutex(State(free: count)) }

  func take() async {
    await withCheckedContinuation { continuation in
      let goes = state.withLock { state in
        guard state.free == 0 else {
          state.free -= 1
          return true
        }
        state.waiting.append(continuation)
        return false
      }
      if goes { continuation.resume() }
    }
  }

  func give() {
    let next = state.withLock { state -> CheckedContinuation<Void, Never>? in
      guard state.waiting.isEmpty else { return state.waiting.removeFirst() }
      state.free += 1
      return nil
    }
    next?.resume()
  }
}
