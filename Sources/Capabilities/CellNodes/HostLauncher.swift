import Domain
import DriverAPI
import FoundationEssentials
import Sandboxing

/// Brings a host up, finds one that runs, or ends one. Every call blocks its thread.
struct HostLauncher: Sendable {
  let configuration: CellDriverConfiguration
  let tree: CgroupTree
  /// Path of `bwrap`; nil when there is none.
  let bubblewrap: String?
  let bubblewrapTrouble: String?
  let interpreters: InterpreterBook

  func words(_ launch: NodeLaunch) -> FailureWords { FailureWords(launch: launch, now: configuration.now) }

  var sandboxed: Bool { configuration.sandbox == .required }

  // MARK: Launch

  /// - Parameter variables: of the run of the example.
  func launch(
    _ launch: NodeLaunch, folder: RunFolder, variables: [String: String]
  ) throws(DriverFailure) -> CellHost {
    let words = words(launch)
    try checkMachine(words)
    let environment = try environment(launch, words)
    do {
      try folder.fill(launch)
    } catch {
      switch error {
      case .checkpoint(let message): throw words.failure(.restore, .missing, message)
      case .system(let failure): throw words.failure(.launch, .refused, "\(failure)")
      }
    }
    let group = tree.folders.isEmpty ? nil : tree.group(folder.name)
    let outer: ProcessHandle
    do throws(SystemFailure) {
      if let group, let zygote = CellHost.zygoteGroup(group) {
        try group.make(holdsGroups: true)
        try zygote.make()
        try zygote.limit(
          CgroupLimits(cpus: max(1, launch.cpus), memoryBytes: launch.memoryBytes, pids: launch.pids))
      }
      outer = try spawn(launch, environment, folder: folder, group: group, words: words)
    } catch {
      throw words.failure(
        .launch, .refused, "the host process of node \(launch.nodeName) can't be started: \(error)")
    }
    var record = HostRecord(
      launch: launch, python: environment.place, pythonPath: configuration.pythonPath,
      sandboxed: sandboxed,
      outerPid: outer.pid, outerTicks: outer.startTicks, zygotePid: nil, zygoteTicks: nil, group: group)
    try save(record, folder, words)
    return try attach(&record, folder: folder, outer: outer, rehearsing: variables)
  }

  func save(_ record: HostRecord, _ folder: RunFolder, _ words: FailureWords) throws(DriverFailure) {
    do { try record.write(folder) } catch {
      throw words.failure(.launch, .refused, "the record of the host can't be written: \(error)")
    }
  }

  /// Nothing runs without walls unless the configuration says so.
  private func checkMachine(_ words: FailureWords) throws(DriverFailure) {
    guard sandboxed else { return }
    guard bubblewrap != nil else {
      throw words.failure(
        .launch, .missing,
        "cells can't be isolated: \(bubblewrapTrouble ?? ""), or run with --sandbox off on a machine where all code is trusted"
      )
    }
    guard tree.folders[.memory] != nil else {
      throw words.failure(
        .launch, .missing,
        "memory limits can't be set: \(tree.missing[.memory] ?? "no memory controller"); run as root, or delegate the memory, pids and cpu controllers to this user (systemd: Delegate=yes), or run with --sandbox off on a machine where all code is trusted"
      )
    }
  }

  private func environment(_ launch: NodeLaunch, _ words: FailureWords) throws(DriverFailure)
    -> CellEnvironment
  {
    let pin = launch.environment
    guard let found = configuration.environment(of: launch),
      pin == nil || Files.exists(found.root ?? found.python)
    else {
      throw words.failure(
        .launch, .missing,
        "the files of environment '\(pin?.name ?? "")' (\(pin?.lockDigest ?? "")) are missing in the data folder; make an environment of the same lock (roost environment get \(pin?.name ?? "NAME") -o json) and update the node to it"
      )
    }
    guard found.root == nil || sandboxed else {
      throw words.failure(
        .launch, .refused,
        "environment '\(pin?.name ?? "")' is made of an image, which needs the sandbox; start the server without --sandbox off"
      )
    }
    return found
  }

