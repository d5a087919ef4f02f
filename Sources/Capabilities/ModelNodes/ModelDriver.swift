public import Domain
public import DriverAPI
import FoundationEssentials
import HTTPTransport
import Sandboxing
import Synchronization

/// Runs the instances of model nodes: a Triton Inference Server each, as a process in a sandbox.
///
/// Instances outlive this object and its process; what they were started with is in the folder of their release. `run` looks
/// after them: each model is asked from time to time, and one whose process has died is loaded anew.
public final class ModelDriver: InstanceDriver {
  public let capabilities: DriverCapabilities
  let configuration: ModelDriverConfiguration
  let sandbox: ModelSandbox
  let state = Mutex(State())
  let reports: AsyncStream<InstanceExit>.Continuation
  private let stream: AsyncStream<InstanceExit>

  struct State {
    var known: [InstanceID: Known] = [:]
    var isClosed = false
  }

  struct Known: Sendable {
    var handle: InstanceHandle
    var nodeName: String
    /// Its end is asked for, or was told.
    var isEnding = false
    /// It has answered for all its models.
    var isServing = false
    /// How much of what it printed is in the log.
    var printed = 0
    /// The processes of its models, as far as they are known.
    var stubs: [(process: ProcessHandle, model: String, version: Int)] = []
    /// Somebody looks at it; a model is being loaded anew; it was told that it takes no requests.
    var isLooking = false
    var isHealing = false
    var isOut = false
    /// Looks in a row that got no answer.
    var silent = 0
    /// When its models are asked next; nil: at the next look.
    var nextLook: ContinuousClock.Instant?
    /// Versions of models that were asked and have not answered in time: busy with the requests of others, slow, or stuck.
    var stalls: [Stall] = []
    /// It has answered for all its models just now, before it was put into rotation.
    var hasJustAnswered = false
  }

  struct Stall: Sendable {
    var model: String
    var version: Int
    var since: ContinuousClock.Instant
    /// What it had answered in all when it was asked.
    var answers: Int
  }

  public init(configuration: ModelDriverConfiguration) {
    self.configuration = configuration
    sandbox = ModelSandbox(configuration: configuration)
    var enforced = sandbox.tree.folders.keys.map(\.rawValue)
    var missing = Dictionary(uniqueKeysWithValues: sandbox.tree.missing.map { ($0.key.rawValue, $0.value) })
    for wall in ["network", "filesystem", "syscalls"] {
      if configuration.sandboxed { enforced.append(wall) } else { missing[wall] = "the sandbox is off" }
    }
    capabilities = DriverCapabilities(enforced: enforced.sorted(), missing: missing)
    (stream, reports) = AsyncStream.makeStream(of: InstanceExit.self)
  }

  public func exits() -> AsyncStream<InstanceExit> { stream }

  /// Lets go of all instances without ending them, as the end of the process would.
  public func close() {
    state.withLock { $0.isClosed = true }
    reports.finish()
    sandbox.tree.removeIfEmpty()
  }

  func folder(_ node: NodeID, _ release: Int) -> ModelFolder {
    ModelFolder(dataFolder: configuration.dataFolder, node: node, release: release)
  }

  func failure(
    _ phase: LastError.Phase, _ exitClass: LastError.ExitClass, _ message: String, traceback: [String] = []
  ) -> DriverFailure {
    DriverFailure(
      LastError(
        phase: phase, exitClass: exitClass, message: message, traceback: traceback, at: configuration.now()))
  }

  // MARK: Hosts: the model repository of a release

  public func prepare(_ launch: NodeLaunch) async throws(DriverFailure) -> HostReport {
    let made = try await offload { () throws(DriverFailure) in try self.makeRepository(launch) }
    guard let image = launch.model?.image else { return made }
    return try await prepareImage(launch, image, made)
  }

