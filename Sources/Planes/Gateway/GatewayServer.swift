public import Access
internal import CLinux
public import Domain
public import HTTPModel
internal import HTTPTransport
public import Planning
internal import Reactor
internal import Synchronization
public import TLS
public import Telemetry

/// The data plane: serves one port, answers execute requests from the instances of the last routing table, and gives
/// every other request to a responder.
///
/// `start` once, `publish` as often as needed, `drain` at the end. The observation closure is called on a loop's thread
/// and must not block; nor must the one that takes copies of requests, which is false for a copy that it has no room for.
public final class GatewayServer: Sendable {
  enum Life {
    case initial
    case running([LoopThread])
    case leaving([LoopThread])
    case stopped
  }

  struct State {
    var life = Life.initial
    var table: LoopTable?
    /// Instances that left the table with requests still out.
    var leaving: [InstanceID: SharedInstance] = [:]
    var addresses: [ListeningAddress] = []
    var sockets: [SocketFile] = []
    /// Requests of the platform so far: loops take turns.
    var injected: UInt = 0
    var handed: [InheritedSocket] = []
    /// Listeners of each loop that it does not serve yet.
    var waiting: [[HTTPListener]] = []
    /// What was published last.
    var published: RoutingTable?
  }

  let shared: GatewayShared
  let state = Mutex(State())

  public init(
    configuration: GatewayConfiguration, verifier: any TokenVerifier, responder: any HTTPResponder,
    observe: @escaping @Sendable (GatewayObservation) -> Void,
    captured: @escaping @Sendable (CapturedExchange) -> Bool = { _ in false }, logger: Logger,
    metrics: MetricsRegistry
  ) {
    let wanted = configuration.loops > 0 ? configuration.loops : Int(roost_cores())
    let count = min(max(wanted, 1), SharedNode.maximumLoops)
    shared = GatewayShared(
      configuration: configuration, loops: count, verifier: verifier, responder: responder, observe: observe,
      captured: captured, logger: logger)
    metrics.add { [shared] text in shared.write(&text) }
  }

  /// Where it listens, in the order of the configuration; empty before `start`.
  public var addresses: [ListeningAddress] { state.withLock { $0.addresses } }

  /// The first TCP port that is served without TLS; 0 before `start`.
  public var port: UInt16 { addresses.first { !$0.isTLS && $0.port > 0 }?.port ?? 0 }

  /// The first TCP port that is served with TLS; 0 before `start` and without TLS.
  public var tlsPort: UInt16 { addresses.first { $0.isTLS && $0.port > 0 }?.port ?? 0 }

  /// The generation of the table in use; nil before the first.
  public var generation: UInt64? { state.withLock { $0.table?.generation } }

  /// Binds what it is to listen on and starts the loops. Throws `unavailable` that names the address that can't be bound.
  ///
  /// - Parameter listens: false: connections are accepted after `listen` only.
  public func start(listens: Bool = true) throws(PlatformError) {
    let configuration = shared.configuration
    shared.setTLS(configuration.tls)
    var open = OpenListeners(loops: shared.mailboxes.count)
    for listener in configuration.listeners {
      try open.add(listener, inherited: configuration.inherited)
    }
    let log = configuration.accessLogFolder.flatMap {
      AccessLog(folder: $0, limits: configuration.logLimits, logger: shared.logger)
    }
    shared.setAccessLog(log)
    var threads: [LoopThread] = []
    for (index, all) in open.byLoop.enumerated() {
      let listeners = listens ? all : []
      let thread = LoopThread(name: "gateway-\(index)") { [shared] in
        GatewayLoop(shared, index: index, listeners: listeners).run()
      }
      guard let thread else { throw PlatformError(.resourceExhausted, "can't start the thread of a loop") }
      threads.append(thread)
    }
    state.withLock {
      $0.life = .running(threads)
      $0.addresses = open.addresses
      $0.sockets = open.sockets
      $0.handed = open.handed
      $0.waiting = listens ? [] : open.byLoop
      if let table = $0.table { shared.post(.table(table)) }
    }
  }

  /// Uses other certificates for connections that come from now on; open ones go on with theirs.
  public func replaceTLS(_ context: TLSContext) {
    state.withLock { state in
      shared.setTLS(context)
      if case .running = state.life { shared.post(.tls(context)) }
    }
  }

  /// Replaces the routing table in all loops, each of which takes it when it can: `settle` waits for that. False, and nothing
  /// changes, when it is older than the one in use.
  @discardableResult
  public func publish(_ table: RoutingTable) -> Bool {
    state.withLock { state in
      if let last = state.table, table.generation < last.generation { return false }
      let next = LoopTable(table, after: state.table)
      state.published = table
      let staying = Set(next.nodes.flatMap { $0.instances.map { ObjectIdentifier($0) } })
      state.leaving = state.leaving.filter { $0.value.load > 0 }
      for instance in state.table?.nodes.flatMap(\.instances) ?? []
      where !staying.contains(ObjectIdentifier(instance)) {
        instance.retire()
        state.leaving[instance.routed.id] = instance
      }
      state.table = next
      shared.setTable(next)
      switch state.life {
      case .running, .leaving: shared.post(.table(next))
      case .initial, .stopped: break
      }
      return true
    }
  }

