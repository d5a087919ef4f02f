import Domain
import DriverAPI
import FoundationEssentials
import Synchronization

extension ImageDriver {
  private static let heartbeat = Duration.seconds(5)

  /// Watches the engine until the task is cancelled: ends of containers, their logs, whether the engine is there.
  public func run() async {
    await withDiscardingTaskGroup { group in
      group.addTask { await self.watch() }
      group.addTask {
        for await _ in self.toSweep {
          await self.insist { () throws(EngineError) in try await self.removeFormerSubnets() }
        }
      }
      for await instance in toFollow {
        group.addTask { await self.keepLog(of: instance) }
        group.addTask { _ = await self.stats(of: instance) }
      }
      group.cancelAll()
    }
  }

  private func watch() async {
    var since: String?
    var pause = Duration.milliseconds(100)
    while !Task.isCancelled {
      let began = "\(Int(Date().timeIntervalSince1970) - 1)"
      do throws(EngineError) {
        try await engine.ping()
        try await meet()
        clearTrouble()
        pause = .milliseconds(100)
        try await reconcile()
        since = try await follow(since: since ?? began) ?? since
      } catch {
        if !Task.isCancelled { noteTrouble(error) }
      }
      try? await Task.sleep(for: pause)
      pause = min(pause * 2, .seconds(1))
    }
  }

  /// Reads events until the engine ends the stream or stops answering; the moment of the last.
  private func follow(since: String) async throws(EngineError) -> String? {
    let (events, feed) = AsyncStream.makeStream(of: EngineEvent.self)
    let result: Result<String?, EngineError> = await withTaskGroup { group in
      group.addTask { await self.read(since: since, into: feed) }
      group.addTask { await self.beat() }
      group.addTask {
        for await event in events {
          guard let text = event.Actor.Attributes?[ContainerPlan.instanceLabel], let id = InstanceID(text)
          else { continue }
          await self.look(at: id)
        }
        return nil
      }
      var trouble: EngineError?
      while trouble == nil, !Task.isCancelled, let ended = await group.next() { trouble = ended ?? trouble }
      feed.finish()
      group.cancelAll()
      return trouble.map { .failure($0) } ?? .success(nil)
    }
    return try result.get()
  }

  private func read(since: String, into feed: AsyncStream<EngineEvent>.Continuation) async -> EngineError? {
    do throws(EngineError) {
      try await engine.events(
        labelled: "\(ContainerPlan.ownerLabel)=\(owner)", actions: ["die", "destroy"], since: since
      ) { event in
        feed.yield(event)
        return true
      }
    } catch { return error }
    return EngineError(.broken, "the container engine at \(engine.socket) ended")
  }

  /// Ends when the engine does not answer any more: its stream of events would just be silent. Looks at all containers now
  /// and then, since an event may be lost.
  private func beat() async -> EngineError? {
    while !Task.isCancelled {
      try? await Task.sleep(for: Self.heartbeat)
      if Task.isCancelled { return nil }
      do throws(EngineError) {
        try await engine.ping()
        try await reconcile()
      } catch { return error }
    }
    return nil
  }

  /// Looks at every container that should run and does not.
  private func reconcile() async throws(EngineError) {
    let wanted = state.withLock { state in
      state.containers.filter { !$0.value.hasEnded && !$0.value.isStopping && $0.value.handle != nil }.map(
        \.key)
    }
    guard !wanted.isEmpty else { return }
    let found = try await engine.containers(labelled: ["\(ContainerPlan.ownerLabel)=\(owner)"])
    let running = Set(found.filter { $0.State == "running" }.map(\.name))
    for id in wanted where !running.contains(ContainerPlan.container(id)) { await look(at: id) }
  }

  /// Reports the end of a container that has ended, once.
  func look(at id: InstanceID) async {
    guard let known = state.withLock({ $0.containers[id] }), !known.isStopping, !known.hasEnded else {
      return
    }
    let details: ContainerDetails?
    do throws(EngineError) { details = try await engine.container(ContainerPlan.container(id)) } catch {
      return noteTrouble(error)
    }
    guard details?.State.Running != true else { return }
    let error = await end(of: id, known, details)
    let isFirst = state.withLock { state in
      guard let now = state.containers[id], !now.hasEnded, !now.isStopping else { return false }
      state.containers[id]?.hasEnded = true
      return true
    }
    guard isFirst else { return }
    reports.yield(InstanceExit(node: known.node, release: known.release, instance: id, error: error))
  }

  /// How it ended, with the last lines that it wrote.
  func end(of id: InstanceID, _ known: KnownContainer, _ details: ContainerDetails?) async -> LastError {
    let tail = LineCollector()
    if details != nil {
      try? await engine.logs(of: ContainerPlan.container(id), tail: 20) { tail.add($0.text) }
    }
    return ContainerEnd(instance: id, known: known, state: details?.State, lines: tail.lines).error(
      at: configuration.now())
  }

  func noteTrouble(_ error: EngineError) {
    guard error.isOfEngine else { return }
    let now = configuration.now()
    let isNew = state.withLock { state in
      let isNew = state.trouble == nil
      state.trouble = EngineTrouble(message: error.message, since: state.trouble?.since ?? now)
      return isNew
    }
    if isNew { configuration.log("trouble with the engine: \(error.message)") }
  }

  private func clearTrouble() {
    let was = state.withLock { state in
      defer { state.trouble = nil }
      return state.trouble
    }
    if let was { configuration.log("the engine is back; away since \(was.since)") }
  }
}
