import Domain
import DriverAPI
import FoundationEssentials
import Sandboxing
import Synchronization

extension HostLauncher {
  /// The host of an earlier service process, if it runs and is of the same launch; nil when there is none to
  /// adopt.
  ///
  /// - Parameter launch: nil adopts whatever runs there.
  func adopt(_ launch: NodeLaunch?, folder: RunFolder, timeout: Duration? = nil) -> CellHost? {
    guard var record = HostRecord.read(folder), launch?.runsLike(record.launch) ?? true,
      record.sandboxed == sandboxed, record.python == configuration.environment(of: record.launch)?.place,
      record.pythonPath == configuration.pythonPath,
      let outer = ProcessHandle(pid: record.outerPid, startTicks: record.outerTicks), !outer.hasEnded
    else { return nil }
    if let launch { record.launch = launch }
    guard
      let host = try? attach(&record, folder: folder, outer: outer, timeout: timeout)
    else { return nil }
    configuration.log("\(folder.name): adopted the running host process \(host.process.pid)")
    return host
  }

  /// Waits for the zygote to say how its restore went, and watches it meanwhile.
  ///
  /// - Parameter rehearsing: has a new zygote run the node's example with these variables, where the launch wants that.
  func attach(
    _ record: inout HostRecord, folder: RunFolder, outer: ProcessHandle, timeout: Duration? = nil,
    rehearsing: [String: String]? = nil
  ) throws(DriverFailure) -> CellHost {
    let words = words(record.launch)
    let deadline = Deadline(after: timeout ?? configuration.restoreDeadline)
    while !deadline.hasPassed {
      if outer.hasEnded {
        var facts = HostEnd.facts(outer: outer, folder: folder)
        facts.read(CellHost.zygoteGroup(record.group))
        throw words.restoreEnded(facts, output: Files.tail(folder.output, count: 8192))
      }
      // The socket is there from the first moments of the zygote on, and answers when the restore has ended.
      guard let control = try? ControlSocket(folder), let pid = control.connection.peer,
        let process = try? ProcessHandle(pid: pid),
        var answer = try? control.ask(.info, deadline: deadline, watching: outer)
      else {
        _ = outer.wait(.milliseconds(5))
        continue
      }
      guard answer.ok, answer.state == "ready" else { throw words.failure(.restore, from: answer.error) }
      record.zygotePid = process.pid
      record.zygoteTicks = process.startTicks
      try save(record, folder, words)
      let running = (answer.instances ?? []).filter { $0.state == "running" }.compactMap { InstanceID($0.id) }
      if let rehearsing, let report = rehearse(record, folder, process, rehearsing) {
        answer.warmUp = report
      }
      return CellHost(
        record: record, folder: folder, words: words, process: process, outer: outer,
        report: report(answer, process), running: running)
    }
    let seconds = configuration.restoreDeadline.components.seconds
    throw words.failure(
      .restore, .hang,
      "the checkpoint wasn't restored within \(seconds) s; its objects may wait for something that isn't in the sandbox (a network, a file)",
      traceback: Files.tail(folder.output, count: 8192).split(separator: "\n").suffix(20).map(String.init))
  }

  private func report(_ answer: ZygoteAnswer, _ process: ProcessHandle) -> HostReport {
    var warnings = answer.warnings ?? []
    for controller in CgroupController.allCases {
      if let reason = tree.missing[controller] {
        warnings.append("no \(controller.rawValue) limit: \(reason)")
      }
    }
    return HostReport(
      pid: process.pid, mode: answer.mode ?? "fork", modeReason: answer.modeReason ?? "",
      restoreSeconds: answer.restoreSeconds ?? 0, restored: answer.restored ?? [], warnings: warnings,
      warmUp: answer.warmUp)
  }

  /// Has the zygote run the node's example in a fork with the limits of an instance. Never a reason not to serve.
  private func rehearse(
    _ record: HostRecord, _ folder: RunFolder, _ zygote: ProcessHandle, _ variables: [String: String]
  ) -> WarmUpReport? {
    let launch = record.launch
    guard let mode = launch.warmUp, mode != .off, launch.example != nil else { return nil }
    let group = record.group?.child("warm-up")
    defer {
      // What the example started ends with it.
      group?.killAll()
      group?.remove()
    }
    do {
      var entries: [FileHandle] = []
      if let group {
        try group.make()
        try group.limit(
          CgroupLimits(cpus: launch.cpus, memoryBytes: launch.memoryBytes, pids: launch.pids))
        entries = try group.openEntries()
      }
      let answer = try ControlSocket(folder).ask(
        .rehearse, entries: entries, variables: variables, deadline: Deadline(after: .seconds(30)),
        watching: zygote)
      guard answer.ok else {
        return WarmUpReport(state: "failed", message: answer.error?.errorMessage ?? "the example was not run")
      }
      return answer.warmUp
    } catch {
      return WarmUpReport(state: "failed", message: "the example was not run: \(error)")
    }
  }

  /// Ends a host with all that belongs to it; also what is left of one that a crash cut short.
  func tearDown(_ folder: RunFolder, host: CellHost?) {
    let record = HostRecord.read(folder)
    let zygote =
      host?.process
      ?? record.flatMap { record in
        record.zygotePid.flatMap { ProcessHandle(pid: $0, startTicks: record.zygoteTicks ?? 0) }
      }
    let outer =
      host?.outer ?? record.flatMap { ProcessHandle(pid: $0.outerPid, startTicks: $0.outerTicks) }
    if let zygote, !zygote.hasEnded, let control = try? ControlSocket(folder),
      (try? control.ask(.shutdown, deadline: Deadline(after: .seconds(2))))?.ok == true
    {
      // It gives its instances five seconds.
      _ = zygote.wait(.seconds(7))
    }
    let group = record?.group ?? (tree.folders.isEmpty ? nil : tree.group(folder.name))
    group?.killAll()
    zygote?.signal(9)
    outer?.signal(9)
    _ = outer?.wait(.seconds(5))
    _ = outer?.reap()
    group?.remove()
    Files.removeTree(folder.path)
  }
}
