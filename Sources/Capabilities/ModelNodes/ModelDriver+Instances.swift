public import Domain
public import DriverAPI
import FoundationEssentials
import Sandboxing
import Synchronization

extension ModelDriver {
  public func start(_ id: InstanceID, of launch: NodeLaunch) async throws(DriverFailure) -> InstanceHandle {
    if let image = launch.model?.image { return try await startContainer(id, launch, image) }
    return try await offload { () throws(DriverFailure) in try self.startNow(id, launch) }
  }

  private func startNow(_ id: InstanceID, _ launch: NodeLaunch) throws(DriverFailure) -> InstanceHandle {
    let folder = folder(launch.node, launch.release)
    guard let plan = plan(of: folder), let triton = configuration.triton else {
      throw failure(.start, .missing, "the model repository of the node is not made yet")
    }
    let python: String
    if let pin = launch.environment {
      guard let found = configuration.environment(pin.lockDigest) else {
        throw failure(
          .launch, .missing,
          "the interpreter of environment '\(pin.name)' is missing in the data folder, or is that of an image, which models can't run in; use another environment"
        )
      }
      python = found
    } else {
      python = configuration.python
    }
    let walls = configuration.sandboxed
    do {
      try Files.makeFolder("\(folder.instance(id))/own", mode: 0o755)
      try Files.makeFolder(folder.sockets(id), mode: 0o700)
      var order = StartOrder(
        triton: triton, repository: walls ? "/run/roost/repository" : folder.repository,
        folder: walls ? "/tmp" : "\(folder.instance(id))/own",
        sockets: walls ? "/run/roost/sockets" : folder.sockets(id), models: [], key: Self.key(),
        prefix: "roost\(id.text.suffix(17))_",
        modelThreads: Self.threads(launch), python: walls ? "/run/roost/python" : configuration.pythonPath,
        answerSeconds: Double(launch.timeoutMilliseconds) / 1000)
      try Files.write(Array(try JSONEncoder().encode(order)), to: folder.start(id), mode: 0o644)
      order.models = plan.models.map(\.name)
      let process = try sandbox.start(
        ModelSandbox.Order(
          module: ["roost.model.tritonserver", walls ? "/run/roost/start.json" : folder.start(id)],
          python: python, network: launch.subnet == .host,
          bindings: [
            .init(triton), .init(folder.repository, at: "/run/roost/repository"),
            .init(folder.files, at: "/run/roost/files"), .init(folder.start(id), at: "/run/roost/start.json"),
            .init(folder.sockets(id), at: "/run/roost/sockets", writable: true),
          ], hostname: launch.nodeName, output: folder.output(id),
          limits: CgroupLimits(cpus: launch.cpus, memoryBytes: launch.memoryBytes, pids: launch.pids),
          group: folder.group(id), diesWithParent: false))
      let handle = InstanceHandle(
        instance: id, node: launch.node, release: launch.release, pid: process.pid,
        startTicks: process.startTicks,
        endpoint: Endpoint(address: folder.address(.http, of: id), wireProtocol: .http1),
        callEndpoint: Endpoint(address: folder.address(.grpc, of: id), wireProtocol: .http2),
        metricsAddress: folder.address(.metrics, of: id))
      know(handle, launch.nodeName, process)
      return handle
    } catch {
      end(id, in: folder, grace: .zero)
      throw failure(.start, .refused, "instance \(id) can't be started: \(error)")
    }
  }

  /// Names a caller who may change what is served.
  static func key() -> String {
    var random = SystemRandomNumberGenerator()
    return (0..<4).map { _ in String(random.next(), radix: 36) }.joined()
  }

  func plan(of folder: ModelFolder) -> ModelPlan? {
    Files.read(folder.plan).flatMap { try? JSONDecoder().decode(ModelPlan.self, from: Data($0)) }
  }

  func order(_ handle: InstanceHandle) -> StartOrder? {
    Files.read(folder(handle.node, handle.release).start(handle.instance)).flatMap {
      try? JSONDecoder().decode(StartOrder.self, from: Data($0))
    }
  }

