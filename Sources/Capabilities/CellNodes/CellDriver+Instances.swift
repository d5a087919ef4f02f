public import Domain
public import DriverAPI
import FoundationEssentials
import Glibc
import Sandboxing
import Synchronization

extension CellDriver {
  public func start(_ id: InstanceID, of launch: NodeLaunch) async throws(DriverFailure) -> InstanceHandle {
    let words = launcher.words(launch)
    guard let host = hosts.withLock({ $0[HostKey(launch.node, launch.release)] }), !host.process.hasEnded
    else {
      throw words.failure(
        .start, .missing,
        "node \(launch.nodeName) has no running host process; prepare it before starting instances")
    }
    let variables = try await variables(of: launch)
    return try await offload { () throws(DriverFailure) in try self.start(id, on: host, variables) }
  }

  private func start(
    _ id: InstanceID, on host: CellHost, _ variables: [String: String]
  ) throws(DriverFailure) -> InstanceHandle {
    if let handle = host.state.withLock({ $0.known[id]?.handle }),
      ProcessHandle(pid: handle.pid, startTicks: handle.startTicks)?.hasEnded == false
    {
      return handle
    }
    let group = host.group(of: id)
    do throws(DriverFailure) {
      let entries = try makeGroup(group, id, host)
      return try start(id, on: host, inside: group, entries: entries, variables)
    } catch {
      // Without an instance nothing else would remove it.
      group?.killAll()
      group?.remove()
      throw error
    }
  }

  /// The group with its limits, and the files by which the instance enters it.
  private func makeGroup(_ group: Cgroup?, _ id: InstanceID, _ host: CellHost) throws(DriverFailure)
    -> [FileHandle]
  {
    guard let group else { return [] }
    do throws(SystemFailure) {
      try group.make()
      try group.limit(
        CgroupLimits(
          cpus: host.launch.cpus, memoryBytes: host.launch.memoryBytes, pids: host.launch.pids,
          endsTogether: host.launch.isolation == .instance))
      return try group.openEntries()
    } catch {
      throw host.words.failure(.start, .refused, "the limits of instance \(id) can't be set: \(error)")
    }
  }

  private func start(
    _ id: InstanceID, on host: CellHost, inside group: Cgroup?, entries: [FileHandle],
    _ variables: [String: String]
  ) throws(DriverFailure) -> InstanceHandle {
    let words = host.words
    let deadline = Deadline(after: configuration.restoreDeadline)
    let path = host.folder.socket(of: id)
    var answer: ZygoteAnswer?
    var connection: UnixConnection?
    do throws(UnixConnection.Failure) {
      answer = try ControlSocket(host.folder).ask(
        .start, id, entries: entries, variables: variables, deadline: deadline, watching: host.process)
      if answer?.ok == true { connection = try UnixConnection(path: path) }
    } catch {
      throw startFailure(id, host, error)
    }
    guard let connection else { throw words.failure(.start, from: answer?.error) }
    guard let pid = connection.peer, let process = try? ProcessHandle(pid: pid) else {
      throw words.failure(.start, .missing, "instance \(id) ended as soon as it had started")
    }
    // It enters by itself. One of a zygote that an earlier version started, or whose state meddles with the
    // worker, doesn't: it's moved from here, before any code of the cell may run.
    if let group, !group.holds(pid) {
      do throws(SystemFailure) { try group.place(pid) } catch {
        process.signal(9)
        throw words.failure(.start, .refused, "instance \(id) can't be put inside its limits: \(error)")
      }
    }
    let handle = InstanceHandle(
      instance: id, node: host.launch.node, release: host.launch.release, pid: pid,
      startTicks: process.startTicks,
      endpoint: Endpoint(address: "unix:\(path)", wireProtocol: .frames))
    host.state.withLock { $0.known[id, default: CellHost.Known()].handle = handle }
    return handle
  }

  private func startFailure(_ id: InstanceID, _ host: CellHost, _ error: UnixConnection.Failure)
    -> DriverFailure
  {
    let words = host.words
    switch error {
    case .timedOut: return words.failure(.start, .hang, "instance \(id) didn't start in time")
    case .processEnded:
      return words.failure(.start, .missing, "the host process ended while it started instance \(id)")
    case .closed, .refused:
      // Its watcher knows how it ended, in a moment.
      if var end = host.end(of: id, within: .seconds(2)) {
        end.phase = .start
        return DriverFailure(end)
      }
      return words.failure(.start, .missing, "instance \(id) can't be reached on its socket")
    }
  }

