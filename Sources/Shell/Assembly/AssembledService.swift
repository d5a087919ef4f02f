import Access
import AddressNodes
import CellNodes
import ControlAPI
import ControlPlane
import Domain
import DriverAPI
import Environments
import Gateway
import Glibc
import HTTPModel
import ImageNodes
import Secrets
import Storage
import Synchronization
import TLS
import Telemetry

/// The one place where a running service is put together.
public enum AssembledService {
  public static let version = "0.1.0"

  /// Serves until SIGTERM or SIGINT, then drains. Returns the exit code.
  public static func run(_ configuration: ServeConfiguration) async -> Int32 {
    let signals = TerminationSignals()
    let level = LogLevel.allCases.first { $0.name == configuration.logLevel } ?? .info
    let logger = Logger(label: "roost", level: level)
    do throws(PlatformError) {
      try await serve(configuration, logger, signals)
      return 0
    } catch {
      logger.error(
        "roost could not start",
        ["error": .text(error.message), "cause": .text(error.cause.map { "\($0)" } ?? "")])
      return 1
    }
  }

  private static func serve(
    _ configuration: ServeConfiguration, _ logger: Logger, _ signals: TerminationSignals
  ) async throws(PlatformError) {
    let data = try DataFolder(configuration.dataFolder)
    let python = try PythonFinder(configuration.python)
    let store = try Store(path: data.path + "/roost.db")
    let blobs = try BlobStore(data: data.path)
    let authority = try FirstStart.authority(data)
    let subject = try await FirstStart.ensure(store, at: now())
    let vault = try await FirstStart.vault(data, store, logger)
    let logs = NodeLogs(folder: data.path + "/logs", limits: configuration.logs)
    let imageConfiguration = EngineStart.configuration(configuration, data, logs, vault, logger)
    let environments = EnvironmentStart.builder(
      configuration, data, python, logger, ImageUnpacker(configuration: imageConfiguration))
    let driver = CellDriver(
      configuration: CellDriverConfiguration(
        dataFolder: data.path, python: python.python, pythonPath: python.packageFolder,
        sandbox: configuration.sandbox ? .required : .off,
        environment: { EnvironmentStart.files(of: $0, data) },
        fallbackPath: EnvironmentStart.fallback(data, python, logger),
        secret: { node, name throws(PlatformError) in try await vault.value(named: name, of: node) },
        now: { now() },
        log: { logger.debug("cell driver", ["what": .text($0)]) }))
    let images = ImageDriver(configuration: imageConfiguration)
    let time = TimeSource(wall: { now() }, uptime: { uptime() })
    let upstreamTLS = try ListenFlags.upstreamTLS(configuration)
    let prober = Prober(tls: upstreamTLS)
    defer { prober.close() }
    let world = NodeWorld(
      cells: driver, addresses: AddressDriver(now: { now() }), images: images, environments: environments,
      probe: { await prober.probe($0) },
      store: store, blobs: blobs, time: time,
      log: { level, message, metadata in
        var line = logger
        line.metadata = metadata.mapValues { .text($0) }
        line.log(LogLevel.allCases.first { $0.name.hasPrefix(level.rawValue) } ?? .info, message)
      },
      note: { node, instance, release, message in
        logs.append(node, instance: instance, release: release, message: message, at: now())
      })
    let late = LateResponder()
    let observations = AsyncStream.makeStream(
      of: GatewayObservation.self, bufferingPolicy: .bufferingNewest(1024))
    let copies = AsyncStream.makeStream(
      of: CapturedExchange.self, bufferingPolicy: .bufferingOldest(1024))
    let records = AsyncStream.makeStream(
      of: CapturedExchange.self, bufferingPolicy: .bufferingOldest(1024))
    let metrics = MetricsRegistry()
    let spans = try configuration.otlpEndpoint.map { (url) throws(PlatformError) in
      try SpanTarget(url, ratio: configuration.otlpRatio, version: version)
    }
    let apiKeys = APIKeys()
    try await APIKeyStart.load(apiKeys, store)
    let gateway = GatewayServer(
      configuration: .init(
        listeners: try ListenFlags.listeners(configuration), tls: try ListenFlags.tls(configuration),
        upstreamTLS: upstreamTLS,
        trustedProxies: try ListenFlags.peers(configuration.trustedProxies ?? "", "--trusted-proxies"),
        aliasDomain: configuration.aliasDomain ?? "", zone: configuration.zone ?? "",
        loops: configuration.loops ?? 0, accessLogFolder: data.path + "/logs",
        logLimits: configuration.logs, spans: spans),
      verifier: Credentials(authority: authority, keys: apiKeys), responder: late,
      observe: { observations.continuation.yield($0) },
      captured: { copy in
        var isTaken = true
        if copy.forMirror, case .dropped = copies.continuation.yield(copy) { isTaken = false }
        if copy.forRecording, case .dropped = records.continuation.yield(copy) { isTaken = false }
        return isTaken
      }, logger: logger, metrics: metrics)
    metrics.add { world.meters.write(&$0) }
    let fleet = Fleet(world: world, sink: GatewaySink(gateway: gateway))
    let mirrors = AliasMirrors(world: world, fleet: fleet)
    let recordings = AliasRecordings(
      world: world, fleet: fleet, vault: vault, folder: data.path + "/recordings")
    let replays = AliasReplays(world: world, fleet: fleet, recordings: recordings)
    let exchange = TokenExchange(
      store: store, authority: authority, endpoints: configuration.endpoints, now: { now() })
    try await exchange.load()
    let environmentService = EnvironmentService(world: world, maker: environments)
    let api = APIWorld(
      world: world, fleet: fleet, nodes: NodeService(world: world, fleet: fleet),
      checkpoints: CheckpointService(store: store, blobs: blobs, time: time),
      environments: environmentService, secrets: SecretService(world: world, vault: vault),
      mirrors: mirrors, recordings: recordings, replays: replays,
      authority: authority,
      exchange: exchange, apiKeys: apiKeys,
      metrics: {
        String(decoding: metrics.text(), as: UTF8.self) + ReleaseMetrics.text(await fleet.views())
          + (await mirrors.metrics())
          + ProcessMetrics.text(version: version)
      },
      logs: { node, query, wait throws(PlatformError) in
        try await LogFollower(logs: logs).page(node, query, wait: wait)
      },
      requests: { gateway.explain($0) },
      limits: {
        let capabilities = $0.kind == .image ? images.capabilities : driver.capabilities
        return EffectiveLimits.of($0, enforced: capabilities.enforced, missing: capabilities.missing)
      },
      version: VersionResource(version: version, api: "v1", swift: "6.3"))
    late.set(APIResponder(api))

    try await fleet.recover()
    try await mirrors.recover()
    try await recordings.recover()
    try gateway.start()
    let housekeeping = Housekeeping(
      data: data, store: store, logs: logs, authority: authority, subject: subject, time: time,
      checkpoints: api.checkpoints, logger: logger)
    try await housekeeping.refreshAdminToken()
    logger.info(
      "roost serves",
      [
        "listen": .text(ListenFlags.text(gateway.addresses.filter { !$0.isTLS })),
        "tls_listen": .text(ListenFlags.text(gateway.addresses.filter(\.isTLS))),
        "data": .text(data.path), "python": .text(python.python),
        "version": .text(version), "pid": .integer(Int(getpid())),
      ])

    await withDiscardingTaskGroup { group in
      group.addTask { await fleet.run() }
      group.addTask { await images.run() }
      group.addTask { await world.telemetry.run { await fleet.views() } }
      group.addTask { await environmentService.run() }
      group.addTask { await api.replacer.run() }
      group.addTask { await mirrors.run(copies.stream) }
      group.addTask { await recordings.run(records.stream) }
      group.addTask { await replays.run() }
      group.addTask { await world.meters.run(fleet) { world.driver(of: $0) } }
      group.addTask { for await observation in observations.stream { await fleet.observed(observation) } }
      group.addTask { await housekeeping.run() }
      await signals.first {
        do throws(PlatformError) {
          guard let context = try ListenFlags.tls(configuration) else { return }
          gateway.replaceTLS(context)
          logger.info("certificates were read again")
        } catch { logger.warning("certificates stay as they were", ["error": .text(error.message)]) }
      }
      logger.info("draining")
      await gateway.drain(grace: .seconds(10))
      group.cancelAll()
      driver.close()
      images.close()
      observations.continuation.finish()
      copies.continuation.finish()
      records.continuation.finish()
      await fleet.stop()
    }
    logger.info("roost has stopped; instances live on")
  }

