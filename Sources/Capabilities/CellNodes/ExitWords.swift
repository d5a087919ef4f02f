import Domain
import DriverAPI
import Sandboxing

/// How a process ended, as far as the kernel and the zygote tell.
struct EndFacts: Sendable {
  var code: Int32?
  var signal: Int32?
  /// The kernel killed something in its cgroup for want of memory.
  var outOfMemory = false
  var memoryLimit: Int64?
  var peakBytes: Int64?
  /// The request that it was running.
  var request: String?

  /// Adds what the cgroup has counted. A kill of the kernel shows as SIGKILL (or as 137 through bubblewrap).
  /// - Parameter counted: how many kills for want of memory have been told of already.
  mutating func read(_ group: Cgroup?, counted: Int = 0) {
    guard let group else { return }
    memoryLimit = group.memoryLimit
    peakBytes = group.peakBytes
    let killed = signal == 9 || code == 137 || (code == nil && signal == nil)
    outOfMemory = killed && (group.outOfMemoryKills ?? 0) > counted
  }

  /// `was ended by signal 11 (SIGSEGV)`, after the name of what ended.
  var words: String {
    if outOfMemory {
      let limit = memoryLimit.map { " of \(Self.megabytes($0))" } ?? ""
      let peak = peakBytes.map { " (peak \(Self.megabytes($0)))" } ?? ""
      return "exceeded its memory limit\(limit)\(peak)"
    }
    if let signal {
      return "was ended by signal \(signal)\(Self.signalName(signal).map { " (\($0))" } ?? "")"
    }
    if let code { return "ended with exit code \(code)" }
    return "ended; how isn't known"
  }

  /// `while it ran request …`, after how it ended.
  var occasion: String { request.map { " while it ran request \($0)" } ?? "" }

  var exitClass: LastError.ExitClass {
    if outOfMemory { return .outOfMemory }
    return signal != nil ? .signal : code != nil ? .exit : .missing
  }

  static func megabytes(_ bytes: Int64) -> String {
    let whole = 1 << 30
    if bytes >= whole && bytes % Int64(whole) == 0 { return "\(bytes >> 30) GiB" }
    return "\((bytes + (1 << 19)) >> 20) MiB"
  }

  private static func signalName(_ number: Int32) -> String? {
    let names: [Int32: String] = [
      1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS",
      8: "SIGFPE",
      9: "SIGKILL", 10: "SIGUSR1", 11: "SIGSEGV", 12: "SIGUSR2", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM",
      24: "SIGXCPU", 25: "SIGXFSZ", 31: "SIGSYS",
    ]
    return names[number]
  }
}

/// Puts failures of one node into the user's words.
struct FailureWords: Sendable {
  let launch: NodeLaunch
  let now: @Sendable () -> Timestamp
  private static let moreMemory = "create the node with --memory or a larger --configuration"

  func error(
    _ phase: LastError.Phase, _ exitClass: LastError.ExitClass, _ message: String, errorName: String? = nil,
    traceback: [String] = []
  ) -> LastError {
    LastError(
      phase: phase, exitClass: exitClass, message: message, errorName: errorName, traceback: traceback,
      logReference: "roost node logs \(launch.nodeName)", at: now())
  }

  func failure(
    _ phase: LastError.Phase, _ exitClass: LastError.ExitClass, _ message: String, errorName: String? = nil,
    traceback: [String] = []
  ) -> DriverFailure {
    DriverFailure(error(phase, exitClass, message, errorName: errorName, traceback: traceback))
  }

  /// What the worker says is kept as it says it.
  func failure(_ phase: LastError.Phase, from answer: ZygoteAnswer.Failure?) -> DriverFailure {
    let exceptionClass: LastError.ExitClass = answer?.errorName == "MemoryError" ? .outOfMemory : .exception
    return failure(
      phase, exceptionClass, answer?.errorMessage ?? "the worker refused without a reason",
      errorName: answer?.errorName, traceback: answer?.traceback ?? [])
  }

  /// As the user knows it; else by its first 12 digits, which are enough to recognize a checkpoint.
  private var checkpoint: String {
    if let label = launch.checkpoint { return "checkpoint \(label)" }
    let name = launch.manifestPath.split(separator: "/").last ?? ""
    return name.count == 64 ? "checkpoint sha256:\(name.prefix(12))" : "the node's checkpoint"
  }

  func instanceEnded(_ instance: InstanceID, _ facts: EndFacts) -> LastError {
    let advice = facts.outOfMemory ? "; if the cell needs more, \(Self.moreMemory)" : ""
    return error(
      .execute, facts.exitClass,
      "instance \(instance) \(facts.words)\(facts.occasion); it is being recreated from \(checkpoint)\(advice)"
    )
  }

  /// - Parameter count: how many requests of this instance lost their process, this one included.
  func requestEnded(_ instance: InstanceID, _ facts: EndFacts, count: Int) -> LastError {
    let advice = facts.outOfMemory ? "; if the cell needs more, \(Self.moreMemory)" : ""
    let which = facts.request.map { "request \($0)" } ?? "a request"
    let before = count > 1 ? " (\(count) of its requests have lost their process by now)" : ""
    return error(
      .execute, facts.exitClass,
      "the process of \(which) \(facts.words) in instance \(instance)\(before); "
        + "the instance goes on with the state of \(checkpoint)\(advice)")
  }

  func instanceEndedWithHost(_ instance: InstanceID, _ facts: EndFacts) -> LastError {
    error(
      .execute, facts.exitClass,
      "instance \(instance) ended because the host process of node \(launch.nodeName) \(facts.words)\(facts.occasion); "
        + "it is being recreated from \(checkpoint)")
  }

  func hostEnded(_ facts: EndFacts) -> LastError {
    error(
      .execute, facts.exitClass,
      "the host process of node \(launch.nodeName) (release \(launch.release)) \(facts.words); "
        + "it is being restored from \(checkpoint)")
  }

  /// The zygote ended before it had restored its state.
  func restoreEnded(_ facts: EndFacts, output: String) -> DriverFailure {
    let lines = output.split(separator: "\n").suffix(20).map(String.init)
    let said = lines.last.map { ": \($0)" } ?? ""
    if facts.outOfMemory {
      return failure(
        .restore, .outOfMemory,
        "restoring \(checkpoint) \(facts.words); if the state needs more, \(Self.moreMemory)",
        traceback: lines)
    }
    return failure(
      .restore, facts.exitClass, "the process that restores \(checkpoint) \(facts.words)\(said)",
      traceback: lines)
  }
}
