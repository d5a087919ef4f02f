import Domain
import DriverAPI
import FoundationEssentials
import Glibc
import Sandboxing

/// The making of an environment out of a container image: its files are unpacked, and its Python says what it has.
///
/// Nodes need no engine afterwards: their zygote runs in the node's own sandbox with these files as its root.
struct ImageRun {
  let builder: EnvironmentBuilder
  let order: EnvironmentOrder

  private var folders: EnvironmentFolders { builder.folders }
  private var folder: String { folders.building(order.id) }
  private var root: String { "\(folder)/made/root" }

  private struct Told: Decodable {
    var python: String
    var packages: [EnvironmentPackage]
  }

  func run(_ image: String) async throws(PlatformError) -> BuiltEnvironment {
    guard let export = builder.configuration.export else {
      throw .invalid("image", "image: this server has no container engine")
    }
    defer { builder.removeReadOnly(folder) }
    try await offload { () throws(PlatformError) in try prepare() }
    let id = order.id
    let builder = builder
    builder.say(id, "asking for the image")
    let exported = try await export(image, order.login, "\(folder)/image.tar") { builder.say(id, $0) }
    return try await offload { () throws(PlatformError) in try self.unpack(image, exported) }
  }

  private func prepare() throws(PlatformError) {
    BuildRun.endLeftOver(folder)
    builder.removeReadOnly(folder)
    do throws(SystemFailure) {
      for path in [folders.ready, folders.logs, root] { try Files.makeFolder(path, mode: 0o755) }
      try Files.write([], to: folders.log(order.id))
    } catch { throw failed("the folder of the build can't be made: \(error)") }
  }

  private func unpack(_ image: String, _ exported: ExportedImage) throws(PlatformError) -> BuiltEnvironment {
    guard exported.digest.utf8.count == 64 else { throw failed("the image has no digest") }
    let interpreter = try builder.interpreter(nil)
    let run = StepRun(
      builder: builder, id: order.id, folder: folder, interpreter: interpreter, uv: "/usr/bin/env",
      wheelFolders: [], ownCache: true)
    run.note("image \(exported.pinned)")
    if let known = builder.facts(exported.digest) {
      run.note("the same environment was made before: \(exported.digest)")
      return known
    }
    let steps = BuildRun.StepOrder(
      uv: "", python: interpreter.executable, requirements: "", locked: false, indexUrl: nil, findLinks: [],
      offline: true, allowSource: false, folder: folder, cache: run.cache, log: folders.log(order.id))
    guard let bytes = try? JSONEncoder().encode(steps) else { throw failed("its order can't be written") }
    do { try Files.write(Array(bytes), to: "\(folder)/order.json") } catch {
      throw failed("its order can't be written: \(error)")
    }
    try run.step(.unpack, network: false, until: Deadline(after: builder.configuration.limits.time))
    builder.say(order.id, "asking its Python")
    let variables = Dictionary(
      exported.variables.compactMap { text in
        text.firstIndex(of: "=").map { (String(text[..<$0]), String(text[text.index(after: $0)...])) }
      }, uniquingKeysWith: { $1 })
    let (python, told) = try probe(image, variables)
    run.note("\(python) is Python \(told.python), \(told.packages.count) packages")
    let result = BuiltEnvironment(
      digest: exported.digest, lock: "", python: told.python, packages: told.packages,
      sizeBytes: FileTree.bytes(root),
      image: .init(reference: exported.pinned, python: python, variables: variables))
    try builder.place(result, from: "\(folder)/made")
    return result
  }

  /// Runs the first Python of the image's `PATH` once, which also compiles its packages.
  private func probe(_ image: String, _ variables: [String: String]) throws(PlatformError) -> (String, Told) {
    let path = variables["PATH"] ?? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    var said = "there is no python3 in \(path)"
    for folder in path.split(separator: ":") {
      for name in ["python3", "python"] {
        let python = "\(folder)/\(name)"
        var status = stat()
        guard python.hasPrefix("/"), lstat(root + python, &status) == 0 else { continue }
        do throws(SystemFailure) {
          let output = try ask(python, variables)
          if output.succeeded, let line = output.text.split(separator: "\n").last,
            let told = try? JSONDecoder().decode(Told.self, from: Data(line.utf8))
          {
            return (python, told)
          }
          said = "\(python) doesn't run: \(output.text.suffix(300))"
        } catch { said = "\(python) can't be started: \(error)" }
      }
    }
    throw PlatformError(
      .failedPrecondition,
      "image \(image) can't be an environment: \(said); it needs Python 3.9 or later with its standard library on the image's PATH",
      origin: .caller, field: "image")
  }

  private func ask(_ python: String, _ variables: [String: String]) throws(SystemFailure) -> CommandOutput {
    var environment = variables
    environment.merge(["HOME": "/tmp", "LANG": "C.UTF-8"]) { $1 }
    var sandbox = Bubblewrap(
      bindings: [.init(builder.configuration.pythonPath, at: "/run/roost/python")], hostname: "build",
      environment: environment)
    sandbox.root = .init(root, writable: true)
    sandbox.diesWithParent = true
    let limits = builder.configuration.limits
    let group = builder.tree.folders.isEmpty ? nil : builder.tree.group("build-\(order.id)")
    defer {
      if let group {
        group.killAll()
        group.remove()
      }
    }
    try group?.make()
    try group?.limit(
      CgroupLimits(cpus: limits.cpus, memoryBytes: limits.memoryBytes, pids: limits.processes))
    let command = [python, "-I", "-B", "/run/roost/python/roost/environment/__main__.py", "probe", "-"]
    return try CommandOutput.run(
      builder.bubblewrap ?? "bwrap", sandbox.arguments(command), environment: ["PATH": "/usr/bin:/bin"],
      cgroupFiles: group?.entryFiles ?? [], timeout: min(limits.time, .seconds(300)))
  }

  private func failed(_ message: String) -> PlatformError {
    PlatformError(.internal, "the environment could not be made: \(message)")
  }
}

extension EnvironmentBuilder {
  /// Moves an environment to where it is found, whole or not at all.
  func place(_ result: BuiltEnvironment, from made: String) throws(PlatformError) {
    guard let facts = try? JSONEncoder().encode(result) else {
      throw PlatformError(.internal, "the environment could not be made: its facts can't be written")
    }
    do throws(SystemFailure) {
      try Files.write(Array(facts), to: "\(made)/roost-environment.json")
      FileTree.flush()
      let target = folders.ready(result.digest)
      // Without facts it was never whole: a power cut took them.
      removeReadOnly(target)
      // A folder can't be moved once it is read only itself: that comes last.
      guard rename(made, target) == 0 else { throw SystemFailure("move \(made) to \(target)") }
      FileTree.makeReadOnly(target)
    } catch { throw PlatformError(.internal, "the environment could not be made: \(error)") }
  }
}
