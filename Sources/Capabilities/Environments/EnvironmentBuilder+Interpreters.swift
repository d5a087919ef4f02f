public import Domain
public import DriverAPI
import FoundationEssentials
import Sandboxing
import Synchronization

extension EnvironmentBuilder {
  /// The interpreter of a minor version; throws which ones there are.
  func interpreter(_ minor: String?) throws(PlatformError) -> Found {
    let own = try ask(configuration.python)
    guard let minor, EnvironmentParity.minor(own.version) != minor else { return own }
    let home = SystemEnvironment.values(["HOME", "PYENV_ROOT"])
    let pyenv = (home["PYENV_ROOT"] ?? (home["HOME"] ?? "") + "/.pyenv") + "/versions"
    var candidates = ["/usr/bin", "/usr/local/bin", "/opt/python/bin"].map { "\($0)/python\(minor)" }
    candidates += Files.list(pyenv).filter { $0.hasPrefix("\(minor).") }.map { "\(pyenv)/\($0)/bin/python3" }
    if let listed = Files.findExecutable("python\(minor)") { candidates.append(listed) }
    for candidate in candidates where Files.exists(candidate) {
      if let found = try? ask(candidate), EnvironmentParity.minor(found.version) == minor { return found }
    }
    throw PlatformError(
      .failedPrecondition,
      "python: this server has no Python \(minor) (looked for python\(minor) in /usr/bin, /usr/local/bin, PATH and \(pyenv)); install it there, or take \(EnvironmentParity.minor(own.version))",
      origin: .caller, field: "python")
  }

  /// The interpreter below virtual environments: a new one must not depend on an older one.
  private func ask(_ python: String) throws(PlatformError) -> Found {
    if let known = state.withLock({ $0.interpreters[python] }) { return known }
    let code =
      "import os, sys\nb = os.path.join(sys.base_prefix, 'bin', 'python%d.%d' % sys.version_info[:2])\n"
      + "print(os.path.realpath(b if os.path.exists(b) else sys.executable))\nprint('%d.%d.%d' % sys.version_info[:3])\n"
      + "print(sys.base_prefix)\nprint(sys.base_exec_prefix)"
    let output: CommandOutput
    do throws(SystemFailure) {
      output = try CommandOutput.run(
        python, ["-I", "-c", code], environment: SystemEnvironment.values(["HOME", "PATH", "PYENV_ROOT"]))
    } catch {
      throw PlatformError(.failedPrecondition, "python: \(python) can't be started: \(error)")
    }
    let lines = output.text.split(separator: "\n").map(String.init)
    guard output.succeeded, lines.count == 4 else {
      throw PlatformError(
        .failedPrecondition, "python: \(python) doesn't run (\(output.text.prefix(200)))")
    }
    let found = Found(executable: lines[0], version: lines[1], prefixes: Set(lines[2...]).sorted())
    state.withLock { $0.interpreters[python] = found }
    return found
  }

  /// `uv` beside the server's Python, else on `PATH`.
  func uv() throws(PlatformError) -> String {
    if let found = Self.uv(beside: configuration.python) { return found }
    throw PlatformError(
      .failedPrecondition,
      "environments can't be made: uv is neither beside \(configuration.python) nor on PATH; install it: \(configuration.python) -m pip install uv"
    )
  }

  /// Where the `uv` is that would be used with this Python; nil when there is none.
  public static func uv(beside python: String) -> String? {
    let beside = python.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" } + "/uv"
    return Files.exists(beside) ? beside : Files.findExecutable("uv")
  }

  /// Where wheels may be taken from: pages, and folders that the server's operator has named.
  func places(_ order: EnvironmentOrder) throws(PlatformError) -> (links: [String], folders: [String]) {
    let allowed = configuration.wheels.map(Files.resolved)
    var links: [String] = []
    var bound = allowed
    for (index, place) in order.findLinks.enumerated() {
      let field = "findLinks[\(index)]"
      guard place.hasPrefix("/") else {
        try EnvironmentRequirements.checkURL(place, field)
        links.append(place)
        continue
      }
      let folder = Files.resolved(place)
      guard allowed.contains(where: { folder == $0 || folder.hasPrefix("\($0)/") }) else {
        throw .invalid(
          field,
          "\(field): \(place) is not a folder that this server takes wheels from\(allowed.isEmpty ? "" : " (\(allowed.joined(separator: ", ")))"); its operator adds folders with: roost serve --wheels FOLDER"
        )
      }
      links.append(folder)
      bound.append(folder)
    }
    return (links + allowed.filter { !links.contains($0) }, Set(bound).sorted())
  }

