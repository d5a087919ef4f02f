import Domain
import DriverAPI
import FoundationEssentials
import Glibc
import Sandboxing

/// One build, from its order to the environment in its place. Blocks its thread.
struct BuildRun {
  let builder: EnvironmentBuilder
  let order: EnvironmentOrder

  private var configuration: EnvironmentConfiguration { builder.configuration }
  private var folders: EnvironmentFolders { builder.folders }
  private var folder: String { folders.building(order.id) }

  enum Step: String {
    case resolve, install, finish, unpack

    var words: String {
      switch self {
      case .resolve: "resolving"
      case .install: "installing"
      case .finish: "compiling"
      case .unpack: "unpacking"
      }
    }
  }

  /// What the steps read: `Order` of steps.py.
  struct StepOrder: Encodable {
    var uv: String
    var python: String
    var requirements: String
    var locked: Bool
    var indexUrl: String?
    var findLinks: [String]
    var offline: Bool
    var allowSource: Bool
    var folder: String
    var cache: String
    var log: String

    func encode(to encoder: any Encoder) throws {
      var container = encoder.container(keyedBy: CodingKeys.self)
      try container.encode(uv, forKey: .uv)
      try container.encode(python, forKey: .python)
      try container.encode(requirements, forKey: .requirements)
      try container.encode(locked, forKey: .locked)
      try container.encode(indexUrl, forKey: .indexUrl)
      try container.encode(findLinks, forKey: .findLinks)
      try container.encode(offline, forKey: .offline)
      try container.encode(allowSource, forKey: .allowSource)
      try container.encode(folder, forKey: .folder)
      try container.encode(cache, forKey: .cache)
      try container.encode(log, forKey: .log)
    }
    private enum CodingKeys: String, CodingKey {
      case uv, python, requirements, locked, indexUrl, findLinks, offline, allowSource, folder, cache, log
    }
  }

  private struct Resolved: Decodable {
    var digest: String
    var lock: String
  }

  private struct Built: Decodable {
    var python: String
    var packages: [EnvironmentPackage]
    var sizeBytes: Int64
  }

  func run() throws(PlatformError) -> BuiltEnvironment {
    defer { builder.removeReadOnly(folder) }
    let interpreter = try builder.interpreter(order.python)
    let uv = try builder.uv()
    let places = try builder.places(order)
    try builder.checkWalls()
    // Files of an earlier process: it may still run where this one has been killed.
    Self.endLeftOver(folder)
    builder.removeReadOnly(folder)
    do throws(SystemFailure) {
      for path in [folders.ready, folders.cache, folders.logs, folder] { try Files.makeFolder(path) }
      try Files.write([], to: folders.log(order.id))
    } catch { throw failed("the folder of the build can't be made: \(error)", .internal) }
    let run = StepRun(
      builder: builder, id: order.id, folder: folder, interpreter: interpreter, uv: uv,
      wheelFolders: places.folders, ownCache: order.allowSource)
    let steps = StepOrder(
      uv: uv, python: interpreter.executable, requirements: order.requirements, locked: order.isLock,
      indexUrl: order.index ?? configuration.index, findLinks: places.links, offline: order.offline,
      allowSource: order.allowSource, folder: folder, cache: run.cache, log: folders.log(order.id))
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.withoutEscapingSlashes]
    guard let bytes = try? encoder.encode(steps) else {
      throw failed("its order can't be written", .internal)
    }
    do { try Files.write(Array(bytes), to: "\(folder)/order.json") } catch {
      throw failed("its order can't be written: \(error)", .internal)
    }
    let deadline = Deadline(after: configuration.limits.time)

    try run.step(.resolve, network: !order.offline, until: deadline)
    guard let resolved: Resolved = read("resolved.json"), resolved.digest.utf8.count == 64,
      resolved.digest.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) })
    else { throw failed("the step 'resolve' left no lock", .internal) }
    if let known = builder.facts(resolved.digest) {
      run.note("the same environment was made before: \(resolved.digest)")
      return known
    }
    try run.step(.install, network: !order.offline, until: deadline)
    try run.step(.finish, network: false, until: deadline)
    guard let built: Built = read("built.json") else {
      throw failed("the step 'finish' left no list", .internal)
    }
    let result = BuiltEnvironment(
      digest: resolved.digest, lock: resolved.lock, python: built.python, packages: built.packages,
      sizeBytes: built.sizeBytes)
    try builder.place(result, from: "\(folder)/venv")
    run.note("ready: \(built.packages.count) packages, \(built.sizeBytes >> 20) MiB")
    return result
  }

  private func read<Value: Decodable>(_ name: String) -> Value? {
    Files.readPlain("\(folder)/\(name)", limit: 64 << 20).flatMap {
      try? JSONDecoder().decode(Value.self, from: Data($0))
    }
  }

  private func failed(_ message: String, _ code: PlatformError.Code) -> PlatformError {
    PlatformError(code, "the environment could not be made: \(message)")
  }

  /// Ends the process of a build that an earlier service began.
  static func endLeftOver(_ folder: String) {
    guard let text = Files.readText("\(folder)/process"), case let parts = text.split(separator: " "),
      parts.count == 2, let pid = Int32(parts[0]), let ticks = UInt64(parts[1]),
      let process = ProcessHandle(pid: pid, startTicks: ticks)
    else { return }
    kill(-pid, SIGKILL)
    process.signal(SIGKILL)
    _ = process.wait(.seconds(5))
  }
}