  /// Keeps an instance in mind and tells its end.
  private func know(_ handle: InstanceHandle, _ name: String, _ process: ProcessHandle) {
    state.withLock { $0.known[handle.instance] = Known(handle: handle, nodeName: name) }
    startThread {
      while !process.wait(.seconds(3600)) {}
      let end = process.reap()
      self.ended(handle, end)
    }
  }

  private func ended(_ handle: InstanceHandle, _ end: ProcessEnd?) {
    let isTold = state.withLock { state in
      let told = state.isClosed || state.known[handle.instance]?.isEnding ?? true
      state.known[handle.instance]?.isEnding = true
      return told
    }
    guard !isTold else { return }
    let folder = folder(handle.node, handle.release)
    copyOutput(handle)
    let kills = sandbox.group(folder.group(handle.instance))?.outOfMemoryKills ?? 0
    let how = end.map { "\($0)" } ?? "unknown"
    let error =
      kills > 0
      ? LastError(
        phase: .execute, exitClass: .outOfMemory,
        message:
          "instance \(handle.instance) needed more memory than its limit; raise --memory, or use a larger configuration",
        at: configuration.now())
      : LastError(
        phase: .execute, exitClass: .exit,
        message: "Triton of instance \(handle.instance) ended (\(how)): \(lastWords(handle))",
        at: configuration.now())
    reports.yield(
      InstanceExit(node: handle.node, release: handle.release, instance: handle.instance, error: error))
  }

  func lastWords(_ handle: InstanceHandle) -> String {
    let tail = Files.tail(folder(handle.node, handle.release).output(handle.instance), count: 1 << 16)
    return Self.lastWords(tail)
  }

  /// The end of what an instance printed. Frames of a crash tell nothing without Triton's symbols, and stand behind the reason.
  static func lastWords(_ tail: String) -> String {
    let lines = tail.split(separator: "\n").filter { !isNoise($0) && !isFrame($0) }
    return lines.isEmpty ? "it said nothing" : String(lines.joined(separator: "\n").suffix(400))
  }

  /// ` 3# gsignal in /lib/libc.so.6`
  private static func isFrame(_ line: Substring) -> Bool {
    let words = line.split(separator: " ", maxSplits: 1)
    guard let number = words.first, number.last == "#", words.count == 2 else { return false }
    return Int(number.dropLast()) != nil
  }

  // MARK: Loading

  public func begin(_ handle: InstanceHandle) async throws(DriverFailure) {
    if handle.isContained { return try await beginContainer(handle) }
    try await offload { () throws(DriverFailure) in try self.load(handle) }
  }

  private func load(_ handle: InstanceHandle) throws(DriverFailure) {
    guard let order = order(handle) else {
      throw failure(.start, .missing, "the files of instance \(handle.instance) are gone")
    }
    let triton = TritonClient(handle, key: order.key)
    let process = ProcessHandle(pid: handle.pid, startTicks: handle.startTicks)
    let deadline = Deadline(after: .seconds(60))
    while !(try adopt(handle) && triton.isLive()) {
      guard let process, !process.wait(.milliseconds(50)) else {
        copyOutput(handle)
        throw failure(.start, .exit, "Triton ended before it answered: \(lastWords(handle))")
      }
      guard !deadline.hasPassed else { throw failure(.start, .hang, "Triton did not answer within 60 s") }
    }
    try loadModels(handle, order)
  }

  /// Gives the sockets of a Triton names outside of its walls, as soon as all are there. In its own folder a model could put a link
  /// to the socket of another service in a socket's place, and callers of the model would be led there.
  private func adopt(_ handle: InstanceHandle) throws(DriverFailure) -> Bool {
    guard handle.endpoint.address.hasPrefix("unix:") else { return true }
    let folder = folder(handle.node, handle.release)
    var isComplete = true
    for service in ModelService.allCases {
      do throws(SystemFailure) {
        isComplete =
          try Files.linkSocket(
            "\(folder.sockets(handle.instance))/\(service.file)",
            to: "\(folder.instance(handle.instance))/\(service.rawValue)")
          && isComplete
      } catch {
        throw failure(.start, .refused, "instance \(handle.instance) can't be reached: \(error)")
      }
    }
    return isComplete
  }

