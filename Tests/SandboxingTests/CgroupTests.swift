import Glibc
import Testing

@testable import Sandboxing

struct CgroupPlacesTests {
  @Test func separateHierarchiesNestBelowTheOwnGroup() {
    let mounts = """
      30 20 0:26 / /sys/fs/cgroup/memory rw,relatime shared:1 - cgroup cgroup rw,memory
      31 20 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
      32 20 0:28 /docker/abc /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
      33 20 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
      """
    let places = CgroupPlaces(
      mounts: mounts, membership: "4:memory:/a/b\n3:cpu,cpuacct:/\n2:pids:/docker/abc/x\n0::/a\n")
    #expect(places.separate[.memory] == "/sys/fs/cgroup/memory/a/b")
    #expect(places.separate[.cpu] == "/sys/fs/cgroup/cpu,cpuacct")
    #expect(places.separate[.pids] == "/sys/fs/cgroup/pids/x")
    #expect(places.unified == "/sys/fs/cgroup/unified/a")
  }
}

/// The files of version 2 by a folder that stands for the kernel's: what is written where.
struct UnifiedCgroupTests {
  @Test func limitsAndCountersAreThoseOfVersionTwo() throws {
    let folder = try temporaryFolder()
    defer { Files.removeTree(folder) }
    let group = Cgroup(version: .v2, folders: [.cpu: folder, .memory: folder, .pids: folder])
    for file in ["memory.max", "memory.swap.max", "memory.oom.group", "cpu.max", "pids.max", "cgroup.procs"] {
      try Files.write([], to: "\(folder)/\(file)")
    }
    try Files.write(Array("low 0\noom 3\noom_kill 2\n".utf8), to: "\(folder)/memory.events")
    try Files.write(Array("4096\n".utf8), to: "\(folder)/memory.peak")
    try group.limit(CgroupLimits(cpus: 1.5, memoryBytes: 1 << 20, pids: 9))
    try group.place(4711)
    #expect(Files.readText("\(folder)/memory.max") == "1048576")
    #expect(Files.readText("\(folder)/memory.swap.max") == "0")
    #expect(Files.readText("\(folder)/memory.oom.group") == "1")
    try group.limit(CgroupLimits(memoryBytes: 1 << 20, endsTogether: false))
    #expect(Files.readText("\(folder)/memory.oom.group") == "0")
    #expect(Files.readText("\(folder)/cpu.max") == "150000 100000")
    #expect(Files.readText("\(folder)/pids.max") == "9")
    #expect(Files.readText("\(folder)/cgroup.procs") == "4711")
    #expect(group.outOfMemoryKills == 2)
    #expect(group.peakBytes == 4096)
    #expect(group.memberFiles == ["\(folder)/cgroup.procs"])
    #expect(group.entryFiles == group.memberFiles)
    #expect(group.holds(4711) && !group.holds(471))
  }
}

/// Where version 2 is mounted on this machine and groups can be made; with or without controllers.
private let unifiedFolder: String? = {
  let places = CgroupPlaces(
    mounts: Files.readText("/proc/self/mountinfo") ?? "",
    membership: Files.readText("/proc/self/cgroup") ?? "")
  if let folder = places.unified, Files.isWritable(folder) { return folder }
  print("skipped, this machine has no writable hierarchy of version 2")
  return nil
}()

@Suite(.enabled(if: unifiedFolder != nil))
struct UnifiedKernelTests {
  @Test func allProcessesOfAGroupAndItsSubgroupsAreKilled() throws {
    let folder = "\(try #require(unifiedFolder))/roost-unified-\(UInt32.random(in: 0 ..< .max))"
    let group = Cgroup(version: .v2, folders: [.memory: folder])
    let leaf = group.child("leaf")
    try leaf.make()
    defer {
      #expect(group.remove())
      #expect(!Files.exists(folder))
    }
    let nothing = try FileHandle.open("/dev/null", .read)
    let process = try SpawnRequest(
      executable: "/bin/sleep", arguments: ["100"],
      descriptors: [nothing.number, nothing.number, nothing.number],
      cgroupFiles: leaf.entryFiles
    ).start()
    #expect(group.children() == ["leaf"])
    #expect(group.members() == [process.pid])
    #expect(group.killAll())
    #expect(process.wait(.seconds(5)))
    #expect(process.reap() == .signaled(SIGKILL))
  }
}

/// A tree of this machine; nil (said in the output) where groups can't be made.
private let tree: CgroupTree? = {
  let tree = CgroupTree.detect(name: "roost-sandboxing-\(getpid())")
  if tree.missing.isEmpty { return tree }
  tree.removeIfEmpty()
  print("skipped, this machine has no writable cgroups: \(tree.missing)")
  return nil
}()

