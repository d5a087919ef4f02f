public import Access
internal import CLinux
public import Domain
public import HTTPModel
internal import HTTPTransport
internal import Reactor
internal import Synchronization
public import TLS
public import Telemetry

/// What a gateway is given.
public struct GatewayConfiguration: Sendable {
  /// A numeric address: `127.0.0.1`, `0.0.0.0`, `::1`.
  public var host: String
  /// 0: any free port, see `GatewayServer.port`.
  public var port: UInt16
  /// Event loops, one thread each; 0: one per core.
  public var loops: Int
  /// Bytes of an execute request's body.
  public var requestLimit: Int
  /// Bytes of an execute answer's outputs.
  public var responseLimit: Int
  /// Bytes of any other request's body.
  public var bodyLimit: Int
  /// Where to append a JSON line per execute request; nil: nowhere.
  public var accessLogFolder: String?
  public var logLimits: LogLimits
  /// Where the spans of recorded traces go; nil: nowhere.
  public var spans: SpanTarget?
  /// Where TLS is served beside the plaintext port; nil: nowhere.
  public var tls: TLSListener?

  /// An address for TLS.
  public struct TLSListener: Sendable {
    /// A numeric address.
    public var host: String
    /// 0: any free port, see `GatewayServer.tlsPort`.
    public var port: UInt16
    public var context: TLSContext

    public init(host: String, port: UInt16, context: TLSContext) {
      self.host = host
      self.port = port
      self.context = context
    }
  }

  public init(
    host: String = "127.0.0.1", port: UInt16 = 0, loops: Int = 0, requestLimit: Int = 16 << 20,
    responseLimit: Int = 16 << 20, bodyLimit: Int = (16 << 20) + (64 << 10), accessLogFolder: String? = nil,
    logLimits: LogLimits = LogLimits(),
    tls: TLSListener? = nil,
    spans: SpanTarget? = nil
  ) {
    self.host = host
    self.port = port
    self.loops = loops
    self.requestLimit = requestLimit
    self.responseLimit = responseLimit
    self.bodyLimit = bodyLimit
    self.accessLogFolder = accessLogFolder
    self.logLimits = logLimits
    self.tls = tls
    self.spans = spans
  }
}

/// The data plane: serves one port, answers execute requests from the instances of the last routing table, and gives
/// every other request to a responder.
///
/// `start` once, `publish` as often as needed, `drain` at the end. The observation closure is called on a loop's thread
/// and must not block.
public final class GatewayServer: Sendable {
  private enum Life {
    case initial
    case running([LoopThread])
    case stopped
  }

  private struct State {
    var life = Life.initial
    var table: LoopTable?
    /// Instances that left the table with requests still out.
    var leaving: [InstanceID: SharedInstance] = [:]
    var port: UInt16 = 0
    var tlsPort: UInt16 = 0
  }

  private let shared: GatewayShared
  private let state = Mutex(State())

  public init(
    configuration: GatewayConfiguration, verifier: any TokenVerifier, responder: any HTTPResponder,
    observe: @escaping @Sendable (GatewayObservation) -> Void, logger: Logger, metrics: MetricsRegistry
  ) {
    let wanted = configuration.loops > 0 ? configuration.loops : Int(roost_cores())
    let count = min(max(wanted, 1), SharedNode.maximumLoops)
    shared = GatewayShared(
      configuration: configuration, loops: count, verifier: verifier, responder: responder, observe: observe,
      logger: logger)
    metrics.add { [shared] text in shared.write(&text) }
  }

  /// The port that is served; 0 before `start`.
  public var port: UInt16 { state.withLock { $0.port } }

  /// The port that is served with TLS; 0 before `start` and without TLS.
  public var tlsPort: UInt16 { state.withLock { $0.tlsPort } }

  /// The generation of the table in use; nil before the first.
  public var generation: UInt64? { state.withLock { $0.table?.generation } }