  private func makeRepository(_ launch: NodeLaunch) throws(DriverFailure) -> HostReport {
    let began = ContinuousClock.now
    guard let source = launch.model else { throw failure(.launch, .missing, "the node has no models") }
    if source.image == nil, let refusal = sandbox.refusal() { throw failure(.launch, .missing, refusal) }
    guard configuration.triton != nil || source.image != nil else {
      throw failure(
        .launch, .missing,
        "Triton Inference Server is not installed: put the wheel nvidia-pytriton into a folder (pip install --no-deps --target FOLDER nvidia-pytriton) and name it in the variable ROOST_TRITON of roost serve, or run make setup, or give an image that has it: --triton-image IMAGE"
      )
    }
    let folder = folder(launch.node, launch.release)
    do {
      for path in [folder.path, folder.repository, folder.files] { try Files.makeFolder(path, mode: 0o755) }
      let isInside = configuration.sandboxed || source.image != nil
      var order = RepositoryOrder(folder: folder.repository, models: [])
      if source.image != nil { order.server = .init(gpu: launch.gpus != nil) }
      for (index, (model, file)) in zip(source.models, launch.blobPaths).enumerated() {
        guard Files.exists(file) else {
          throw failure(
            .restore, .missing,
            "the file of model '\(source.title(model))' is missing in the registry (\(file))")
        }
        let own = "\(folder.files)/\(index)"
        if Files.size(own) != Files.size(file) { try Files.linkOrCopy(file, to: own) }
        order.models.append(
          RepositoryOrder.Model(
            name: model.name, version: model.number, alias: model.id.text, kind: model.facts.kind,
            file: isInside ? "/run/roost/files/\(index)" : own, inputs: model.facts.inputs,
            outputs: model.facts.outputs, labels: model.facts.labels, maxBatchSize: source.maxBatchSize,
            queueDelayMicroseconds: source.queueDelayMicroseconds,
            threads: max(1, Self.threads(launch) / (source.processes ?? 1)),
            instances: source.processes ?? 1, native: source.image.map { _ in source.nativeBackends ?? true },
            gpu: launch.gpus.map { _ in true },
            readable: own))
      }
      let plan = try repositoryPlan(order, source, folder)
      try Files.write(Array(try JSONEncoder().encode(plan)), to: folder.plan)
    } catch let error as DriverFailure {
      throw error
    } catch {
      throw failure(.launch, .refused, "the model repository can't be made: \(error)")
    }
    return HostReport(
      pid: 0, mode: "triton", modeReason: "each instance is a Triton Inference Server",
      restoreSeconds: (ContinuousClock.now - began) / .seconds(1), restored: source.titles)
  }

  /// Writes the repository. Nothing of a model is loaded for that.
  private func repositoryPlan(
    _ order: RepositoryOrder, _ source: ModelSource, _ folder: ModelFolder
  ) throws -> ModelPlan {
    struct Told: Decodable {
      var models: [String: ModelPlan.Canary]
      var flags: [String]?
      var usesPython: Bool?
    }
    struct Problem: Decodable { var message: String }
    let file = "\(folder.path)/order.json"
    let answer = "\(folder.path)/answer.json"
    try Files.write(Array(try JSONEncoder().encode(order)), to: file)
    let output = try CommandOutput.run(
      configuration.python, ["-m", "roost.model", "repository", file, "--answer", answer],
      environment: SystemEnvironment.values(["HOME", "PATH", "PYENV_ROOT"]).merging([
        "PYTHONPATH": configuration.pythonPath, "PYTHONDONTWRITEBYTECODE": "1",
      ]) { $1 }, timeout: .seconds(60))
    let data = Data(Files.readPlain(answer, limit: 1 << 20) ?? [])
    guard output.succeeded, let told = try? JSONDecoder().decode(Told.self, from: data) else {
      let problem = try? JSONDecoder().decode(Problem.self, from: data)
      throw failure(.restore, .refused, problem?.message ?? "roost.model: \(output.text.suffix(500))")
    }
    var models: [ModelPlan.Model] = []
    for name in order.models.map(\.name) where !models.contains(where: { $0.name == name }) {
      let versions = order.models.filter { $0.name == name }.sorted { $0.version < $1.version }
        .map { ModelPlan.Version(number: $0.version, alias: $0.alias) }
      models.append(
        .init(
          name: name, alias: versions.first?.alias ?? name, versions: versions,
          canary: told.models[name] ?? ModelPlan.Canary()))
    }
    return ModelPlan(
      models: models, loadSeconds: source.loadSeconds, image: source.image, flags: told.flags,
      usesPython: told.usesPython)
  }

  static func threads(_ launch: NodeLaunch) -> Int { max(1, Int(launch.cpus.rounded())) }

  public func retire(_ node: NodeID, release: Int) async {
    let folder = folder(node, release)
    if plan(of: folder)?.image != nil { await configuration.containers?.retire(node, release: release) }
    await offload {
      for instance in folder.instances { self.end(instance, in: folder, grace: .zero) }
      Files.removeTree(folder.path)
    }
  }

  public func sweep(keeping: @Sendable () async -> [(node: NodeID, release: Int)]?) async {
    let data = configuration.dataFolder
    let found = Files.list("\(data)/models").compactMap { ModelFolder(dataFolder: data, name: $0) }
    guard !found.isEmpty, let kept = await keeping() else { return }
    for folder in found
    where !kept.contains(where: { $0.node == folder.node && $0.release == folder.release }) {
      configuration.log("\(folder.name): removing a model repository that no node needs")
      await retire(folder.node, release: folder.release)
    }
  }
}