  /// Waits until every loop routes by the last table: what is asked from then on is answered by it. Returns at once before `start`
  /// and after `drain`; false when a loop does not take the table within the time (the log tells), or the task is cancelled.
  @discardableResult
  public func settle(within limit: Duration = .seconds(5)) async -> Bool {
    let end = ContinuousClock.now + limit
    var pause = Duration.microseconds(100)
    while let wanted = generationToTake, !shared.counters.allSatisfy({ $0.generation.current >= wanted }) {
      guard ContinuousClock.now < end else {
        shared.logger.log(
          .warning, "a loop of the gateway does not take the routing table", ["generation": .integer(wanted)])
        return false
      }
      do { try await Task.sleep(for: pause) } catch { return false }
      pause = min(pause * 2, .milliseconds(10))
    }
    return true
  }

  /// The generation that every loop is to use; nil where no loop runs, or no table is.
  private var generationToTake: Int? {
    state.withLock { state in
      switch state.life {
      case .running, .leaving: state.table.map { Int(clamping: $0.generation) }
      case .initial, .stopped: nil
      }
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

  /// Ends the streams of an instance that is about to be stopped, as cleanly as their protocols can: calls of gRPC with UNAVAILABLE,
  /// event streams with the end of their answer, WebSockets with close frames. Other requests are left to the instance.
  public func endStreams(on id: InstanceID) {
    state.withLock { state in
      switch state.life {
      case .running, .leaving: shared.post(.part(id))
      case .initial, .stopped: break
      }
    }
  }

  /// What is asked of a node now, over all loops; nil when it is not in the table. `requests`: all that came and were not
  /// refused at once.
  public func load(of node: NodeID) -> (running: Int, queued: Int, requests: Int)? {
    guard let shared = state.withLock({ $0.table?.nodes.first { $0.routed.id == node }?.shared }) else {
      return nil
    }
    let running = max(shared.inFlight.current, 0)
    let queued = max(shared.queueLength, 0)
    return (running, queued, shared.answered + running + queued)
  }

  /// What the nodes of an alias answered to its requests since the service started.
  public func shares(of alias: AliasID) -> [(
    node: NodeID, requests: Int, failures: Int, p50Milliseconds: Double?, p95Milliseconds: Double?
  )] {
    let shared = state.withLock { $0.table?.aliases.first { $0.routed.id == alias }?.shared }
    return shared?.allShares.map {
      (
        $0.node, $0.requests, $0.failures, $0.durations.milliseconds(within: 0.5),
        $0.durations.milliseconds(within: 0.95)
      )
    } ?? []
  }

  /// Requests of an alias that wait because it is held.
  public func held(of alias: AliasID) -> Int {
    let shared = state.withLock { $0.table?.aliases.first { $0.routed.id == alias }?.shared }
    return shared?.held.load(ordering: .relaxed) ?? 0
  }

  /// Makes a request to a node, from within. A loop makes it as soon as it can; it never throws, the result says what came of it.
  public func call(_ call: NodeCall) async -> NodeCallResult {
    let injected = InjectedCall(call)
    let isRunning = state.withLock { state in
      guard case .running = state.life else { return false }
      state.injected &+= 1
      shared.mailboxes[Int(state.injected % UInt(shared.mailboxes.count))].post(.call(injected))
      return true
    }
    return isRunning ? await injected.result() : .failed("the server is shutting down")
  }

  /// What became of the copies of an alias' requests since the service started.
  public func copies(of alias: AliasID) -> (mirrored: CopyCounts, recorded: CopyCounts)? {
    let shared = state.withLock { $0.table?.aliases.first { $0.routed.id == alias }?.shared }
    return shared.map { (CopyCounts($0.mirrored), CopyCounts($0.recorded)) }
  }

  /// What the nodes of an alias answered since the service started to requests that the weights brought to them.
  public func compared(of alias: AliasID) -> [NodeID: RampWindow] {
    let shared = state.withLock { $0.table?.aliases.first { $0.routed.id == alias }?.shared }
    var found: [NodeID: RampWindow] = [:]
    for share in shared?.allShares ?? [] { found[share.node] = share.compared.current }
    return found
  }

  /// Requests of a node that were answered since the service started, by how long they took: counts of the buckets of
  /// `Histogram`. Nil when it is not in the table.
  public func durations(of node: NodeID) -> [Int]? {
    guard let shared = state.withLock({ $0.table?.nodes.first { $0.routed.id == node }?.shared }) else {
      return nil
    }
    var counts = [Int](repeating: 0, count: Histogram.bounds.count + 1)
    for path in shared.paths.all {
      for (index, count) in path.durations.current.counts.enumerated() { counts[index] += count }
    }
    return counts
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
    finish(threads)
    for socket in state.withLock({ $0.sockets }) { socket.remove() }
  }

  func finish(_ threads: [LoopThread]) {
    shared.post(.cancelAll)
    shared.post(.stop)
    for thread in threads { thread.join() }
    shared.finishAccessLog()
    shared.spans?.finish()
  }
}

extension CopyCounts {
  init(_ counters: CopyCounters) {
    self.init(
      taken: counters.taken.current, tooLarge: counters.tooLarge.current,
      overMemory: counters.overMemory.current, notCopyable: counters.notCopyable.current,
      unanswered: counters.unanswered.current)
  }
}
