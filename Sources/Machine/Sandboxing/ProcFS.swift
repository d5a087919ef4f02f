import Glibc

/// Facts of `/proc`.
public enum ProcFS {
  public struct Statistics: Sendable, Equatable {
    /// `R` runs, `S` sleeps, `Z` zombie...
    public var state: Character
    public var parent: Int32
    /// Start time in clock ticks after boot (field 22).
    public var startTicks: UInt64
    /// User and system time.
    public var cpuSeconds: Double
  }

  /// Bytes of `/proc/PID/smaps_rollup`.
  public struct Memory: Sendable, Equatable {
    public var proportional: Int64 = 0
    public var shared: Int64 = 0
    public var `private`: Int64 = 0
  }

  public static func statistics(_ pid: Int32) -> Statistics? {
    guard let text = Files.readText("/proc/\(pid)/stat") else { return nil }
    return parseStatistics(text, ticksPerSecond: Double(sysconf(Int32(_SC_CLK_TCK))))
  }

  /// The command's name may hold blanks and parentheses: fields count from the last `)`.
  static func parseStatistics(_ text: String, ticksPerSecond: Double) -> Statistics? {
    guard let end = text.lastIndex(of: ")") else { return nil }
    let fields = text[text.index(after: end)...].split(whereSeparator: { $0 == " " || $0 == "\n" })
    guard fields.count > 19, let state = fields[0].first, let parent = Int32(fields[1]),
      let user = Double(fields[11]), let system = Double(fields[12]), let start = UInt64(fields[19])
    else { return nil }
    return Statistics(
      state: state, parent: parent, startTicks: start, cpuSeconds: (user + system) / max(ticksPerSecond, 1))
  }

  /// Processes below another whose names begin with `name` (of which the kernel keeps 15 bytes); empty also where the kernel does not
  /// list children.
  public static func descendants(of pid: Int32, named name: String) -> [Int32] {
    var found: [Int32] = []
    var left = [pid]
    while let next = left.popLast() {
      for thread in Files.list("/proc/\(next)/task") {
        let text = Files.readText("/proc/\(next)/task/\(thread)/children") ?? ""
        left += text.split(separator: " ").compactMap { Int32($0) }
      }
      let own = Files.readText("/proc/\(next)/comm") ?? ""
      if own.hasPrefix(name) { found.append(next) }
    }
    return found
  }

  public static func memory(_ pid: Int32) -> Memory? {
    // Reading as another user is refused and a process that is just ending has an empty file.
    guard let text = Files.readText("/proc/\(pid)/smaps_rollup"), !text.isEmpty else { return nil }
    return parseMemory(text)
  }

  static func parseMemory(_ text: String) -> Memory {
    var memory = Memory()
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ", omittingEmptySubsequences: true)
      guard words.count >= 2, let kilobytes = Int64(words[1]) else { continue }
      switch words[0] {
      case "Pss:": memory.proportional = kilobytes << 10
      case "Shared_Clean:", "Shared_Dirty:": memory.shared += kilobytes << 10
      case "Private_Clean:", "Private_Dirty:": memory.private += kilobytes << 10
      default: break
      }
    }
    return memory
  }

  /// Total and available bytes of the machine.
  public static func machineMemory() -> (total: Int64, available: Int64) {
    var total: Int64 = 0
    var available: Int64 = 0
    for line in (Files.readText("/proc/meminfo") ?? "").split(separator: "\n") {
      let words = line.split(separator: " ", omittingEmptySubsequences: true)
      guard words.count >= 2, let kilobytes = Int64(words[1]) else { continue }
      if words[0] == "MemTotal:" { total = kilobytes << 10 }
      if words[0] == "MemAvailable:" { available = kilobytes << 10 }
    }
    return (total, available)
  }

  /// Points of the file system where something is mounted, as this process sees it.
  public static func mountPoints() -> [String] {
    (Files.readText("/proc/self/mountinfo") ?? "").split(separator: "\n").compactMap {
      let fields = $0.split(separator: " ")
      return fields.count > 4 ? String(fields[4]) : nil
    }
  }
}
