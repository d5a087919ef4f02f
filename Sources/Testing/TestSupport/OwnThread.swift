internal import Dispatch
internal import Glibc
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
    let result = await withTaskExecutorPreference(OwnThread()) { () async -> Result<Void, any Error> in
      do { return .success(try await function()) } catch { return .failure(error) }
    }
    await Turns.shared.give()
    try result.get()
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

/// Who may run, in the order of asking. An actor: ThreadSanitizer does not see how `Mutex` orders threads that contend.
private actor Turns {
  static let shared = Turns(max(4, 2 * sysconf(Int32(_SC_NPROCESSORS_ONLN))))

  private var free: Int
  private var waiting: [CheckedContinuation<Void, Never>] = []

  init(_ count: Int) { free = count }

  func take() async {
    guard free == 0 else {
      free -= 1
      return
    }
    await withCheckedContinuation { waiting.append($0) }
  }

  func give() {
    guard waiting.isEmpty else { return waiting.removeFirst().resume() }
    free += 1
  }
}
