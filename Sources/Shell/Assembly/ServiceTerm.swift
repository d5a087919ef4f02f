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
import ModelNodes
import Planning
import Sandboxing
import Secrets
import Storage
import Telemetry

/// The time in which this process owns the data folder: database, drivers, reconcilers, API.
struct ServiceTerm {
  /// Why a term ended.
  enum End {
    /// The process was told to stop, and has drained.
    case stop
    /// Another process is ready to take over, and nothing changes any more.
    case handOver(Successor, UpgradeCall)
  }

  private let parts: LastingParts
  private let store: Store
  private let world: NodeWorld
  private let fleet: Fleet
  private let cells: CellDriver
  private let images: ZonedImageDriver
  private let served: ModelDriver
  private let prober: Prober
  private let environments: EnvironmentService
  private let api: APIWorld
  private let housekeeping: Housekeeping
  private let mirrors: AliasMirrors
  private let observations: AsyncStream<GatewayObservation>
  private let copies: AsyncStream<CapturedExchange>
  private let recordings: AliasRecordings
  private let records: AsyncStream<CapturedExchange>

  /// Opens the database and finds the instances of the term before; the first routing table is published.
  ///
  /// - Parameters:
  ///   - trusted: instances that get requests now, and go on to.
  ///   - afterFailure: another process may have brought the database to a schema that this one does not know.
  init(
    _ parts: LastingParts, trusting trusted: Set<InstanceID>, afterFailure: Bool = false
  ) async throws(PlatformError) {
    self.parts = parts
    let (configuration, data, logger) = (parts.configuration, parts.data, parts.logger)
    let (python, gateway, authority) = (parts.python, parts.gateway, parts.authority)
    if afterFailure { try DatabaseCopy.restoreIfNewer(data.path) }
    let store = try Store(path: data.path + "/roost.db")
    let blobs = try BlobStore(data: data.path)
    let subject = try await FirstStart.ensure(store, at: AssembledService.now())
    let vault = try await FirstStart.vault(data, store, logger)
    let logs = NodeLogs(folder: data.path + "/logs", limits: configuration.logs)
    let engines = EngineStart.configurations(configuration, data, logs, vault, store, logger)
    let maker = EnvironmentStart.builder(
      configuration, data, python, logger, ImageUnpacker(configuration: engines[0]), vault)
    let driver = CellDriver(
      configuration: CellDriverConfiguration(
        dataFolder: data.path, python: python.python, pythonPath: python.packageFolder,
        sandbox: configuration.sandbox ? .required : .off,
        environment: { EnvironmentStart.files(of: $0, data) },
        fallbackPath: EnvironmentStart.fallback(data, python, logger),
        secret: { node, name throws(PlatformError) in try await vault.value(named: name, of: node) },
        now: { AssembledService.now() },
        log: { logger.debug("cell driver", ["what": .text($0)]) }))
    let images = ZonedImageDriver(engines)
    let modelConfiguration = ModelStart.configuration(configuration, data, python, logs, images, logger)
    let served = ModelDriver(configuration: modelConfiguration)
    let time = TimeSource(wall: { AssembledService.now() }, uptime: { AssembledService.uptime() })
    let prober = Prober(tls: parts.upstreamTLS)
    var world = NodeWorld(
      cells: driver, addresses: AddressDriver(now: { AssembledService.now() }), images: images,
      served: served, models: ModelInspector(configuration: modelConfiguration), environments: maker,
      probe: { await prober.probe($0) },
      store: store, blobs: blobs, time: time,
      log: { level, message, metadata in
        var line = logger
        line.metadata = metadata.mapValues { .text($0) }
        line.log(LogLevel.allCases.first { $0.name.hasPrefix(level.rawValue) } ?? .info, message)
      },
      note: { node, instance, release, message in
        logs.append(node, instance: instance, release: release, message: message, at: AssembledService.now())
      })
    world.healthyBefore = trusted
    world.nodeNetworks = NetworkPool.text(configuration.nodeNetworks)
    world.tritonImage = configuration.tritonImage
    let observations = AsyncStream.makeStream(
      of: GatewayObservation.self, bufferingPolicy: .bufferingNewest(1024))
    let copies = AsyncStream.makeStream(
      of: CapturedExchange.self, bufferingPolicy: .bufferingOldest(1024))
    let records = AsyncStream.makeStream(
      of: CapturedExchange.self, bufferingPolicy: .bufferingOldest(1024))
    try await APIKeyStart.load(parts.apiKeys, store)
    let fleet = Fleet(world: world, sink: GatewaySink(gateway: gateway, predecessor: parts.predecessor))
    let zones = ZoneService(world: world, fleet: fleet)
    let mirrors = AliasMirrors(world: world, fleet: fleet)
    let recordings = AliasRecordings(
      world: world, fleet: fleet, vault: vault, folder: data.path + "/recordings")
    let exchange = TokenExchange(
      store: store, authority: authority, endpoints: configuration.endpoints,
      now: { AssembledService.now() })
    try await exchange.load()
    environments = EnvironmentService(world: world, maker: maker)
    api = APIWorld(
      world: world, fleet: fleet, nodes: NodeService(world: world, fleet: fleet),
      checkpoints: CheckpointService(store: store, blobs: blobs, time: time),
      environments: environments, secrets: SecretService(world: world, vault: vault),
      mirrors: mirrors, recordings: recordings,
      replays: AliasReplays(world: world, fleet: fleet, recordings: recordings),
      authority: authority,
      exchange: exchange, apiKeys: parts.apiKeys,
      metrics: { [metrics = parts.metrics, environments] in
        String(decoding: metrics.text(), as: UTF8.self) + ReleaseMetrics.text(await fleet.views())
          + (await mirrors.metrics()) + (await recordings.metrics()) + (await environments.metrics())
          + ZoneMetrics.text(await zones.zones { _ in true })
          + ProcessMetrics.text(version: AssembledService.version)
      },
      logs: { node, query, wait throws(PlatformError) in
        try await LogFollower(logs: logs).page(node, query, wait: wait)
      },
      logBytes: { logs.bytes(of: $0) },
      requests: { gateway.explain($0) },
      limits: {
        let capabilities =
          switch $0.kind {
          case .image: images.capabilities
          case .model: $0.model?.image == nil ? served.capabilities : images.capabilities
          case .cell, .address: driver.capabilities
          }
        return EffectiveLimits.of($0, enforced: capabilities.enforced, missing: capabilities.missing)
      },
      version: VersionResource(version: AssembledService.version, api: "v1", swift: "6.3"),
      server: { parts.server },
      aliasDomain: configuration.aliasDomain ?? "")
    housekeeping = Housekeeping(
      data: data, store: store, logs: logs, authority: authority, subject: subject, time: time,
      checkpoints: api.checkpoints, logger: logger)
    self.store = store
    self.world = world
    self.fleet = fleet
    self.prober = prober
    self.images = images
    self.served = served
    cells = driver
    self.observations = observations.stream
    self.copies = copies.stream
    self.mirrors = mirrors
    self.records = records.stream
    self.recordings = recordings
    parts.feeds.set(
      observations.continuation, copies.continuation, records.continuation, world.meters)
    try await fleet.recover()
    try await mirrors.recover()
    try await recordings.recover()
    parts.responder.set(APIResponder(api))
  }