  public func begin(_ handle: InstanceHandle) async throws(DriverFailure) {
    guard let host = await host(of: handle) else {
      throw DriverFailure(
        LastError(
          phase: .start, exitClass: .missing,
          message: "the host process of instance \(handle.instance) is gone; start a new instance",
          at: configuration.now()))
    }
    try await offload { () throws(DriverFailure) in try self.begin(handle, on: host) }
  }

  private func begin(_ handle: InstanceHandle, on host: CellHost) throws(DriverFailure) {
    let deadline = Deadline(after: configuration.restoreDeadline)
    let frame: FrameSocket.Frame
    do throws(UnixConnection.Failure) {
      let socket = try FrameSocket(path: host.folder.socket(of: handle.instance))
      try socket.send(.begin, tag: 1, payload: Array("{}".utf8), deadline: deadline)
      frame = try socket.receive(deadline: deadline, watching: host.process)
    } catch .timedOut {
      throw host.words.failure(.start, .hang, "instance \(handle.instance) wasn't ready in time")
    } catch {
      // Its watcher knows how it ended, in a moment.
      if var end = host.end(of: handle.instance, within: .seconds(2)) {
        end.phase = .start
        throw DriverFailure(end)
      }
      throw host.words.failure(
        .start, .missing, "instance \(handle.instance) closed its connection before it was ready")
    }
    if frame.kind == FrameSocket.Kind.ready.rawValue { return }
    let answer = try? JSONDecoder().decode(ZygoteAnswer.Failure.self, from: Data(frame.payload))
    throw host.words.failure(answer?.phase == "restore" ? .restore : .start, from: answer)
  }

  public func recover(_ handle: InstanceHandle) async -> Bool {
    ProcessHandle(pid: handle.pid, startTicks: handle.startTicks)?.hasEnded == false
  }

  /// True when the instance answered, or when it's alive and the check that is out is younger than the node's
  /// timeout and two seconds: then it's busy with a request.
  public func probe(_ handle: InstanceHandle, timeout: Duration) async -> Bool {
    guard let host = await host(of: handle) else { return false }
    return await offload { host.probe(handle, timeout: timeout) }
  }

  /// An exit that was asked for here isn't reported by `exits`.
  public func stop(_ handle: InstanceHandle, grace: Duration) async {
    let host = await host(of: handle)
    await offload {
      if let process = ProcessHandle(pid: handle.pid, startTicks: handle.startTicks), !process.hasEnded {
        host?.state.withLock { $0.known[handle.instance, default: CellHost.Known()].stopping = true }
        process.signal(15)
        if !process.wait(grace) {
          process.signal(9)
          _ = process.wait(.seconds(10))
        }
      }
      if let host {
        host.cleanUp(handle.instance)
      } else {
        self.cleanUpWithoutHost(handle)
      }
    }
  }

  public func kill(_ handle: InstanceHandle) async {
    ProcessHandle(pid: handle.pid, startTicks: handle.startTicks)?.signal(9)
  }

  public func freeze(_ handle: InstanceHandle, _ isFrozen: Bool) async -> Bool {
    ProcessHandle(pid: handle.pid, startTicks: handle.startTicks)?.signal(isFrozen ? SIGSTOP : SIGCONT)
      ?? false
  }

  public func usage(_ handle: InstanceHandle) async -> InstanceUsage? {
    await offload {
      guard let statistics = ProcFS.statistics(handle.pid), statistics.startTicks == handle.startTicks,
        let memory = ProcFS.memory(handle.pid)
      else { return nil }
      return InstanceUsage(
        proportionalBytes: memory.proportional, sharedBytes: memory.shared, privateBytes: memory.private,
        cpuSeconds: statistics.cpuSeconds)
    }
  }

  /// After a restart of the service, instances are asked for before their host is prepared: it's adopted then.
  private func host(of handle: InstanceHandle) async -> CellHost? {
    let key = HostKey(handle.node, handle.release)
    if let host = hosts.withLock({ $0[key] }) { return host }
    await gates.enter(key)
    let host = await offload { () -> CellHost? in
      if let host = self.hosts.withLock({ $0[key] }) { return host }
      guard let host = self.launcher.adopt(nil, folder: self.folder(key), timeout: .seconds(5)) else {
        return nil
      }
      self.watch(host)
      return host
    }
    await gates.leave(key)
    return host
  }

  /// What an instance left behind whose host is gone too.
  private func cleanUpWithoutHost(_ handle: InstanceHandle) {
    let folder = folder(HostKey(handle.node, handle.release))
    if let group = HostRecord.read(folder)?.group?.child(handle.instance.text) {
      group.killAll()
      group.remove()
    }
    Files.removeTree(folder.socket(of: handle.instance))
    Files.removeTree(folder.mark(of: handle.instance))
  }
}
