public import Domain
public import DriverAPI
import Sandboxing
import Synchronization

extension ImageDriver {
  public func start(_ id: InstanceID, of launch: NodeLaunch) async throws(DriverFailure) -> InstanceHandle {
    let words = ImageWords(launch: launch, now: configuration.now)
    guard let source = launch.image,
      let prepared = state.withLock({ $0.prepared[HostName(launch.node, launch.release)] })
    else { throw words.failure(.start, .missing, "the image of the node is not here yet") }
    state.withLock {
      $0.containers[id] = KnownContainer(
        node: launch.node, nodeName: launch.nodeName, release: launch.release,
        memoryBytes: launch.memoryBytes, stopSeconds: source.stopSeconds, port: source.port,
        exposedPorts: prepared.ports)
    }
    let secrets: InstanceSecrets
    do throws(DriverFailure) { secrets = try await self.secrets(of: id, launch, source, words) } catch {
      secretFiles.remove(id)
      state.withLock { $0.containers[id] = nil }
      throw error
    }
    do throws(EngineError) {
      return try await start(id, launch, source, prepared, secrets)
    } catch {
      await discard(id, after: error)
      throw words.start(error, image: source.reference)
    }
  }

  /// A container that could not be started would stay for ever.
  private func discard(_ id: InstanceID, after error: EngineError) async {
    state.withLock { $0.containers[id]?.isStopping = true }
    if error.isOfEngine { noteTrouble(error) }
    // Where the engine is away, it's the next `prepare` that removes it.
    // The end of the service cancels this task, but not that one: a volume without a container would be found by nobody.
    if !error.isOfEngine { await Task { try? await self.remove(id) }.value }
    secretFiles.remove(id)
    state.withLock { $0.containers[id] = nil }
  }

  private func start(
    _ id: InstanceID, _ launch: NodeLaunch, _ source: ImageSource, _ prepared: PreparedImage,
    _ secrets: InstanceSecrets
  ) async throws(EngineError) -> InstanceHandle {
    let name = ContainerPlan.container(id)
    let network =
      subnet(of: launch).map { ContainerPlan.network($0.id) } ?? ContainerPlan.network(launch.node)
    var body = ContainerPlan.body(
      id, launch, source, image: prepared.pinned, owner: owner, cpus: prepared.cpus,
      secrets: secrets, network: network, rootBytes: prepared.disks.rootBytes)
    if source.diskGigabytes != nil {
      var labels = ContainerPlan.labels(launch, owner: owner)
      labels[ContainerPlan.instanceLabel] = id.text
      try await engine.createVolume(
        ContainerPlan.volume(id), options: prepared.disks.volumeOptions, labels: labels)
    }
    let asked = ContinuousClock.now
    do throws(EngineError) { try await make(name, body, launch, id) } catch {
      // Podman without its program that reaps processes: the image's own first process has to.
      guard error.message.contains("container-init binary not found") else { throw error }
      body.HostConfig.Init = nil
      try await make(name, body, launch, id)
    }
    try await give(secrets.files, to: name, source, prepared)
    let created = ContinuousClock.now
    try await engine.start(name)
    let times = (create: created - asked, start: ContinuousClock.now - created)
    state.withLock { $0.containers[id]?.startTimes = times }
    guard let details = try await engine.container(name) else {
      throw EngineError(.refused(404), "the container was removed as soon as it was started")
    }
    let address = details.address(in: network) ?? ""
    let pid = details.State.Pid ?? 0
    let handle = InstanceHandle(
      instance: id, node: launch.node, release: launch.release, pid: pid,
      startTicks: (try? ProcessHandle(pid: pid))?.startTicks ?? 0,
      endpoint: Endpoint(
        address: "\(address.isEmpty ? "0.0.0.0" : address):\(source.port)",
        wireProtocol: source.endpoint.type == "http" ? .http1 : .http2), zone: zone)
    state.withLock { $0.containers[id]?.handle = handle }
    follow(id)
    // It may be over already, and its event may have come before anybody knew of it.
    if !details.State.Running { await look(at: id) }
    return handle
  }

  private func make(
    _ name: String, _ body: ContainerBody, _ launch: NodeLaunch, _ id: InstanceID
  ) async throws(EngineError) {
    do throws(EngineError) {
      let made = try await engine.create(name, body)
      for warning in made.warnings { note(launch, "instance \(id): the engine warns: \(warning)") }
    } catch {
      // Made by a call whose answer was lost.
      guard error.kind == .refused(409) else { throw error }
    }
  }

