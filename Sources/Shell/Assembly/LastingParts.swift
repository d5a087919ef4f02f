import Access
import ControlPlane
import Domain
import Gateway
import Glibc
import HTTPModel
import Sandboxing
import Storage
import Synchronization
import TLS
import Telemetry

/// What is made once in the life of a process, whoever owns the data folder.
struct LastingParts: Sendable {
  let configuration: ServeConfiguration
  let logger: Logger
  let signals: TerminationSignals
  let responder: ResponderSwitch
  let predecessor: Predecessor?
  let data: DataFolder
  let python: PythonFinder
  let authority: TokenAuthority
  let apiKeys = APIKeys()
  let upstreamTLS: TLSContext
  let metrics = MetricsRegistry()
  let feeds: TermFeeds
  /// Tells this process from every other one.
  let process = ProcessID.random()
  let startedAt = AssembledService.now()
  let gateway: GatewayServer
  /// The service manager opened sockets, which it keeps open while nobody serves.
  let hasManagedSockets: Bool

  init(
    _ configuration: ServeConfiguration, _ logger: Logger, _ signals: TerminationSignals,
    _ responder: ResponderSwitch, _ feeds: TermFeeds, _ arrival: Arrival, _ predecessor: Predecessor?
  ) throws(PlatformError) {
    self.configuration = configuration
    self.logger = logger
    self.signals = signals
    self.responder = responder
    self.feeds = feeds
    self.predecessor = predecessor
    hasManagedSockets = arrival.sockets.contains { !$0.isHandedOver }
    data = try DataFolder(configuration.dataFolder, handed: arrival.lock)
    python = try PythonFinder(configuration.python)
    authority = try FirstStart.authority(data)
    upstreamTLS = try ListenFlags.upstreamTLS(configuration)
    let spans = try configuration.otlpEndpoint.map { (url) throws(PlatformError) in
      try SpanTarget(url, ratio: configuration.otlpRatio, version: AssembledService.version)
    }
    let listeners = try ListenFlags.listeners(configuration, inherited: arrival.sockets)
    gateway = GatewayServer(
      configuration: .init(
        listeners: listeners, inherited: arrival.sockets,
        tls: try ListenFlags.tls(configuration, listeners), upstreamTLS: upstreamTLS,
        trustedProxies: try ListenFlags.peers(configuration.trustedProxies ?? "", "--trusted-proxies"),
        aliasDomain: configuration.aliasDomain ?? "", zone: configuration.zone ?? "",
        loops: configuration.loops ?? 0, accessLogFolder: data.path + "/logs",
        logLimits: configuration.logs,
        // An eighth of the memory, for whoever sends.
        heldBytes: Int(CgroupTree.ownMemory() / 8), openFiles: OpenFileShares(limit: OpenFiles.raiseLimit()),
        spans: spans),
      verifier: Credentials(authority: authority, keys: apiKeys), responder: responder,
      observe: { [feeds] in feeds.observed($0) }, captured: { [feeds] in feeds.captured($0) }, logger: logger,
      metrics: metrics)
    metrics.add { [feeds] in feeds.write(&$0) }
  }

  /// This process, for administrators.
  var server: ServerResource {
    ServerResource(
      processId: process, pid: Int(getpid()), version: AssembledService.version, startedAt: startedAt,
      dataFolder: data.path, formerProcessDrains: predecessor.map { !$0.isGone } ?? false)
  }

  func sayServing() {
    logger.info(
      "roost serves",
      [
        "listen": .text(ListenFlags.text(gateway.addresses.filter { !$0.isTLS })),
        "tls_listen": .text(ListenFlags.text(gateway.addresses.filter(\.isTLS))),
        "data": .text(data.path), "python": .text(python.python),
        "version": .text(AssembledService.version), "pid": .integer(Int(getpid())),
      ])
    // A process that takes over is announced by the one that the service manager knows.
    if predecessor == nil { ServiceManager.say("READY=1", "STATUS=serving") }
  }

  func readCertificates() {
    do throws(PlatformError) {
      guard let context = try ListenFlags.tls(configuration, gateway.listeners) else { return }
      gateway.replaceTLS(context)
      logger.info("certificates were read again")
    } catch { logger.warning("certificates stay as they were", ["error": .text(error.message)]) }
  }

  // MARK: Upgrades

