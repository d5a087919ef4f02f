import Glibc

/// The pipe that the signal handler writes to: the one thing a handler may safely do.
private let signalPipe: (read: Int32, write: Int32) = {
  var ends: [Int32] = [-1, -1]
  guard pipe(&ends) == 0 else { return (-1, -1) }
  for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
  return (ends[0], ends[1])
}()

/// SIGTERM, SIGINT and SIGHUP as asynchronous events; SIGPIPE is ignored.
///
/// A handler, not a blocked mask: the threads of the runtime are there before `main` and would take the signal.
final class TerminationSignals: Sendable {
  private let stream: AsyncStream<Int32>

  init() {
    signal(SIGPIPE, SIG_IGN)
    let (stream, continuation) = AsyncStream.makeStream(of: Int32.self)
    self.stream = stream
    guard signalPipe.read >= 0 else { return }
    for number in [SIGTERM, SIGINT, SIGHUP] {
      signal(number) { number in
        var byte = UInt8(truncatingIfNeeded: number)
        _ = write(signalPipe.write, &byte, 1)
      }
    }
    let box = Unmanaged.passRetained(Waiter(continuation: continuation))
    var thread = pthread_t()
    pthread_create(
      &thread, nil,
      { raw in
        guard let raw else { return nil }
        let waiter = Unmanaged<Waiter>.fromOpaque(raw).takeRetainedValue()
        var byte: UInt8 = 0
        while true {
          let count = read(signalPipe.read, &byte, 1)
          if count == 1 { waiter.continuation.yield(Int32(byte)) } else if errno != EINTR { return nil }
        }
      }, box.toOpaque())
    pthread_detach(thread)
  }

  /// Ends at the first SIGTERM or SIGINT; until then each SIGHUP calls the closure.
  func first(reload: () -> Void) async {
    for await number in stream {
      guard number == SIGHUP else { return }
      reload()
    }
  }

  private final class Waiter {
    let continuation: AsyncStream<Int32>.Continuation

    init(continuation: AsyncStream<Int32>.Continuation) { self.continuation = continuation }
  }
}
