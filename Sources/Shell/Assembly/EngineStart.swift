import Domain
import Glibc
import ImageNodes
import Secrets
import Storage
import Telemetry

/// The driver of image nodes as `roost serve` was asked for.
enum EngineStart {
  static let defaultSocket = "/var/run/docker.sock"

  /// One for each zone, the usual one first.
  static func configurations(
    _ configuration: ServeConfiguration, _ data: DataFolder, _ logs: NodeLogs, _ vault: SecretVault,
    _ store: Store, _ logger: Logger
  ) -> [ImageDriverConfiguration] {
    let usual = EngineOption(
      zone: ImageDriverConfiguration.usualZone, socket: variableSocket ?? defaultSocket)
    let engines = configuration.engines.isEmpty ? [usual] : configuration.engines
    return engines.map { engine in
      self.configuration(engine, configuration, data, logs, vault, store, logger, named: engines.count > 1)
    }
  }

  private static func configuration(
    _ engine: EngineOption, _ configuration: ServeConfiguration, _ data: DataFolder, _ logs: NodeLogs,
    _ vault: SecretVault, _ store: Store, _ logger: Logger, named: Bool
  ) -> ImageDriverConfiguration {
    ImageDriverConfiguration(
      socket: engine.socket, zone: engine.zone, dataFolder: data.path,
      network: configuration.nodeNetworks.flatMap { NetworkPool($0) } ?? .default,
      loginFile: loginFile,
      secret: { node, name throws(PlatformError) in try await vault.value(named: name, of: node) },
      now: { AssembledService.now() },
      log: {
        logger.info("container engine", ["what": .text(named ? "zone \(engine.zone): \($0)" : $0)])
      },
      record: { logs.append($0, $1) }, newestLine: { logs.newestTime($0, of: $1) },
      subnets: { (try? await store.subnets()).map { Set($0.map(\.id)) } })
  }

  /// `DOCKER_HOST` where it names a socket.
  private static var variableSocket: String? {
    guard let text = getenv("DOCKER_HOST").map({ String(cString: $0) }), text.hasPrefix("unix://") else {
      return nil
    }
    return String(text.dropFirst(7))
  }

  /// Where `docker login` keeps what it was told.
  private static var loginFile: String? {
    if let folder = getenv("DOCKER_CONFIG").map({ String(cString: $0) }) { return "\(folder)/config.json" }
    return getenv("HOME").map { "\(String(cString: $0))/.docker/config.json" }
  }
}