  private func spawn(
    _ launch: NodeLaunch, _ place: CellEnvironment, folder: RunFolder, group: Cgroup?, words: FailureWords
  ) throws(SystemFailure) -> ProcessHandle {
    let zygote = ZygoteConfiguration(
      launch, folder: folder, sandboxed: sandboxed, maxAnswerBytes: configuration.maxAnswerBytes,
      maxLogLineBytes: configuration.maxLogLineBytes)
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    guard let bytes = try? encoder.encode(zygote) else { throw SystemFailure("encode zygote.json", code: 22) }
    try Files.write(Array(bytes), to: folder.configuration)
    let python =
      place.root == nil
      ? try interpreters.interpreter(place.python) : Interpreter(executable: place.python, prefixes: [])
    let nothing = try FileHandle.open("/dev/null", .read)
    let output = try FileHandle.open(folder.output, .append)
    var request = SpawnRequest(
      executable: python.executable, descriptors: [nothing.number, output.number, output.number],
      cgroupFiles: CellHost.zygoteGroup(group)?.entryFiles ?? [],
      limits: [ResourceLimit(.coreBytes, 0)])
    var environment = place.variables
    let own = [
      "HOME": "/tmp", "LANG": "C.UTF-8", "PATH": place.variables["PATH"] ?? "/usr/local/bin:/usr/bin:/bin",
      "PYTHONDONTWRITEBYTECODE": "1",
      "PYTHONUNBUFFERED": "1", "ROOST_NODE": launch.nodeName, "TMPDIR": "/tmp",
    ]
    environment.merge(own) { $1 }
    if let fallback = configuration.fallbackPath {
      environment["ROOST_FALLBACK_PATH"] = sandboxed ? "/run/roost/fallback" : fallback
    }
    let module = ["-m", "roost.worker"]
    guard sandboxed, let bubblewrap else {
      environment["PYTHONPATH"] = configuration.pythonPath
      request.arguments = module + [folder.configuration]
      request.environment = environment
      request.noNewPrivileges = true
      return try request.start()
    }
    environment["PYTHONPATH"] =
      "/run/roost/python" + (place.variables["PYTHONPATH"].map { ":\($0)" } ?? "")
    let filter = try SyscallFilter.makeFile()
    let status = try FileHandle.open(folder.status, .append)
    request.descriptors += [filter.number, status.number]
    var sandbox = Bubblewrap(
      bindings: Bubblewrap.prefixBindings(
        python.prefixes + (place.root == nil ? configuration.readableFolders : []))
        + [
          .init("\(folder.settings)/passwd", at: "/etc/passwd"),
          .init("\(folder.settings)/group", at: "/etc/group"),
          .init(configuration.pythonPath, at: "/run/roost/python"),
        ] + (configuration.fallbackPath.map { [.init($0, at: "/run/roost/fallback")] } ?? []) + [
          .init(folder.configuration, at: "/run/roost/zygote.json"),
          .init(folder.manifest, at: "/run/roost/manifest.json"), .init(folder.blobs, at: "/run/roost/blobs"),
          .init(folder.sockets, at: "/run/roost/sock", writable: true),
          .init(folder.logFolder, at: "/run/roost/log", writable: true),
        ],
      hidden: [Files.resolved(configuration.dataFolder)], network: launch.subnet == .host,
      hostname: launch.nodeName, environment: environment, filterDescriptor: 3, statusDescriptor: 4)
    sandbox.root = place.root.map { .init($0) }
    request.executable = bubblewrap
    request.arguments = sandbox.arguments([python.executable] + module + ["/run/roost/zygote.json"])
    request.environment = ["PATH": "/usr/bin:/bin"]
    return try request.start()
  }
}