  /// Waits until the instances of the term before were found again.
  func found(within limit: Duration) async throws(PlatformError) {
    let end = ContinuousClock.now + limit
    while !(await fleet.isReady) {
      guard ContinuousClock.now < end else {
        throw PlatformError(
          .unavailable, "not all instances answered within \(limit / .seconds(1)) s of the hand-over")
      }
      try? await Task.sleep(for: .milliseconds(2))
    }
  }

  /// From here on the process changes things.
  func begin() async throws(PlatformError) {
    try await housekeeping.refreshAdminToken()
    guard parts.predecessor != nil else { return }
    try await store.addAudit(
      AuditRecord(
        id: Identifier<RequestKind>.random().text, at: world.now(), subject: housekeeping.subject,
        eventType: "yandex.cloud.audit.datasphere.UpgradeService", resourceID: "process-\(getpid())",
        detailsJSON: "{\"version\":\"\(AssembledService.version)\"}", requestID: ""))
  }

  /// Keeps every node as wanted, until the process is to stop or another one is ready to take over.
  func run() async -> End {
    let (world, fleet, images, environments) = (world, fleet, images, environments)
    let served = served
    let (observations, housekeeping, gateway) = (observations, housekeeping, parts.gateway)
    let (mirrors, copies, replacer) = (mirrors, copies, api.replacer)
    let (disturber, ramps) = (api.disturber, api.ramps)
    let (recordings, records, replays) = (recordings, records, api.replays)
    let end = await withDiscardingTaskGroup(returning: End.self) { group in
      group.addTask { await fleet.run() }
      group.addTask { await images.run() }
      group.addTask { await served.run() }
      group.addTask { await world.telemetry.run { await fleet.views() } }
      group.addTask { await environments.run() }
      group.addTask { await replacer.run() }
      group.addTask { await disturber.run() }
      group.addTask { await ramps.run() }
      group.addTask { await mirrors.run(copies) }
      group.addTask { await recordings.run(records) }
      group.addTask { await replays.run() }
      group.addTask { await world.meters.run(fleet) { world.driver(of: $0) } }
      group.addTask { for await observation in observations { await fleet.observed(observation) } }
      group.addTask { await housekeeping.run() }
      let end = await nextEnd()
      if case .stop = end {
        parts.logger.info("draining")
        ServiceManager.say("STOPPING=1", "STATUS=draining")
        // What waits in the queues of sockets that stay open is for the next process.
        if parts.hasManagedSockets {
          await gateway.leave(limit: .seconds(10))
        } else {
          await gateway.drain(grace: .seconds(10))
        }
      }
      group.cancelAll()
      cells.close()
      images.close()
      served.close()
      parts.feeds.set(nil, nil, nil, nil)
      await fleet.stop()
      return end
    }
    prober.close()
    return end
  }