  public func check(_ order: EnvironmentOrder) async throws(PlatformError) {
    if order.image != nil {
      guard configuration.sandboxed else {
        throw .invalid(
          "image", "image: environments of images need the sandbox; start the server without --sandbox off")
      }
      return try checkWalls()
    }
    try await offload { () throws(PlatformError) in
      if let index = order.index { try EnvironmentRequirements.checkURL(index, "indexUrl") }
      let places = try self.places(order)
      guard !order.offline || !places.links.isEmpty else {
        throw .invalid(
          "offline",
          "offline: there is no place to take wheels from; give --find-links, or start the server with --wheels FOLDER"
        )
      }
      _ = try self.uv()
      _ = try self.interpreter(order.python)
      try self.checkWalls()
    }
  }

  /// Builds are code of others: they don't run without walls unless the configuration says so.
  func checkWalls() throws(PlatformError) {
    if let trouble = bubblewrapTrouble {
      throw PlatformError(
        .failedPrecondition,
        "environments can't be made in a sandbox: \(trouble), or run with --sandbox off on a machine where all code is trusted"
      )
    }
  }

  public func standard() async throws(PlatformError) -> BuiltEnvironment {
    if let (built, stamps) = state.withLock({ $0.standard }),
      stamps.allSatisfy({ FileTree.stamp($0.key) == $0.value })
    {
      return built
    }
    let found = try await offload { () throws(PlatformError) in try self.inspectStandard() }
    state.withLock { $0.standard = found }
    return found.built
  }

  public func packages(at folders: [String]) async -> [EnvironmentPackage] {
    let seen = folders.filter { folder in
      let isSystem = ["/usr/", "/lib/"].contains { folder.hasPrefix($0) }
      return folder.hasPrefix("/") && (isSystem || !configuration.sandboxed) && Files.exists(folder)
    }
    guard !seen.isEmpty else { return [] }
    return await offload { (try? self.inspect(seen))?.packages ?? [] }
  }

  private func inspectStandard() throws(PlatformError) -> (built: BuiltEnvironment, stamps: [String: Int64]) {
    let list = "import sys\nfor p in sys.path: print(p)"
    do throws(SystemFailure) {
      let paths = try CommandOutput.run(configuration.python, ["-I", "-c", list], environment: names)
      let folders = paths.text.split(separator: "\n").map(String.init)
      let stamps = folders.map { ($0, FileTree.stamp($0)) }
      let told = try inspect(folders)
      return (
        BuiltEnvironment(
          digest: "", lock: "", python: told.python, packages: told.packages, sizeBytes: 0),
        Dictionary(stamps) { first, _ in first }
      )
    } catch {
      throw PlatformError(.internal, "the packages of the default environment are not known: \(error)")
    }
  }

  private var names: [String: String] { SystemEnvironment.values(["HOME", "PATH", "PYENV_ROOT"]) }

  struct Told: Decodable {
    var python: String
    var packages: [EnvironmentPackage]
  }

  /// Reads metadata of distributions; runs none of their code.
  private func inspect(_ folders: [String]) throws(SystemFailure) -> Told {
    let script = "\(configuration.pythonPath)/roost/environment/__main__.py"
    guard let list = try? JSONEncoder().encode(folders) else {
      throw SystemFailure("write a list of folders", code: 22)
    }
    let output = try CommandOutput.run(
      configuration.python, ["-I", "-S", script, "inspect", String(decoding: list, as: UTF8.self)],
      environment: names)
    guard output.succeeded, let told = try? JSONDecoder().decode(Told.self, from: Data(output.text.utf8))
    else {
      throw SystemFailure(
        "list the packages beside \(configuration.python) (\(output.text.suffix(300)))", code: 8)
    }
    return told
  }
}
