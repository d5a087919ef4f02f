import CLinux
import Glibc

/// How a process ended.
public enum ProcessEnd: Sendable, Equatable {
  case exited(Int32)
  case signaled(Int32)
}

/// A process that is held by a pidfd: signals never hit a stranger that got the same pid.
public final class ProcessHandle: Sendable {
  public let pid: Int32
  /// Start time in clock ticks after boot; with the pid it names a process for good.
  public let startTicks: UInt64
  private let file: FileHandle

  /// Holds a running process (or a zombie).
  public init(pid: Int32) throws(SystemFailure) {
    let number = roost_pidfd_open(pid)
    guard number >= 0 else { throw SystemFailure("open process \(pid)") }
    file = FileHandle(owning: number)
    guard let statistics = ProcFS.statistics(pid) else {
      throw SystemFailure("read /proc/\(pid)/stat", code: ESRCH)
    }
    self.pid = pid
    startTicks = statistics.startTicks
  }

  /// Holds the process only if it's the one that started at `startTicks`.
  public convenience init?(pid: Int32, startTicks: UInt64) {
    guard pid > 0, ProcFS.statistics(pid) != nil else { return nil }
    do { try self.init(pid: pid) } catch { return nil }
    guard self.startTicks == startTicks else { return nil }
  }

  /// Readable (`poll`) once the process has ended.
  public var descriptor: Int32 { file.number }

  public var hasEnded: Bool { wait(.zero) }

  /// True when the process ended within the time.
  public func wait(_ timeout: Duration) -> Bool {
    let deadline = Deadline(after: timeout)
    while true {
      var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      let count = poll(&entry, 1, deadline.milliseconds)
      if count > 0 { return true }
      if count == 0 && deadline.hasPassed { return false }
      if count < 0 && errno != EINTR { return true }
    }
  }

  /// False when the process is gone.
  @discardableResult
  public func signal(_ number: Int32) -> Bool { roost_pidfd_send_signal(descriptor, number) == 0 }

  /// The end of a child of this process, which also removes the zombie; nil while it runs and for others'
  /// children.
  public func reap() -> ProcessEnd? {
    var code: Int32 = 0
    var number: Int32 = 0
    guard roost_pidfd_reap(descriptor, &code, &number) == 1 else { return nil }
    return number == 0 ? .exited(code) : .signaled(number)
  }
}

/// Runs a command to its end and keeps its output.
public struct CommandOutput: Sendable {
  public var end: ProcessEnd?
  /// Standard output and error, in order of arrival; at most 1 MiB.
  public var text: String

  public var succeeded: Bool { end == .exited(0) }

  /// Blocks for at most `timeout`; then the command is killed and `end` is nil.
  public static func run(
    _ executable: String, _ arguments: [String], environment: [String: String] = [:],
    cgroupFiles: [String] = [], timeout: Duration = .seconds(20)
  ) throws(SystemFailure) -> CommandOutput {
    var pipes: [Int32] = [0, 0]
    guard roost_pipe(&pipes) == 0 else { throw SystemFailure("make a pipe") }
    let output = FileHandle(owning: pipes[0])
    let nothing = open("/dev/null", O_RDWR | O_CLOEXEC)
    var process: ProcessHandle
    do {
      defer {
        close(nothing)
        close(pipes[1])
      }
      process = try SpawnRequest(
        executable: executable, arguments: arguments, environment: environment,
        descriptors: [nothing, pipes[1], pipes[1]], cgroupFiles: cgroupFiles
      ).start()
    }
    let deadline = Deadline(after: timeout)
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      var entry = pollfd(fd: output.number, events: Int16(POLLIN), revents: 0)
      let ready = poll(&entry, 1, deadline.milliseconds)
      if ready == 0 && deadline.hasPassed { break }
      guard ready > 0 else { continue }
      let count = read(output.number, &buffer, buffer.count)
      guard count > 0 else { break }
      if bytes.count < 1 << 20 { bytes += buffer[..<count] }
    }
    if !process.wait(deadline.hasPassed ? .zero : .seconds(1)) {
      kill(-process.pid, SIGKILL)
      _ = process.wait(.seconds(5))
      _ = process.reap()
      return CommandOutput(end: nil, text: String(decoding: bytes, as: UTF8.self))
    }
    return CommandOutput(end: process.reap(), text: String(decoding: bytes, as: UTF8.self))
  }
}

/// The environment of this process.
public enum SystemEnvironment {
  /// The given variables, where they are set.
  public static func values(_ names: [String]) -> [String: String] {
    names.reduce(into: [:]) { values, name in
      if let text = getenv(name) { values[name] = String(cString: text) }
    }
  }
}