  private func nextEnd() async -> End {
    while true {
      switch await parts.signals.next(reload: { parts.readCertificates() }) {
      case .signal: return .stop
      case .upgrade(let call):
        ServiceManager.say(
          "RELOADING=1", "MONOTONIC_USEC=\(ServiceManager.monotonicMicroseconds)",
          "STATUS=another process takes over")
        do throws(PlatformError) {
          return .handOver(try await parts.successor(for: call.request), call)
        } catch {
          parts.logger.error("roost was not upgraded", ["error": .text(error.message)])
          parts.refuse(call, error)
        }
      }
    }
  }

  /// After `run`: gives the data folder to the other process. Throws when that one does not become ready to serve; it must then
  /// be ended before another term begins.
  func give(to successor: Successor) async throws(PlatformError) {
    if successor.schema > Store.schema { try await DatabaseCopy.make(store, parts.data.path) }
    try await successor.take(healthy: parts.gateway.routedInstances)
  }
}

/// The database as it was before a process with a newer schema got it.
enum DatabaseCopy {
  private static func path(_ folder: String) -> String { folder + "/roost.db.before-upgrade" }

  static func make(_ store: Store, _ folder: String) async throws(PlatformError) {
    unlink(path(folder))
    try await store.copy(to: path(folder))
  }

  /// A process that took over for a moment served no request, so that nothing that was promised is lost.
  static func restoreIfNewer(_ folder: String) throws(PlatformError) {
    let database = folder + "/roost.db"
    guard try Store.schema(at: database) > Store.schema else { return }
    guard access(path(folder), R_OK) == 0 else {
      throw PlatformError(
        .failedPrecondition, "the database is of a newer roost and there is no copy of it as it was before")
    }
    for suffix in ["-wal", "-shm"] { unlink(database + suffix) }
    guard rename(path(folder), database) == 0 else {
      throw PlatformError(
        .failedPrecondition, "\(path(folder)) can't be put back: \(String(cString: strerror(errno)))")
    }
  }
}

private struct GatewaySink: RoutingSink {
  let gateway: GatewayServer
  /// Another process that still answers its last requests.
  let predecessor: Predecessor?

  func publish(_ table: RoutingTable) async {
    gateway.publish(table)
    // What the API acknowledges counts for the next request.
    await gateway.settle()
    predecessor?.keep(Set(table.nodes.flatMap { $0.instances.map(\.id) }))
  }
  func outstanding(on instance: InstanceID) async -> Int {
    gateway.outstanding(on: instance) + (await predecessor?.outstanding(on: instance) ?? 0)
  }
  func endStreams(on instance: InstanceID) async {
    gateway.endStreams(on: instance)
    predecessor?.endStreams(on: instance)
  }
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
  func compared(ofAlias alias: AliasID) async -> [NodeID: RampWindow] { gateway.compared(of: alias) }
  func traffic(of node: NodeID) async -> NodeTraffic? {
    gateway.durations(of: node).map { NodeTraffic(requests: $0.reduce(0, +), durations: $0) }
  }
}
