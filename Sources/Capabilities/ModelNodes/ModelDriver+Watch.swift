public import Domain
public import DriverAPI
import Sandboxing
import Synchronization

extension ModelDriver {
  /// How often it is looked whether a model's process has ended; each so many times the models are asked.
  static let glance = Duration.milliseconds(200)
  static let glancesPerLook = 10
  /// Models are not asked before this many times of what their last answers took.
  static let sparing = 10
  /// A look may have taken long for another reason: it loaded a model anew.
  static let longestPause = Duration.seconds(100)
  /// Looks without an answer after which an instance is given up: its requests would wait for ever too.
  static let patience = 6
  static let longestOutput: Int64 = 8 << 20

  /// Looks after instances until it is cancelled.
  public func run() async {
    await withDiscardingTaskGroup { group in
      var glances = 0
      while !Task.isCancelled {
        try? await Task.sleep(for: Self.glance)
        glances += 1
        let isDue = glances % Self.glancesPerLook == 0
        for known in takeDue(isDue) { group.addTask { await self.watch(known) } }
      }
    }
  }

  /// Instances to ask now that nobody asks: all, or those of whose models a process has ended.
  private func takeDue(_ all: Bool) -> [Known] {
    state.withLock { state in
      let due = state.known.values.filter { known in
        known.isServing && !known.isEnding && !known.isLooking
          && (all || known.stubs.contains { $0.process.hasEnded })
      }
      for known in due { state.known[known.handle.instance]?.isLooking = true }
      return due
    }
  }

  private func watch(_ known: Known) async {
    let handle = known.handle
    defer { state.withLock { $0.known[handle.instance]?.isLooking = false } }
    let began = ContinuousClock.now
    let isDue = known.nextLook.map { began >= $0 } ?? true || known.stubs.contains { $0.process.hasEnded }
    let trouble = await offload {
      self.copyOutput(handle)
      return isDue ? self.look(handle, timeout: .seconds(10)) : nil
    }
    guard isDue else { return }
    guard let trouble else {
      return state.withLock { state in
        state.known[handle.instance]?.silent = 0
        // Of a model that is slow questions must not take more than a tenth.
        let isWaited = known.isOut || state.known[handle.instance]?.stalls.isEmpty == false
        let pause = isWaited ? .zero : min((ContinuousClock.now - began) * Self.sparing, Self.longestPause)
        state.known[handle.instance]?.nextLook = began + pause
      }
    }
    let silent = state.withLock { state in
      state.known[handle.instance]?.silent += 1
      return state.known[handle.instance]?.silent ?? 0
    }
    guard silent >= Self.patience || trouble.isFinal else { return }
    // A process that has ended, or is about to, is told by its watcher, with better words.
    guard await staysAlive(handle) else { return }
    let isFirst = state.withLock { state in
      guard let now = state.known[handle.instance], !now.isEnding else { return false }
      state.known[handle.instance]?.isEnding = true
      return true
    }
    guard isFirst else { return }
    reports.yield(
      InstanceExit(
        node: handle.node, release: handle.release, instance: handle.instance,
        error: LastError(
          phase: .probe, exitClass: .hang,
          message: "instance \(handle.instance) \(Self.verdict(trouble))",
          at: configuration.now())))
  }

  /// Why an instance is given up.
  static func verdict(_ trouble: TritonClient.Trouble) -> String {
    if case .lost(let text) = trouble { return "is replaced: \(text)" }
    return "does not answer a request made from the signatures of its models: \(trouble.text)"
  }

  /// Whether an instance still runs a moment after something failed. A Triton that dies closes its connections before it ends, and an
  /// engine tells of a container's end some time after it.
  private func staysAlive(_ handle: InstanceHandle) async -> Bool {
    let deadline = Deadline(after: .seconds(1))
    while await runs(handle) {
      guard !deadline.hasPassed else { return true }
      try? await Task.sleep(for: .milliseconds(20))
    }
    return false
  }

  /// Puts what an instance printed since the last time into the node's log.
  func copyOutput(_ handle: InstanceHandle) {
    let file = folder(handle.node, handle.release).output(handle.instance)
    guard let bytes = Files.read(file, limit: Int(Self.longestOutput) + (1 << 20)) else { return }
    let fresh = state.withLock { state -> ArraySlice<UInt8> in
      let from = min(state.known[handle.instance]?.printed ?? 0, bytes.count)
      let end = bytes.lastIndex(of: 0x0a).map { $0 + 1 } ?? from
      state.known[handle.instance]?.printed = max(from, end)
      return bytes[from..<max(from, end)]
    }
    for line in fresh.split(separator: 0x0a).suffix(1000) {
      let text = String(decoding: line.prefix(4096), as: UTF8.self)
      if Self.isNoise(text) { continue }
      configuration.record(handle.node, handle.instance, handle.release, text)
    }
    if bytes.count > Int(Self.longestOutput) {
      try? Files.write([], to: file)
      state.withLock { $0.known[handle.instance]?.printed = 0 }
    }
  }

  /// What Triton says of every machine without a GPU, and of each connection over a unix socket.
  static func isNoise(_ line: some StringProtocol) -> Bool {
    line.contains("CUDA driver version is insufficient") || line.contains("CudaDriverHelper")
      || line.contains("NODELAY NOT SUPPORTED")
  }

  /// From the groups of the instances.
  public func meters(_ handles: [InstanceHandle]) async -> [InstanceID: InstanceMeter] {
    let contained = handles.filter(\.isContained)
    let others = await configuration.containers?.meters(contained) ?? [:]
    return await offload {
      var result = others
      for handle in handles where !handle.isContained {
        let folder = self.folder(handle.node, handle.release)
        guard let figures = self.sandbox.group(folder.group(handle.instance))?.figures,
          let memory = figures.memoryBytes
        else { continue }
        result[handle.instance] = InstanceMeter(
          cpuSeconds: figures.cpuSeconds ?? 0, memoryBytes: memory,
          memoryLimitBytes: figures.memoryLimitBytes, processes: figures.processes, periods: figures.periods,
          throttledPeriods: figures.throttledPeriods, throttledSeconds: figures.throttledSeconds)
      }
      return result
    }
  }

  /// Known of containers only: what processes share isn't told apart.
  public func usage(_ handle: InstanceHandle) async -> InstanceUsage? {
    handle.isContained ? await configuration.containers?.usage(handle) : nil
  }

  public func startTimes(of instance: InstanceID) async -> (create: Duration, start: Duration)? {
    await configuration.containers?.startTimes(of: instance)
  }

  public func postmortem(_ handle: InstanceHandle) async -> LastError? {
    handle.isContained ? await configuration.containers?.postmortem(handle) : nil
  }

  /// Of the engine, which nodes without an image don't need.
  public func trouble() async -> String? { await configuration.containers?.trouble() }
  public func progress(of node: NodeID) async -> String? {
    await configuration.containers?.progress(of: node)
  }
  public func forget(_ node: NodeID) async { await configuration.containers?.forget(node) }
}