  /// Binds the port and starts the loops. Throws `unavailable` that names the address when it can't be bound.
  public func start() throws(PlatformError) {
    let configuration = shared.configuration
    let (plain, port) = try listen(configuration.host, configuration.port)
    var tls: [Int32] = []
    var tlsPort: UInt16 = 0
    if let wanted = configuration.tls {
      shared.setTLS(wanted.context)
      do throws(PlatformError) {
        (tls, tlsPort) = try listen(wanted.host, wanted.port)
      } catch {
        for open in plain { _ = roost_close(open) }
        throw error
      }
    }
    let log = configuration.accessLogFolder.flatMap {
      AccessLog(folder: $0, limits: configuration.logLimits, logger: shared.logger)
    }
    shared.setAccessLog(log)
    var threads: [LoopThread] = []
    for index in plain.indices {
      let listeners =
        [HTTPListener(plain[index])] + (tls.isEmpty ? [] : [HTTPListener(tls[index], isTLS: true)])
      let thread = LoopThread(name: "gateway-\(index)") { [shared] in
        GatewayLoop(shared, index: index, listeners: listeners).run()
      }
      guard let thread else { throw PlatformError(.resourceExhausted, "can't start the thread of a loop") }
      threads.append(thread)
    }
    state.withLock {
      $0.life = .running(threads)
      $0.port = port
      $0.tlsPort = tlsPort
      if let table = $0.table { shared.post(.table(table)) }
    }
  }

  /// One socket per loop on the same port.
  private func listen(_ host: String, _ wanted: UInt16) throws(PlatformError) -> ([Int32], UInt16) {
    var listeners: [Int32] = []
    var port = wanted
    for _ in 0..<shared.mailboxes.count {
      let listener = roost_listen_tcp(host, port, 4096)
      guard listener >= 0 else {
        for open in listeners { _ = roost_close(open) }
        throw PlatformError(
          .unavailable, "can't listen on \(host):\(port): \(String(cString: roost_error_text(-listener)))")
      }
      listeners.append(listener)
      port = UInt16(clamping: roost_bound_port(listener))
    }
    return (listeners, port)
  }

  /// Uses other certificates for connections that come from now on; open ones go on with theirs.
  public func replaceTLS(_ context: TLSContext) {
    state.withLock { state in
      shared.setTLS(context)
      if case .running = state.life { shared.post(.tls(context)) }
    }
  }

  /// Replaces the routing table in all loops. False, and nothing changes, when it is older than the one in use.
  @discardableResult
  public func publish(_ table: RoutingTable) -> Bool {
    state.withLock { state in
      if let last = state.table, table.generation < last.generation { return false }
      let next = LoopTable(table, after: state.table)
      let staying = Set(next.nodes.flatMap { $0.instances.map { ObjectIdentifier($0) } })
      state.leaving = state.leaving.filter { $0.value.load > 0 }
      for instance in state.table?.nodes.flatMap(\.instances) ?? []
      where !staying.contains(ObjectIdentifier(instance)) {
        instance.retire()
        state.leaving[instance.routed.id] = instance
      }
      state.table = next
      shared.setTable(next)
      if case .running = state.life { shared.post(.table(next)) }
      return true
    }
  }

  /// Requests given to an instance and not yet answered, over all loops. Once an instance has left the published table and
  /// this is 0 it stays 0.
  public func outstanding(on id: InstanceID) -> Int {
    state.withLock { state in
      let routed = state.table?.nodes.lazy.flatMap(\.instances).first { $0.routed.id == id }
      return (routed ?? state.leaving[id])?.load ?? 0
    }
  }

  /// What was done with a recent request of this id (each loop remembers some 10,000); the newest one. Nil when none is.
  public func explain(_ requestID: String) -> RequestResource? {
    let found = shared.journals.enumerated().compactMap { loop, journal in
      journal.find(requestID).map { (loop: loop, record: $0) }
    }
    return found.max { $0.record.endedAt < $1.record.endedAt }.map { $0.record.resource(loop: $0.loop) }
  }

  /// Stops accepting, lets running requests end for at most `grace`, answers the rest with UNAVAILABLE, and ends the loops.
  public func drain(grace: Duration) async {
    let threads = state.withLock { state -> [LoopThread] in
      guard case .running(let threads) = state.life else { return [] }
      state.life = .stopped
      return threads
    }
    guard !threads.isEmpty else { return }
    shared.post(.drain)
    let end = ContinuousClock.now + grace
    while !shared.isDrained, ContinuousClock.now < end {
      try? await Task.sleep(for: .milliseconds(10))
    }
    shared.post(.cancelAll)
    shared.post(.stop)
    for thread in threads { thread.join() }
    shared.finishAccessLog()
    shared.spans?.finish()
  }
}
