import Glibc

/// Limits of a group; nil is no limit.
public struct CgroupLimits: Sendable, Equatable {
  public var cpus: Double?
  public var memoryBytes: Int64?
  public var pids: Int?
  /// For want of memory all processes of the group end, not only one. Version 1 can't: there it is one.
  public var endsTogether: Bool

  public init(
    cpus: Double? = nil, memoryBytes: Int64? = nil, pids: Int? = nil, endsTogether: Bool = true
  ) {
    self.endsTogether = endsTogether
    self.cpus = cpus
    self.memoryBytes = memoryBytes
    self.pids = pids
  }
}

/// One group: the same path in the hierarchy of each controller. A value; `make` creates the folders.
public struct Cgroup: Sendable, Codable, Equatable {
  public let version: CgroupTree.Version
  /// Folder by name of the controller; the same one for all in version 2.
  private let paths: [String: String]

  public init(version: CgroupTree.Version, folders: [CgroupController: String]) {
    self.version = version
    paths = Dictionary(uniqueKeysWithValues: folders.map { ($0.key.rawValue, $0.value) })
  }

  public var isEmpty: Bool { paths.isEmpty }

  public func folder(_ controller: CgroupController) -> String? { paths[controller.rawValue] }

  /// Folders without repetition, in a fixed order.
  public var folders: [String] { Set(paths.values).sorted() }

  /// The files another process is moved into the group by.
  public var memberFiles: [String] { folders.map { "\($0)/cgroup.procs" } }

  /// The files a process with a single thread enters the group by, writing `0`.
  ///
  /// In version 1 the kernel lets a thread move itself at once (0.05 ms); a write to `cgroup.procs` waits until
  /// no process forks anywhere (5 to 35 ms per controller). Version 2 has the latter only.
  public var entryFiles: [String] { folders.map { "\($0)/\(version == .v1 ? "tasks" : "cgroup.procs")" } }

  /// `entryFiles`, open: they can be handed to a process that can't see them by name.
  public func openEntries() throws(SystemFailure) -> [FileHandle] {
    var files: [FileHandle] = []
    for path in entryFiles { files.append(try FileHandle.open(path, .write)) }
    return files
  }

  /// Whether a process is in the group, in the hierarchies of all its controllers.
  public func holds(_ pid: Int32) -> Bool {
    folders.allSatisfy { folder in
      (Files.readText("\(folder)/cgroup.procs") ?? "").split(separator: "\n").contains { Int32($0) == pid }
    }
  }

  public func child(_ name: String) -> Cgroup {
    Cgroup(
      version: version,
      folders: Dictionary(
        uniqueKeysWithValues: paths.compactMap { path in
          CgroupController(rawValue: path.key).map { ($0, "\(path.value)/\(name)") }
        }))
  }

  /// Makes the group; existing is fine.
  /// - Parameter holdsGroups: it will hold groups, not processes (version 2 must know which controllers they
  /// get).
  public func make(holdsGroups: Bool = false) throws(SystemFailure) {
    for folder in folders { try Files.makeFolder(folder, mode: 0o755) }
    guard version == .v2, holdsGroups, let folder = folders.first else { return }
    for controller in paths.keys.sorted() {
      try Files.write("+\(controller)", toKernelFile: "\(folder)/cgroup.subtree_control")
    }
  }

  public func limit(_ limits: CgroupLimits) throws(SystemFailure) {
    if let folder = folder(.memory), let bytes = limits.memoryBytes {
      switch version {
      case .v1:
        // The limit with swap can't be below the one without: lift it first, then set both. It's missing
        // without swap accounting, where there is nothing to limit.
        let both = "\(folder)/memory.memsw.limit_in_bytes"
        if Files.exists(both) { try? Files.write("-1", toKernelFile: both) }
        try Files.write("\(bytes)", toKernelFile: "\(folder)/memory.limit_in_bytes")
        if Files.exists(both) { try? Files.write("\(bytes)", toKernelFile: both) }
      case .v2:
        try Files.write("\(bytes)", toKernelFile: "\(folder)/memory.max")
        if Files.exists("\(folder)/memory.swap.max") {
          try Files.write("0", toKernelFile: "\(folder)/memory.swap.max")
        }
        // All of an instance ends with one of its processes: half an instance answers wrongly.
        if Files.exists("\(folder)/memory.oom.group") {
          try Files.write(limits.endsTogether ? "1" : "0", toKernelFile: "\(folder)/memory.oom.group")
        }
      }
    }
    if let folder = folder(.cpu), let cpus = limits.cpus {
      let period = 100_000
      let quota = max(1000, Int(cpus * Double(period)))
      switch version {
      case .v1:
        try Files.write("\(period)", toKernelFile: "\(folder)/cpu.cfs_period_us")
        try Files.write("\(quota)", toKernelFile: "\(folder)/cpu.cfs_quota_us")
      case .v2: try Files.write("\(quota) \(period)", toKernelFile: "\(folder)/cpu.max")
      }
    }
    if let folder = folder(.pids), let pids = limits.pids {
      try Files.write("\(pids)", toKernelFile: "\(folder)/pids.max")
    }
  }