  public func startTimes(of instance: InstanceID) async -> (create: Duration, start: Duration)? {
    state.withLock { $0.containers[instance]?.startTimes }
  }

  public func begin(_ handle: InstanceHandle) async throws(DriverFailure) {}

  /// True also while the engine can't be asked and nothing speaks against it: what answers may go on.
  public func recover(_ handle: InstanceHandle) async -> Bool {
    if let known = state.withLock({ $0.containers[handle.instance] }) { return !known.hasEnded }
    do throws(EngineError) {
      guard let details = try await engine.container(ContainerPlan.container(handle.instance)),
        details.State.Running
      else { return false }
      adopt(handle, details)
      return true
    } catch {
      noteTrouble(error)
      let process = ProcessHandle(pid: handle.pid, startTicks: handle.startTicks)
      guard handle.pid == 0 || handle.startTicks == 0 || process?.hasEnded == false else { return false }
      adopt(handle, nil)
      return true
    }
  }

  private func adopt(_ handle: InstanceHandle, _ details: ContainerDetails?) {
    let labels = details?.Config?.Labels ?? [:]
    let port = handle.endpoint.address.split(separator: ":").last.flatMap { Int($0) } ?? 0
    state.withLock {
      $0.containers[handle.instance] = KnownContainer(
        handle: handle, node: handle.node, nodeName: labels[ContainerPlan.nameLabel] ?? handle.node.text,
        release: handle.release, memoryBytes: details?.HostConfig?.Memory ?? 0, stopSeconds: 10,
        port: port, exposedPorts: [])
    }
    follow(handle.instance)
  }

  public func postmortem(_ handle: InstanceHandle) async -> LastError? {
    guard let details = try? await engine.container(ContainerPlan.container(handle.instance)) else {
      return nil
    }
    let labels = details.Config?.Labels ?? [:]
    let known = KnownContainer(
      handle: handle, node: handle.node, nodeName: labels[ContainerPlan.nameLabel] ?? handle.node.text,
      release: handle.release, memoryBytes: details.HostConfig?.Memory ?? 0, stopSeconds: 10, port: 0,
      exposedPorts: [])
    return await end(of: handle.instance, known, details)
  }

  /// The prober asks instances of images; this driver knows only whether the container runs.
  public func probe(_ handle: InstanceHandle, timeout: Duration) async -> Bool {
    state.withLock { $0.containers[handle.instance].map { !$0.hasEnded } ?? false }
  }

  public func stop(_ handle: InstanceHandle, grace: Duration) async {
    let id = handle.instance
    let name = ContainerPlan.container(id)
    state.withLock { $0.containers[id]?.isStopping = true }
    await insist { () throws(EngineError) in
      let hasEnded = self.state.withLock { $0.containers[id]?.hasEnded ?? true }
      if !hasEnded || grace > .zero { try await self.engine.stop(name, grace: grace) }
      if !hasEnded, grace == .zero { try await self.engine.kill(name) }
      await self.drainLog(id)
      try await self.remove(id)
    }
    state.withLock { $0.containers[id] = nil }
  }

  public func kill(_ handle: InstanceHandle) async {
    do throws(EngineError) { try await engine.kill(ContainerPlan.container(handle.instance)) } catch {
      noteTrouble(error)
    }
  }

  public func freeze(_ handle: InstanceHandle, _ isFrozen: Bool) async -> Bool {
    do throws(EngineError) {
      try await engine.kill(
        ContainerPlan.container(handle.instance), signal: isFrozen ? "SIGSTOP" : "SIGCONT")
      return true
    } catch {
      noteTrouble(error)
      return false
    }
  }

  /// What was last seen: an engine takes up to a second to answer, and who lists instances must not wait for each.
  public func usage(_ handle: InstanceHandle) async -> InstanceUsage? {
    state.withLock { state in
      let known = state.containers[handle.instance]
      return state.trouble == nil && known?.hasEnded == false ? known?.usage : nil
    }
  }

  /// Asks what a container uses, and keeps it for `usage`.
  func stats(of instance: InstanceID) async -> ContainerStats? {
    guard let stats = try? await engine.stats(of: ContainerPlan.container(instance)) else { return nil }
    let usage = InstanceUsage(
      proportionalBytes: stats.workingSet, sharedBytes: 0, privateBytes: stats.workingSet,
      cpuSeconds: stats.cpuSeconds)
    state.withLock { $0.containers[instance]?.usage = usage }
    return stats
  }
}
