import CellNodes
import Domain
import DriverAPI
import Environments
import ImageNodes
import Sandboxing
import Secrets
import Telemetry

/// The maker of environments as `roost serve` was asked for.
enum EnvironmentStart {
  static func builder(
    _ configuration: ServeConfiguration, _ data: DataFolder, _ python: PythonFinder, _ logger: Logger,
    _ images: ImageUnpacker, _ vault: SecretVault
  ) -> EnvironmentBuilder {
    let options = configuration.environments
    return EnvironmentBuilder(
      configuration: EnvironmentConfiguration(
        dataFolder: data.path, python: python.python, pythonPath: python.packageFolder,
        sandboxed: configuration.sandbox, index: options.packageIndex, wheels: options.wheels,
        limits: .init(time: options.time, diskBytes: options.diskBytes, memoryBytes: options.memoryBytes),
        export: { reference, account, file, progress throws(PlatformError) in
          var login: RegistryLogin?
          if let account { login = try await self.login(account, reference, vault) }
          let made = try await images.export(
            reference, login: login, secret: account?.passwordSecret, to: file, progress: progress)
          return ExportedImage(digest: made.digest, pinned: made.pinned, variables: made.variables)
        },
        now: { AssembledService.now() },
        log: { logger.info("environments", ["what": .text($0)]) }),
      treeName: CellDriver.treeName(data.path))
  }

  private static func login(
    _ account: RegistryAccount, _ reference: String, _ vault: SecretVault
  ) async throws(PlatformError) -> RegistryLogin {
    let secret = account.passwordSecret
    let value: [UInt8]
    do throws(PlatformError) { value = try await vault.value(named: secret, in: account.folder) } catch {
      throw PlatformError(
        error.code, "passwordSecret: \(error.message)", origin: .caller, field: "passwordSecret")
    }
    guard let password = RegistryLogin.password(value) else {
      throw .invalid(
        "passwordSecret",
        "passwordSecret: the value of secret '\(secret)' is not text; give it anew: roost secret update \(secret)"
      )
    }
    return RegistryLogin(
      user: account.user, password: password, registry: try ImageReference(reference).registry)
  }

  /// What nodes of an environment run on.
  static func files(of digest: String, _ data: DataFolder) -> CellEnvironment? {
    guard let facts = EnvironmentBuilder.facts(digest, dataFolder: data.path) else { return nil }
    guard let image = facts.image else {
      return CellEnvironment(python: EnvironmentBuilder.python(digest, dataFolder: data.path))
    }
    return CellEnvironment(
      python: image.python, root: EnvironmentBuilder.root(digest, dataFolder: data.path),
      variables: image.variables)
  }

  /// Pickle streams of functions are loaded by cloudpickle: environments that lack it get the server's copy. The folder holds
  /// nothing else, so that no other package of the server can be seen there.
  static func fallback(_ data: DataFolder, _ python: PythonFinder, _ logger: Logger) -> String? {
    let folder = "\(data.path)/fallback"
    do throws(SystemFailure) {
      let asked = try CommandOutput.run(
        python.python, ["-I", "-c", "import cloudpickle; print(cloudpickle.__path__[0])"],
        environment: SystemEnvironment.values(["HOME", "PATH", "PYENV_ROOT"]))
      guard asked.succeeded, let source = asked.text.split(separator: "\n").last.map(String.init) else {
        throw SystemFailure("find cloudpickle of \(python.python)", code: 2)
      }
      try Files.makeFolder("\(folder)/cloudpickle", mode: 0o755)
      for name in Files.list(source) where name.hasSuffix(".py") {
        try Files.write(
          Files.read("\(source)/\(name)") ?? [], to: "\(folder)/cloudpickle/\(name)", mode: 0o644)
      }
      return folder
    } catch {
      logger.warning("environments without cloudpickle can't load functions", ["error": .text("\(error)")])
      return nil
    }
  }
}