  /// Has the models of a Triton that answers loaded, and asks each.
  func loadModels(_ handle: InstanceHandle, _ order: StartOrder) throws(DriverFailure) {
    let folder = folder(handle.node, handle.release)
    guard let plan = plan(of: folder) else {
      throw failure(.start, .missing, "the files of instance \(handle.instance) are gone")
    }
    let triton = TritonClient(handle, key: order.key)
    for model in plan.models {
      try load(model, triton, plan)
      for version in model.served {
        do throws(TritonClient.Trouble) {
          try triton.ask(model, version.number, in: folder.repository, timeout: order.longestAnswer)
        } catch .timedOut {
          throw failure(
            .restore, .timeout,
            "\(model.title(version.number)) was loaded, but did not answer the smallest request that its signature allows within \(order.longestAnswer.components.seconds) s; give a longer --timeout if its requests take longer"
          )
        } catch {
          throw failure(
            .restore, .exception,
            "\(model.title(version.number)) was loaded, but a request of zeros made from its signature fails: \(error.text); is the signature right?"
          )
        }
      }
    }
    copyOutput(handle)
    findStubs(handle)
    state.withLock {
      $0.known[handle.instance]?.isServing = true
      $0.known[handle.instance]?.hasJustAnswered = true
    }
  }

  private func load(_ model: ModelPlan.Model, _ triton: TritonClient, _ plan: ModelPlan) throws(DriverFailure)
  {
    do throws(TritonClient.Trouble) {
      try triton.load(model.name, timeout: .seconds(plan.seconds(model)))
      // Mostly at once; a model whose input and output have one name is loaded once more.
      for alias in model.aliases { try triton.load(alias, timeout: .seconds(max(30, plan.loadSeconds))) }
    } catch {
      switch error {
      case .timedOut:
        throw failure(
          .restore, .timeout,
          "model '\(model.name)' was not loaded within \(plan.seconds(model)) s; give --load-timeout if it takes longer"
        )
      case .silent(let text):
        throw failure(.restore, .exit, "Triton went away while it loaded model '\(model.name)': \(text)")
      case .refused(let text), .lost(let text):
        let told = Self.cause(text)
        throw failure(
          .restore, .exception,
          "\(model.title(Self.version(text) ?? 1)) can't be loaded: \(told.message)\(plan.image.map { advice(told.message, $0) } ?? "")",
          traceback: told.traceback)
      }
    }
  }

  /// The first version that Triton says it could not load.
  static func version(_ text: String) -> Int? {
    guard let end = text.firstRange(of: " is at UNAVAILABLE state: ")?.lowerBound,
      let number = text[..<end].split(separator: " ").last
    else { return nil }
    return Int(number)
  }

  /// What to do about an image that can't load a model.
  private func advice(_ told: String, _ image: String) -> String {
    if told.contains("No module named") {
      return
        "; models in image \(image) find their packages in the image: add the package, or leave --triton-image out and give --environment"
    }
    if told.contains("execute permission to triton_python_backend_stub") {
      return
        "; Triton's python backend needs to own its files: image \(image) must run as the owner of /opt/tritonserver/backends/python, as NVIDIA's do"
    }
    // Triton looks for the backend's library in its folder of backends.
    if told.contains("unable to find backend library") || told.contains("unable to find '") {
      return
        "; image \(image) has not this backend: take an image that has it, or give --native-backends off, for which the image needs Python and the model's package"
    }
    return ""
  }

  /// What Python said, out of what Triton says.
  static func cause(_ text: String) -> (message: String, traceback: [String]) {
    var rest = text[...]
    for marker in ["UNAVAILABLE state: ", "Internal: ", "ModelError: "] {
      if let place = rest.firstRange(of: marker) { rest = rest[place.upperBound...] }
    }
    let parts = String(rest).split(separator: "\n", omittingEmptySubsequences: true).map(String.init)
    let at = parts.firstIndex { $0.hasPrefix("At:") } ?? parts.count
    let message = parts[..<at].joined(separator: " ")
    let trace = parts[at...].dropFirst().map { String($0.drop { $0 == " " }) }.filter { $0 != ";" }
    return (message.hasSuffix(";") ? String(message.dropLast()) : message, Array(trace.suffix(10)))
  }