  /// Moves a process (with all its threads) into the group.
  public func place(_ pid: Int32) throws(SystemFailure) {
    for file in memberFiles { try Files.write("\(pid)", toKernelFile: file) }
  }

  /// Processes of the group and of those in it.
  public func members() -> [Int32] {
    var found = Set<Int32>()
    for folder in folders { Self.collect(folder, into: &found) }
    return found.sorted()
  }

  private static func collect(_ folder: String, into found: inout Set<Int32>) {
    for line in (Files.readText("\(folder)/cgroup.procs") ?? "").split(separator: "\n") {
      // 0 stands for a process that can't be seen from here.
      if let pid = Int32(line), pid > 0 { found.insert(pid) }
    }
    for name in subgroups(folder) { collect("\(folder)/\(name)", into: &found) }
  }

  private static func subgroups(_ folder: String) -> [String] {
    Files.list(folder).filter { Files.exists("\(folder)/\($0)/cgroup.procs") }
  }

  /// Names of the groups in this one.
  public func children() -> [String] {
    folders.reduce(into: Set<String>()) { $0.formUnion(Self.subgroups($1)) }.sorted()
  }

  /// SIGKILL to all processes of the group and of those in it, until none is left. False when some stay.
  @discardableResult
  public func killAll(timeout: Duration = .seconds(5)) -> Bool {
    let deadline = Deadline(after: timeout)
    if version == .v2, let folder = folders.first, Files.exists("\(folder)/cgroup.kill") {
      try? Files.write("1", toKernelFile: "\(folder)/cgroup.kill")
    }
    while true {
      let alive = members().filter { ProcFS.statistics($0).map { $0.state != "Z" } ?? false }
      if alive.isEmpty { return true }
      for pid in alive { kill(pid, SIGKILL) }
      if deadline.hasPassed { return false }
      usleep(2000)
    }
  }

  /// Removes the group with those in it; what is gone already is no error. The kernel needs a moment after
  /// the last process has ended, so it's tried again for a second. False when something stays.
  @discardableResult
  public func remove() -> Bool {
    let deadline = Deadline(after: .seconds(1))
    while true {
      let left = folders.filter { !Self.removeFolder($0) }
      if left.isEmpty { return true }
      if deadline.hasPassed { return false }
      usleep(2000)
    }
  }

  private static func removeFolder(_ folder: String) -> Bool {
    for name in subgroups(folder) { _ = removeFolder("\(folder)/\(name)") }
    return rmdir(folder) == 0 || errno == ENOENT
  }

  /// How often the kernel killed a process of this group for want of memory; nil without the controller.
  public var outOfMemoryKills: Int? {
    guard let folder = folder(.memory) else { return nil }
    let file = version == .v1 ? "memory.oom_control" : "memory.events"
    for line in (Files.readText("\(folder)/\(file)") ?? "").split(separator: "\n") {
      let words = line.split(separator: " ")
      if words.count == 2 && words[0] == "oom_kill" { return Int(words[1]) }
    }
    return nil
  }

  /// Most memory the group ever had.
  public var peakBytes: Int64? {
    guard let folder = folder(.memory) else { return nil }
    let file = version == .v1 ? "memory.max_usage_in_bytes" : "memory.peak"
    return (Files.readText("\(folder)/\(file)")?.split(separator: "\n").first).flatMap { Int64($0) }
  }

  public var memoryLimit: Int64? {
    guard let folder = folder(.memory) else { return nil }
    let file = version == .v1 ? "memory.limit_in_bytes" : "memory.max"
    return (Files.readText("\(folder)/\(file)")?.split(separator: "\n").first).flatMap { Int64($0) }
  }
}
