public import Domain
public import DriverAPI
import FoundationEssentials
import Sandboxing

/// Has `python -m roost.model inspect` look at a model's file, in a sandbox without network.
public struct ModelInspector: ModelReader {
  private let sandbox: ModelSandbox
  private var configuration: ModelDriverConfiguration { sandbox.configuration }
  static let time = Duration.seconds(120)
  static let memoryBytes: Int64 = 8 << 30

  public init(configuration: ModelDriverConfiguration) {
    sandbox = ModelSandbox(configuration: configuration)
  }

  public func read(
    _ path: String, kind: String?, signature: (inputs: [ModelTensor], outputs: [ModelTensor])?
  ) async throws(PlatformError) -> ModelFacts {
    try await offload { () throws(PlatformError) in try self.look(path, kind, signature) }
  }

  private func look(
    _ path: String, _ kind: String?, _ signature: (inputs: [ModelTensor], outputs: [ModelTensor])?
  ) throws(PlatformError) -> ModelFacts {
    if let refusal = sandbox.refusal() { throw PlatformError(.failedPrecondition, refusal) }
    let name = "look-\(OperationID.random())"
    let folder = "\(configuration.dataFolder)/models/\(name)"
    defer { Files.removeTree(folder) }
    let walls = configuration.sandboxed
    let inside = walls ? "/run/roost" : folder
    var words = [
      "roost.model", "inspect", walls ? "\(inside)/model" : path, "--answer", "\(inside)/answer/it",
    ]
    if let kind { words += ["--kind=\(kind)"] }
    for tensor in signature?.inputs ?? [] { words += ["--input=\(tensor.text)"] }
    for tensor in signature?.outputs ?? [] { words += ["--output=\(tensor.text)"] }
    let group = sandbox.group(name)
    defer {
      group?.killAll()
      group?.remove()
    }
    let process: ProcessHandle
    do throws(SystemFailure) {
      try Files.makeFolder("\(folder)/answer", mode: 0o777)
      process = try sandbox.start(
        ModelSandbox.Order(
          module: words, python: configuration.python, network: false,
          bindings: [
            .init(path, at: "/run/roost/model"),
            .init("\(folder)/answer", at: "/run/roost/answer", writable: true),
          ], hostname: "model", output: "\(folder)/output.txt",
          limits: CgroupLimits(cpus: 2, memoryBytes: Self.memoryBytes, pids: 256), group: name,
          diesWithParent: false))
    } catch { throw PlatformError(.internal, "the look at the model can't be started: \(error)") }
    guard process.wait(Self.time) else {
      group?.killAll()
      process.signal(9)
      _ = process.wait(.seconds(5))
      _ = process.reap()
      throw PlatformError(
        .deadlineExceeded,
        "file: loading the model took longer than \(Self.time.components.seconds) s; give inputs and outputs, then it is not loaded",
        origin: .caller, field: "file")
    }
    let end = process.reap()
    struct Problem: Decodable {
      var message: String
      var field: String?
    }
    let answer = Data(Files.readPlain("\(folder)/answer/it", limit: 1 << 20) ?? [])
    if end == .exited(0), let facts = try? JSONDecoder().decode(ModelFacts.self, from: answer) {
      return facts
    }
    if let problem = try? JSONDecoder().decode(Problem.self, from: answer) {
      throw PlatformError(.invalidArgument, problem.message, origin: .caller, field: problem.field)
    }
    if (group?.outOfMemoryKills ?? 0) > 0 {
      throw PlatformError(
        .resourceExhausted,
        "file: loading the model needs more than \(Self.memoryBytes >> 30) GiB of memory; give inputs and outputs, then it is not loaded",
        origin: .caller, field: "file")
    }
    let tail = Files.tail("\(folder)/output.txt", count: 500)
    throw PlatformError(
      .failedPrecondition,
      "file: Python ended while it loaded the model (\(end.map { "\($0)" } ?? "unknown")): \(tail)",
      origin: .caller, field: "file")
  }
}