  public func recover(_ handle: InstanceHandle) async -> Bool {
    if handle.isContained { return await recoverContainer(handle) }
    guard let process = ProcessHandle(pid: handle.pid, startTicks: handle.startTicks), !process.hasEnded
    else { return false }
    if state.withLock({ $0.known[handle.instance] == nil }) {
      know(handle, handle.node.text, process)
      findStubs(handle)
      state.withLock { $0.known[handle.instance]?.isServing = true }
    }
    return true
  }

  public func probe(_ handle: InstanceHandle, timeout: Duration) async -> Bool {
    let isFresh = state.withLock { state in
      defer { state.known[handle.instance]?.hasJustAnswered = false }
      return state.known[handle.instance]?.hasJustAnswered ?? false
    }
    if isFresh { return true }
    return await offload { self.look(handle, timeout: timeout) == nil }
  }

  /// Asks each version of each model; what is wrong with the first that fails. One whose process is dead is loaded anew first.
  func look(_ handle: InstanceHandle, timeout: Duration) -> TritonClient.Trouble? {
    let folder = folder(handle.node, handle.release)
    guard let plan = plan(of: folder), let order = order(handle) else { return .silent("its files are gone") }
    let triton = TritonClient(handle, key: order.key)
    for model in plan.models {
      do throws(TritonClient.Trouble) {
        let time = Duration.seconds(plan.seconds(model))
        if let version = dead(handle, model) { try heal(handle, model, version, triton, time) }
        for version in model.served.map(\.number) {
          if try isStalled(handle, model, version, triton, order.patience) { continue }
          do throws(TritonClient.Trouble) {
            try ask(handle, model, version, triton, folder, timeout)
          } catch  where error.isDeadStub {
            try heal(handle, model, version, triton, time)
            try ask(handle, model, version, triton, folder, timeout)
          }
        }
      } catch { return error }
    }
    if state.withLock({ $0.known[handle.instance]?.stalls.isEmpty ?? true }) { returned(handle, plan) }
    return nil
  }

  // MARK: Ending

  public func stop(_ handle: InstanceHandle, grace: Duration) async {
    state.withLock { $0.known[handle.instance]?.isEnding = true }
    // Requests were drained before: nothing is left to wait for.
    if handle.isContained { await configuration.containers?.stop(handle, grace: .zero) }
    await offload { self.end(handle.instance, in: self.folder(handle.node, handle.release), grace: grace) }
  }

  public func kill(_ handle: InstanceHandle) async {
    if handle.isContained { return await configuration.containers?.kill(handle) ?? () }
    await offload {
      let folder = self.folder(handle.node, handle.release)
      if self.sandbox.group(folder.group(handle.instance))?.killAll() == nil {
        ProcessHandle(pid: handle.pid, startTicks: handle.startTicks)?.signal(9)
      }
    }
  }

  /// Requests were drained before: nothing is left to wait for.
  func end(_ id: InstanceID, in folder: ModelFolder, grace: Duration) {
    let handle = state.withLock { state in
      state.known[id]?.isEnding = true
      return state.known[id]?.handle
    }
    let group = sandbox.group(folder.group(id))
    group?.killAll()
    if let handle, let process = ProcessHandle(pid: handle.pid, startTicks: handle.startTicks) {
      process.signal(9)
      _ = process.wait(.seconds(5))
    }
    group?.remove()
    // Within walls the memory that it shares with the processes of its models is its own, and gone.
    if !configuration.sandboxed {
      let prefix = "roost\(id.text.suffix(17))_"
      for name in Files.list("/dev/shm") where name.hasPrefix(prefix) { Files.removeTree("/dev/shm/\(name)") }
    }
    Files.removeTree(folder.instance(id))
    state.withLock { $0.known[id] = nil }
  }
}
