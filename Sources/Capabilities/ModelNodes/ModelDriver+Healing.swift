import Domain
import DriverAPI
import Sandboxing
import Synchronization

/// Models whose process has died. Triton goes on saying that they are ready, and answers nothing.
extension ModelDriver {
  /// As Triton's python backend calls the process of a model; the kernel keeps 15 bytes.
  private static let stubName = "triton_python_b"

  /// Finds the processes of an instance's models, so that the end of one is seen at once. Those that `reloaded` had before may still be
  /// on their way out.
  func findStubs(_ handle: InstanceHandle, reloaded: ModelPlan.Model? = nil) {
    let former = state.withLock { $0.known[handle.instance]?.stubs ?? [] }.filter {
      $0.model == reloaded?.name || reloaded?.aliases.contains($0.model) == true
    }
    let found = ProcFS.descendants(of: handle.pid, named: Self.stubName).compactMap {
      pid -> (process: ProcessHandle, model: String, version: Int)? in
      // REPOSITORY/MODEL/VERSION/model.py is its first argument.
      let words = (Files.readText("/proc/\(pid)/cmdline") ?? "").split(separator: "\0")
      guard let file = words.first(where: { $0.hasSuffix("/model.py") }),
        let process = try? ProcessHandle(pid: pid),
        !former.contains(where: { $0.process.pid == pid && $0.process.startTicks == process.startTicks })
      else { return nil }
      let parts = file.split(separator: "/")
      guard parts.count > 2, let version = Int(parts[parts.count - 2]) else { return nil }
      return (process, String(parts[parts.count - 3]), version)
    }
    state.withLock { $0.known[handle.instance]?.stubs = found }
  }

  /// The version of the model of which a process has ended; others of it may still answer.
  func dead(_ handle: InstanceHandle, _ model: ModelPlan.Model) -> Int? {
    let stubs = state.withLock { $0.known[handle.instance]?.stubs ?? [] }
    let names = [model.name] + model.aliases
    return stubs.first { names.contains($0.model) && $0.process.hasEnded }?.version
  }

  /// Loads a model anew with all its versions, which Triton can't load apart. Meanwhile its instance takes no requests: they wait,
  /// or go to others.
  func heal(
    _ handle: InstanceHandle, _ model: ModelPlan.Model, _ version: Int, _ triton: TritonClient,
    _ time: Duration
  ) throws(TritonClient.Trouble) {
    let isMine = state.withLock { state in
      guard state.known[handle.instance]?.isHealing == false else { return false }
      state.known[handle.instance]?.isHealing = true
      state.known[handle.instance]?.isOut = true
      return true
    }
    guard isMine else { return waitForHealing(handle, time) }
    defer { state.withLock { $0.known[handle.instance]?.isHealing = false } }
    tell(
      handle, .leaves, "the Python process of \(model.title(version)) died: the model is loaded anew")
    if let crowd = crowd(handle) { throw .lost("\(model.title(version)) can't be loaded anew: \(crowd)") }
    do throws(TritonClient.Trouble) {
      try triton.reload(model, timeout: time)
    } catch {
      // Of a Triton that is gone its watcher tells why; that its models can't be loaded either says nothing.
      if case .silent = error { throw error }
      throw .lost("\(model.title(version)) can't be loaded anew: \(error.text)")
    }
    state.withLock { $0.known[handle.instance]?.stalls.removeAll { $0.model == model.name } }
    findStubs(handle, reloaded: model)
  }

  /// Each process that dies leaves Triton some forty threads for a while; at the limit of the instance it would stop in the middle of loading.
  private func crowd(_ handle: InstanceHandle) -> String? {
    guard let figures = sandbox.group(folder(handle.node, handle.release).group(handle.instance))?.figures,
      let used = figures.processes, let limit = figures.processesLimit, used > limit / 2
    else { return nil }
    return
      "Triton has \(used) threads and processes left of those that died before, of \(limit) that the instance may have"
  }

  /// Somebody else loads it.
  private func waitForHealing(_ handle: InstanceHandle, _ time: Duration) {
    let deadline = Deadline(after: time)
    guard let process = ProcessHandle(pid: handle.pid, startTicks: handle.startTicks) else { return }
    while state.withLock({ $0.known[handle.instance]?.isHealing ?? false }), !deadline.hasPassed {
      if process.wait(.milliseconds(50)) { return }
    }
  }

  // MARK: Models that take long

  /// Asks a version of a model; one that does not answer in time is looked after by `isStalled`.
  func ask(
    _ handle: InstanceHandle, _ model: ModelPlan.Model, _ version: Int, _ triton: TritonClient,
    _ folder: ModelFolder, _ timeout: Duration
  ) throws(TritonClient.Trouble) {
    let began = ContinuousClock.now
    do throws(TritonClient.Trouble) {
      try triton.ask(model, version, in: folder.repository, timeout: timeout)
    } catch .timedOut {
      let stall = Stall(
        model: model.name, version: version, since: began, answers: try triton.answers(model, version))
      state.withLock { $0.known[handle.instance]?.stalls.append(stall) }
    }
  }

  /// Whether a version of a model was asked before and has answered nothing since, neither this nor other requests. It is not asked once
  /// more meanwhile, which would only make its queue longer.
  func isStalled(
    _ handle: InstanceHandle, _ model: ModelPlan.Model, _ version: Int, _ triton: TritonClient,
    _ patience: Duration
  ) throws(TritonClient.Trouble) -> Bool {
    func isIt(_ stall: Stall) -> Bool { stall.model == model.name && stall.version == version }
    guard let stall = state.withLock({ $0.known[handle.instance]?.stalls.first(where: isIt) }) else {
      return false
    }
    guard try triton.answers(model, version) == stall.answers else {
      state.withLock { $0.known[handle.instance]?.stalls.removeAll(where: isIt) }
      // It answers: as good as an answer to the question.
      return true
    }
    let time = ContinuousClock.now - stall.since
    guard time < patience else {
      throw .lost(
        "\(model.title(version)) has answered nothing for \(time.components.seconds) s; give a longer --timeout if its requests take longer"
      )
    }
    return true
  }

  /// All models of an instance have answered.
  func returned(_ handle: InstanceHandle, _ plan: ModelPlan) {
    let wasOut = state.withLock { state in
      guard let known = state.known[handle.instance], known.isOut, !known.isHealing else { return false }
      state.known[handle.instance]?.isOut = false
      return true
    }
    guard wasOut else { return }
    tell(handle, .returns, "answers again for \(plan.models.map(\.name).joined(separator: ", "))")
  }

  private func tell(_ handle: InstanceHandle, _ rotation: InstanceExit.Rotation, _ message: String) {
    reports.yield(
      InstanceExit(
        node: handle.node, release: handle.release, instance: handle.instance,
        error: LastError(
          phase: .execute, exitClass: .exit, message: "instance \(handle.instance): \(message)",
          at: configuration.now()), rotation: rotation))
  }
}