  /// Time since the machine was started, less that in which it slept.
  static func uptime() -> Duration {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
  }

  /// Wall-clock time.
  static func now() -> Timestamp {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Timestamp(microseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000)
  }
}

/// The gateway asks the API, and the API is made of what the gateway feeds: one of them must come second.
private final class LateResponder: HTTPResponder {
  private let inner = Mutex<(any HTTPResponder)?>(nil)

  func set(_ responder: any HTTPResponder) { inner.withLock { $0 = responder } }

  func respond(to request: HTTPRequest) async -> HTTPResponse {
    guard let responder = inner.withLock({ $0 }) else { return HTTPResponse(status: 503) }
    return await responder.respond(to: request)
  }
}

private struct GatewaySink: RoutingSink {
  let gateway: GatewayServer

  func publish(_ table: RoutingTable) async { gateway.publish(table) }
  func outstanding(on instance: InstanceID) async -> Int { gateway.outstanding(on: instance) }
  func endStreams(on instance: InstanceID) async { gateway.endStreams(on: instance) }
  func load(of node: NodeID) async -> NodeLoad? {
    gateway.load(of: node).map { NodeLoad(running: $0.running, queued: $0.queued, requests: $0.requests) }
  }
  func loads(ofAlias alias: AliasID) async -> [ShareLoad] {
    gateway.shares(of: alias).map {
      ShareLoad(
        node: $0.node, requests: $0.requests, failures: $0.failures, p50Milliseconds: $0.p50Milliseconds,
        p95Milliseconds: $0.p95Milliseconds)
    }
  }
  func held(ofAlias alias: AliasID) async -> Int { gateway.held(of: alias) }
  func call(_ call: NodeCall) async -> NodeCallResult { await gateway.call(call) }
  func copies(ofAlias alias: AliasID) async -> (mirrored: CopyCounts, recorded: CopyCounts)? {
    gateway.copies(of: alias)
  }
  func traffic(of node: NodeID) async -> NodeTraffic? {
    gateway.durations(of: node).map { NodeTraffic(requests: $0.reduce(0, +), durations: $0) }
  }
}
