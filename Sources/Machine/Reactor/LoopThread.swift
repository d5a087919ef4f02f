internal import CLinux
internal import Glibc

/// A thread of its own for a loop or a writer.
public final class LoopThread: Sendable {
  private let handle: pthread_t

  private final class Body {
    let name: String
    let run: @Sendable () -> Void
    init(_ name: String, _ run: @escaping @Sendable () -> Void) {
      self.name = name
      self.run = run
    }
  }

  /// Starts a thread with a name of at most 15 bytes; nil when the system has no more.
  public init?(name: String, _ run: @escaping @Sendable () -> Void) {
    var thread = pthread_t()
    let body = Unmanaged.passRetained(Body(name, run))
    let result = pthread_create(
      &thread, nil,
      { raw in
        guard let raw else { return nil }
        let body = Unmanaged<Body>.fromOpaque(raw).takeRetainedValue()
        roost_name_thread(body.name)
        body.run()
        roost_blocks_free()
        return nil
      }, body.toOpaque())
    guard result == 0 else {
      body.release()
      return nil
    }
    handle = thread
  }

  /// Nobody will wait for its end.
  public func detach() { pthread_detach(handle) }

  /// Waits for its end.
  public func join() { pthread_join(handle, nil) }
}
