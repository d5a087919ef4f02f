internal import CLinux
internal import Glibc
internal import Reactor
internal import Telemetry

/// Appends lines of all loops to one file on a thread of its own: a slow disk delays no request.
final class AccessLog: Sendable {
  private let mailbox = Mailbox<[UInt8]>()
  private let thread: LoopThread?

  init?(path: String, logger: Logger) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o640)
    guard descriptor >= 0 else {
      logger.error("the access log can't be opened", ["path": .text(path), "error": .integer(Int(errno))])
      return nil
    }
    thread = LoopThread(name: "access-log") { [mailbox] in
      let loop = EventLoop(bell: mailbox.bell)
      loop.run(Writer(descriptor, mailbox, loop, logger))
      close(descriptor)
    }
  }

  /// Hands over whole lines.
  func append(_ lines: [UInt8]) { if !lines.isEmpty { mailbox.post(lines) } }

  /// Writes what is there and ends.
  func finish() {
    mailbox.post([])
    thread?.join()
  }

  private final class Writer: LoopOwner {
    let descriptor: Int32
    let mailbox: Mailbox<[UInt8]>
    let loop: EventLoop
    let logger: Logger
    var failed = false

    init(_ descriptor: Int32, _ mailbox: Mailbox<[UInt8]>, _ loop: EventLoop, _ logger: Logger) {
      self.descriptor = descriptor
      self.mailbox = mailbox
      self.loop = loop
      self.logger = logger
    }

    func ready(_ data: UInt64, _ events: ReadyEvents) {}
    func fired(_ data: UInt64) {}
    func batchEnded() {}

    func rung() {
      for lines in mailbox.take() {
        if lines.isEmpty { return loop.stop() }
        write(lines)
      }
    }

    /// A full disk loses lines, never requests; it is said once until a write works again.
    private func write(_ lines: [UInt8]) {
      var at = 0
      while at < lines.count {
        let written = lines.withUnsafeBytes {
          Glibc.write(descriptor, $0.baseAddress.map { $0 + at }, lines.count - at)
        }
        if written < 0 {
          let code = errno
          if code == EINTR { continue }
          if !failed {
            logger.error("the access log can't be written", ["error": .text(String(cString: strerror(code)))])
          }
          failed = true
          return
        }
        failed = false
        at += written
      }
    }
  }
}