@Suite(.serialized, .enabled(if: tree != nil))
struct CgroupTests {
  /// Starts a command inside a group with limits and removes the group.
  private func inside(
    _ limits: CgroupLimits, _ script: String, _ check: (ProcessHandle, Cgroup) throws -> Void
  ) throws {
    let tree = try #require(tree)
    let group = tree.group("group-\(UInt32.random(in: 0 ..< .max))").child("leaf")
    let parent = tree.group(String(group.folders[0].split(separator: "/").dropLast().last ?? ""))
    try parent.make(holdsGroups: true)
    try group.make()
    try group.limit(limits)
    defer {
      parent.killAll()
      #expect(parent.remove())
      #expect(group.folders.allSatisfy { !Files.exists($0) })
      tree.removeIfEmpty()
    }
    let nothing = try FileHandle.open("/dev/null", .read)
    let process = try SpawnRequest(
      executable: "/bin/sh", arguments: ["-c", script], environment: ["PATH": "/usr/bin:/bin"],
      descriptors: [nothing.number, nothing.number, nothing.number], cgroupFiles: group.entryFiles
    ).start()
    try check(process, group)
    process.signal(SIGKILL)
    _ = process.wait(.seconds(5))
    _ = process.reap()
  }

  @Test func aProcessIsInItsGroupFromTheStart() throws {
    try inside(CgroupLimits(), "sleep 100 & sleep 100") { process, group in
      #expect(group.members().contains(process.pid))
      #expect(group.killAll())
      #expect(process.wait(.seconds(5)))
      #expect(process.reap() == .signaled(SIGKILL))
    }
  }

  @Test func memoryAboveTheLimitIsKilledAndCounted() throws {
    try inside(CgroupLimits(memoryBytes: 30 << 20), "x=$(head -c 200000000 /dev/zero | tr '\\0' a)") {
      process, group in
      #expect(process.wait(.seconds(20)))
      #expect(process.reap() == .signaled(SIGKILL))
      #expect(group.outOfMemoryKills == 1)
      #expect((group.peakBytes ?? 0) > 25 << 20)
    }
  }

  @Test func theNumberOfProcessesIsLimited() throws {
    let script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 100 & done; wait"
    try inside(CgroupLimits(pids: 4), script) { process, group in
      _ = process.wait(.milliseconds(500))
      #expect(group.members().count <= 4)
      let figures = try #require(group.figures)
      #expect(figures.processesLimit == 4 && (1...4).contains(figures.processes ?? 0))
    }
  }

  @Test func theProcessorIsShared() throws {
    try inside(CgroupLimits(cpus: 0.2), "while :; do :; done") { process, _ in
      _ = process.wait(.seconds(2))
      let seconds = try #require(ProcFS.statistics(process.pid)?.cpuSeconds)
      #expect(seconds < 1)
    }
  }
}

struct BubblewrapTests {
  @Test func theFilterLoadsAndRefusesWhatItNames() throws {
    #expect(SyscallFilter.refusedNames.contains("mount"))
    #expect(SyscallFilter.instructions().count < 4096)
    guard let executable = Files.findExecutable("bwrap"), Bubblewrap.trouble(executable) == nil else {
      print("skipped, this machine has no bubblewrap")
      return
    }
    let filter = try SyscallFilter.makeFile()
    let nothing = try FileHandle.open("/dev/null", .read)
    let folder = try temporaryFolder()
    defer { Files.removeTree(folder) }
    let output = try FileHandle.open("\(folder)/out", .append)
    let sandbox = Bubblewrap(bindings: [], environment: ["PATH": "/usr/bin:/bin"], filterDescriptor: 3)
    let process = try SpawnRequest(
      executable: executable,
      arguments: sandbox.arguments(["/bin/sh", "-c", "unshare -U true; echo $?; env"]),
      descriptors: [nothing.number, output.number, output.number, filter.number]
    ).start()
    #expect(process.wait(.seconds(20)))
    _ = process.reap()
    let text = Files.readText("\(folder)/out") ?? ""
    #expect(text.contains("Operation not permitted\n1\n"), "\(text)")
    #expect(!text.contains("HOME"), "\(text)")
  }

  @Test func hiddenFoldersCoverBindingsThatIncludeThem() {
    let sandbox = Bubblewrap(
      bindings: [.init("/opt"), .init("/opt/data/env"), .init("/usr/share", at: "/run/share")],
      hidden: ["/opt/data", "/srv/data"])
    let line = sandbox.arguments(["true"]).joined(separator: " ")
    #expect(line.contains("--tmpfs /opt/data --ro-bind /opt/data/env /opt/data/env"))
    #expect(!line.contains("/srv/data"))
    #expect(line.hasSuffix("-- true"))
    #expect(line.contains("--unshare-net"))
  }

  @Test func prefixesOfTheSystemNeedNoBinding() {
    #expect(
      Bubblewrap.prefixBindings(["/usr", "/usr/local", "/opt/env", "/", "/opt/env"]) == [.init("/opt/env")])
  }
}