  /// Starts another process and waits until it could take over.
  func successor(for request: UpgradeRequest) async throws(PlatformError) -> Successor {
    guard getpid() != 1 else {
      throw PlatformError(
        .failedPrecondition,
        "this process is the first of its container, which ends with it: start another container instead")
    }
    let binary = request.binary ?? Self.ownFile
    let successor = try Successor(
      binary: binary, within: .seconds(request.timeoutSeconds), gateway: gateway, lock: data.lock.descriptor,
      signals: signals, predecessor: predecessor)
    do throws(PlatformError) {
      try await successor.prepared()
      logger.info(
        "another process is ready to take over",
        [
          "pid": .integer(Int(successor.process.pid)), "version": .text(successor.version),
          "schema": .integer(successor.schema), "binary": .text(binary),
        ])
      guard await responder.hold(within: .seconds(15)) else {
        throw PlatformError(
          .failedPrecondition, "a change by the API did not end within 15 s: try again when it has")
      }
    } catch {
      successor.abandon()
      throw error
    }
    return successor
  }

  /// The file that this program was started from; a newer one may have been put in its place.
  private static var ownFile: String {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = readlink("/proc/self/exe", &buffer, buffer.count)
    let path = String(decoding: buffer[..<max(0, count)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return path.hasSuffix(" (deleted)") ? String(path.dropLast(10)) : path
  }

  func refuse(_ call: UpgradeCall, _ error: PlatformError) {
    ServiceManager.say("READY=1", "STATUS=serving; the last upgrade failed: \(error.message)")
    call.reply(
      UpgradeReport(
        upgraded: false, message: error.message, pid: Int(getpid()), version: AssembledService.version))
  }

  /// The other process serves: this one drains, and ends.
  func leave(to successor: Successor, _ call: UpgradeCall, heldSince: ContinuousClock.Instant) async {
    responder.set(successor)
    feeds.forward { successor.observed($0) }
    data.lock.leave()
    let held = (ContinuousClock.now - heldSince) / .seconds(1)
    let pid = Int(successor.process.pid)
    let left = gateway.openConnections
    ServiceManager.say("MAINPID=\(pid)", "READY=1", "STATUS=serving")
    call.reply(
      UpgradeReport(
        upgraded: true, message: "process \(pid) serves", pid: pid, version: successor.version,
        seconds: successor.seconds, heldSeconds: held, leftConnections: left))
    let limit = Duration.seconds(call.request.drainSeconds)
    logger.info(
      "another process serves; this one drains",
      [
        "pid": .integer(pid), "connections": .integer(left),
        "api_held_ms": .integer(Int(held * 1000)), "limit_seconds": .integer(Int(call.request.drainSeconds)),
      ])
    await gateway.leave(limit: limit)
    logger.info("roost has left; the other process goes on")
  }
}

/// What the lasting parts say to the term of the moment.
final class TermFeeds: Sendable {
  private struct State {
    var observations: AsyncStream<GatewayObservation>.Continuation?
    var copies: AsyncStream<CapturedExchange>.Continuation?
    var records: AsyncStream<CapturedExchange>.Continuation?
    var meters: NodeMeters?
    var other: (@Sendable (GatewayObservation) -> Void)?
  }

  private let state = Mutex(State())

  /// Ends what the term before was fed with.
  func set(
    _ observations: AsyncStream<GatewayObservation>.Continuation?,
    _ copies: AsyncStream<CapturedExchange>.Continuation?,
    _ records: AsyncStream<CapturedExchange>.Continuation?, _ meters: NodeMeters?
  ) {
    let former = state.withLock { state in
      defer { state = State(observations: observations, copies: copies, records: records, meters: meters) }
      return state
    }
    former.observations?.finish()
    former.copies?.finish()
    former.records?.finish()
  }

  /// False when nobody takes it.
  func captured(_ exchange: CapturedExchange) -> Bool {
    let (copies, records) = state.withLock { ($0.copies, $0.records) }
    guard let copies, let records else { return false }
    var isTaken = true
    if exchange.forMirror, case .dropped = copies.yield(exchange) { isTaken = false }
    if exchange.forRecording, case .dropped = records.yield(exchange) { isTaken = false }
    return isTaken
  }

  /// The closure gets the observations from now on; it may block for some seconds.
  func forward(_ other: @escaping @Sendable (GatewayObservation) -> Void) {
    state.withLock { $0.other = other }
  }

  func observed(_ observation: GatewayObservation) {
    let (own, other) = state.withLock { ($0.observations, $0.other) }
    _ = own?.yield(observation)
    // Loops must not wait for another process.
    if let other { startThread { other(observation) } }
  }

  func write(_ text: inout PrometheusText) { state.withLock { $0.meters }?.write(&text) }
}
