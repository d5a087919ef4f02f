internal import Domain
internal import Glibc

/// What a command sees of the process around it. Tests give their own.
struct Surroundings: Sendable {
  var environment: [String: String]
  var print: @Sendable (String) -> Void
  var printError: @Sendable (String) -> Void
  /// Reads a line of the answer to a question; nil at the end of the input.
  var readLine: @Sendable () -> String?
  /// The same without showing what is typed, behind a question.
  var readHidden: @Sendable (String) -> String? = { SecretInput.readHidden($0) }
  /// The whole standard input.
  var readAll: @Sendable () -> [UInt8]
  var inputIsTerminal: Bool
  var outputIsTerminal: Bool
  var errorIsTerminal: Bool
  var now: @Sendable () -> Timestamp
  /// Time since some moment; the wall clock may be set while a command waits.
  var uptime: @Sendable () -> Duration = {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
  }
  var pause: @Sendable (Duration) async throws -> Void

  /// The real ones.
  static func process() -> Surroundings {
    Surroundings(
      environment: environment(), print: { write($0, to: 1) }, printError: { write($0, to: 2) },
      readLine: { Swift.readLine() }, readAll: { LocalFile.read(descriptor: 0) },
      inputIsTerminal: isatty(0) == 1, outputIsTerminal: isatty(1) == 1, errorIsTerminal: isatty(2) == 1,
      now: {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(microseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000)
      },
      pause: { try await Task.sleep(for: $0) })
  }

  private static func environment() -> [String: String] {
    var result: [String: String] = [:]
    for name in LocalFile.environmentNames {
      if let value = getenv(name) { result[name] = String(cString: value) }
    }
    return result
  }

  /// Ends the process quietly when the reader went away, as in `roost node list | head -1`.
  private static func write(_ text: String, to descriptor: Int32) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { exit(ExitCode.failed.rawValue) }
      rest = rest.dropFirst(count)
    }
  }
}
