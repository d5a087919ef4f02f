/// What the processes of a group have used and use, as its controllers count it; nil where there is no such controller.
public struct CgroupFigures: Sendable, Equatable {
  /// Without page cache that nobody looked at for a while.
  public var memoryBytes: Int64?
  public var memoryLimitBytes: Int64?
  public var cpuSeconds: Double?
  /// With all their threads, as the limit counts them.
  public var processes: Int?
  public var processesLimit: Int?
  public var periods: Int?
  public var throttledPeriods: Int?
  public var throttledSeconds: Double?
}

extension Cgroup {
  /// Reads a handful of small files; nil when the group is gone.
  public var figures: CgroupFigures? {
    guard folders.contains(where: Files.exists) else { return nil }
    var figures = CgroupFigures()
    if let folder = folder(.memory) {
      let isOld = version == .v1
      let used = Self.number("\(folder)/\(isOld ? "memory.usage_in_bytes" : "memory.current")")
      let unseen = Self.fields("\(folder)/memory.stat")[isOld ? "total_inactive_file" : "inactive_file"]
      figures.memoryBytes = used.map { max(0, $0 - (unseen ?? 0)) }
      // Without a limit version 1 tells the largest number there is.
      figures.memoryLimitBytes = memoryLimit.flatMap { $0 < 1 << 60 ? $0 : nil }
    }
    if let folder = folder(.cpu) {
      let fields = Self.fields("\(folder)/cpu.stat")
      figures.periods = fields["nr_periods"].map { Int($0) }
      figures.throttledPeriods = fields["nr_throttled"].map { Int($0) }
      switch version {
      case .v1:
        figures.throttledSeconds = fields["throttled_time"].map { Double($0) / 1e9 }
        // Mounted together with the controller that counts, on most machines.
        figures.cpuSeconds = Self.number("\(folder)/cpuacct.usage").map { Double($0) / 1e9 }
      case .v2:
        figures.throttledSeconds = fields["throttled_usec"].map { Double($0) / 1e6 }
        figures.cpuSeconds = fields["usage_usec"].map { Double($0) / 1e6 }
      }
    }
    if let folder = folder(.pids) {
      figures.processes = Self.number("\(folder)/pids.current").map { Int($0) }
      // Without a limit it says `max`.
      figures.processesLimit = Self.number("\(folder)/pids.max").map { Int($0) }
    }
    return figures
  }

  private static func number(_ file: String) -> Int64? {
    (Files.readText(file)?.split(separator: "\n").first).flatMap { Int64($0) }
  }

  /// `name number` lines.
  private static func fields(_ file: String) -> [Substring: Int64] {
    var result: [Substring: Int64] = [:]
    for line in (Files.readText(file) ?? "").split(separator: "\n") {
      let words = line.split(separator: " ")
      if words.count == 2, let value = Int64(words[1]) { result[words[0]] = value }
    }
    return result
  }
}
