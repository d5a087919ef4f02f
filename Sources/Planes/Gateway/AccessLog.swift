internal import CLinux
internal import Domain
internal import Glibc
internal import Reactor
internal import Telemetry

/// Appends lines of all loops to one file on a thread of its own: a slow disk delays no request. A file that has grown
/// too large is put aside under a number (`access.7.jsonl`); the oldest of these are removed.
final class AccessLog: Sendable {
  private let mailbox = Mailbox<[UInt8]>()
  private let thread: LoopThread?

  /// - Parameter folder: where `access.jsonl` is, or will be.
  init?(folder: String, limits: LogLimits, logger: Logger) {
    let files = Files(folder: folder, limits: limits)
    guard let descriptor = files.open() else {
      logger.error(
        "the access log can't be opened", ["path": .text(files.path), "error": .integer(Int(errno))])
      return nil
    }
    thread = LoopThread(name: "access-log") { [mailbox] in
      let loop = EventLoop(bell: mailbox.bell)
      let writer = Writer(descriptor, files, mailbox, loop, logger)
      loop.run(writer)
      close(writer.descriptor)
    }
  }

  /// The files of the log.
  private struct Files: Sendable {
    private static let names = LogNames("access")
    let folder: String
    let limits: LogLimits

    var path: String { "\(folder)/\(Self.names.current)" }

    func open() -> Int32? {
      let descriptor = Glibc.open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o640)
      return descriptor >= 0 ? descriptor : nil
    }

    /// Puts the file aside and removes the oldest of those that were.
    func putAside() {
      var numbers: [Int] = []
      if let entries = opendir(folder) {
        var found: [String] = []
        while let entry = readdir(entries) {
          found.append(
            withUnsafePointer(to: &entry.pointee.d_name) {
              String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
            })
        }
        closedir(entries)
        numbers = Self.names.numbers(among: found)
      }
      let next = (numbers.last ?? 0) + 1
      guard rename(path, "\(folder)/\(Self.names.aside(next))") == 0 else { return }
      for old in (numbers + [next]).dropLast(limits.files) { unlink("\(folder)/\(Self.names.aside(old))") }
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
    private(set) var descriptor: Int32
    private var size: Int
    let files: Files
    let mailbox: Mailbox<[UInt8]>
    let loop: EventLoop
    let logger: Logger
    var failed = false

    init(
      _ descriptor: Int32, _ files: Files, _ mailbox: Mailbox<[UInt8]>, _ loop: EventLoop, _ logger: Logger
    ) {
      self.descriptor = descriptor
      self.files = files
      size = Int(max(0, lseek(descriptor, 0, SEEK_END)))
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
        size += lines.count
        if size > files.limits.fileBytes { rotate() }
      }
    }

    /// Between whole lines. If the new file can't be made, the old one is written on.
    private func rotate() {
      size = 0
      files.putAside()
      guard let next = files.open() else {
        return logger.error("the access log can't be begun anew", ["path": .text(files.path)])
      }
      close(descriptor)
      descriptor = next
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
