import Glibc

/// SIGTERM and SIGINT as one asynchronous event; SIGPIPE is ignored.
///
/// Made before any other thread, so that every thread inherits the blocked mask and only the waiting one gets them.
final class TerminationSignals: Sendable {
  private let stream: AsyncStream<Int32>

  init() {
    signal(SIGPIPE, SIG_IGN)
    var set = sigset_t()
    sigemptyset(&set)
    sigaddset(&set, SIGTERM)
    sigaddset(&set, SIGINT)
    pthread_sigmask(SIG_BLOCK, &set, nil)
    let waited = set
    let (stream, continuation) = AsyncStream.makeStream(of: Int32.self)
    self.stream = stream
    let box = Unmanaged.passRetained(Waiter(set: waited, continuation: continuation))
    var thread = pthread_t()
    pthread_create(
      &thread, nil,
      { raw in
        guard let raw else { return nil }
        let waiter = Unmanaged<Waiter>.fromOpaque(raw).takeRetainedValue()
        var set = waiter.set
        var number: Int32 = 0
        while sigwait(&set, &number) == 0 { waiter.continuation.yield(number) }
        return nil
      }, box.toOpaque())
    pthread_detach(thread)
  }

  /// Ends at the first of the signals. A second one ends the process at once.
  func first() async {
    for await _ in stream { return }
  }

  private final class Waiter {
    let set: sigset_t
    let continuation: AsyncStream<Int32>.Continuation

    init(set: sigset_t, continuation: AsyncStream<Int32>.Continuation) {
      self.set = set
      self.continuation = continuation
    }
  }
}
