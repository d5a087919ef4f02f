import Glibc
import Synchronization

/// What a running service is told from outside.
enum ServiceEvent: Sendable {
  case signal(Int32)
  case upgrade(UpgradeCall)
}

/// The pipe that the signal handler writes to: the one thing a handler may safely do.
private let signalPipe: (read: Int32, write: Int32) = {
  var ends: [Int32] = [-1, -1]
  guard pipe(&ends) == 0 else { return (-1, -1) }
  for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
  return (ends[0], ends[1])
}()

/// SIGTERM, SIGINT and SIGHUP as asynchronous events, among those that others post; SIGPIPE is ignored.
///
/// A handler, not a blocked mask: the threads of the runtime are there before `main` and would take the signal.
final class TerminationSignals: Sendable {
  private let stream: AsyncStream<ServiceEvent>
  private let continuation: AsyncStream<ServiceEvent>.Continuation
  private let ended = Atomic<Bool>(false)

  init() {
    signal(SIGPIPE, SIG_IGN)
    (stream, continuation) = AsyncStream.makeStream(of: ServiceEvent.self)
    guard signalPipe.read >= 0 else { return }
    for number in [SIGTERM, SIGINT, SIGHUP] {
      signal(number) { number in
        var byte = UInt8(truncatingIfNeeded: number)
        _ = write(signalPipe.write, &byte, 1)
      }
    }
    let box = Unmanaged.passRetained(self)
    var thread = pthread_t()
    pthread_create(
      &thread, nil,
      { raw in
        guard let raw else { return nil }
        let waiter = Unmanaged<TerminationSignals>.fromOpaque(raw).takeRetainedValue()
        var byte: UInt8 = 0
        while true {
          let count = read(signalPipe.read, &byte, 1)
          if count == 1 { waiter.came(Int32(byte)) } else if errno != EINTR { return nil }
        }
      }, box.toOpaque())
    pthread_detach(thread)
  }

  private func came(_ number: Int32) {
    if number != SIGHUP { ended.store(true, ordering: .relaxed) }
    continuation.yield(.signal(number))
  }

  /// SIGTERM or SIGINT came.
  var hasEnded: Bool { ended.load(ordering: .relaxed) }

  func post(_ event: ServiceEvent) { continuation.yield(event) }

  /// The next event that is no SIGHUP; each of those calls the closure. One caller at a time.
  func next(reload: () -> Void) async -> ServiceEvent {
    for await event in stream {
      if case .signal(SIGHUP) = event { reload() } else { return event }
    }
    return .signal(SIGTERM)
  }
}
