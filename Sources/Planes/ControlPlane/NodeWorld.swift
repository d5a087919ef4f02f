public import Domain
public import DriverAPI
public import Planning
public import Storage

/// Where the control plane puts routing tables and asks what is still under way.
public protocol RoutingSink: Sendable {
  /// Returns when every loop routes by this table.
  func publish(_ table: RoutingTable) async
  /// Requests written to the instance and not yet answered.
  func outstanding(on instance: InstanceID) async -> Int
  /// Ends the streams of an instance that has left the table and whose time to drain is over.
  func endStreams(on instance: InstanceID) async
  /// What is asked of a node; nil when it is not in the table.
  func load(of node: NodeID) async -> NodeLoad?
  /// The requests of a node so far; nil when it is not in the table.
  func traffic(of node: NodeID) async -> NodeTraffic?
  /// What the nodes of an alias answered; empty when it is not in the table.
  func loads(ofAlias alias: AliasID) async -> [ShareLoad]
  /// Requests of an alias that wait because it is held.
  func held(ofAlias alias: AliasID) async -> Int
  /// Makes a request to a node.
  func call(_ call: NodeCall) async -> NodeCallResult
  /// What became of copies of an alias' requests; nil when it is not in the table.
  func copies(ofAlias alias: AliasID) async -> (mirrored: CopyCounts, recorded: CopyCounts)?
  /// What the nodes of an alias answered since the service started to requests that the weights brought to them.
  func compared(ofAlias alias: AliasID) async -> [NodeID: RampWindow]
}

extension RoutingSink {
  public func loads(ofAlias alias: AliasID) async -> [ShareLoad] { [] }
  public func held(ofAlias alias: AliasID) async -> Int { 0 }
  public func call(_ call: NodeCall) async -> NodeCallResult { .failed("there is no gateway") }
  public func copies(ofAlias alias: AliasID) async -> (mirrored: CopyCounts, recorded: CopyCounts)? { nil }
  public func compared(ofAlias alias: AliasID) async -> [NodeID: RampWindow] { [:] }
}

/// What a node answered to requests of one alias since the service started.
public struct ShareLoad: Sendable, Equatable {
  public var node: NodeID
  public var requests: Int
  /// Those of them with a status of 500 or above.
  public var failures: Int
  /// Milliseconds within which half, and 95 of 100, were answered; nil before the first one.
  public var p50Milliseconds: Double?
  public var p95Milliseconds: Double?

  public init(
    node: NodeID, requests: Int, failures: Int, p50Milliseconds: Double? = nil, p95Milliseconds: Double? = nil
  ) {
    self.node = node
    self.requests = requests
    self.failures = failures
    self.p50Milliseconds = p50Milliseconds
    self.p95Milliseconds = p95Milliseconds
  }
}

extension RoutingSink {
  public func endStreams(on instance: InstanceID) async {}
  public func traffic(of node: NodeID) async -> NodeTraffic? { nil }
}

/// Requests of a node since the service started.
public struct NodeTraffic: Sendable, Equatable {
  public var requests: Int
  /// By how long they took: counts of the buckets of `Telemetry.Histogram`, not cumulative.
  public var durations: [Int]

  public init(requests: Int, durations: [Int]) {
    self.requests = requests
    self.durations = durations
  }
}

/// What is asked of a node at one moment.
public struct NodeLoad: Sendable, Equatable {
  /// Requests with instances.
  public var running: Int
  /// Requests that wait for one.
  public var queued: Int
  /// All requests since the service started.
  public var requests: Int

  public init(running: Int, queued: Int, requests: Int) {
    self.running = running
    self.queued = queued
    self.requests = requests
  }
}

/// All that reconcilers act on. A value of references, so that tests can put fakes in each place.
public struct NodeWorld: Sendable {
  public var cells: any InstanceDriver
  public var addresses: any InstanceDriver
  public var images: any InstanceDriver
  public var served: any InstanceDriver
  /// Looks at files of models; nil where none are taken.
  public var models: (any ModelReader)?
  /// Makes environments of cells; nil where none can be made.
  public var environments: (any EnvironmentMaker)?
  /// Asks an instance whether it may get requests.
  public var probe: @Sendable (ProbeTarget) async -> ProbeOutcome
  /// Instances that the process before this one, which has just handed over, sent requests to: they need not show again that
  /// they may get some.
  public var healthyBefore: Set<InstanceID> = []
  /// How late a probe may be before another is made beside it.
  public var probePatience = Duration.seconds(20)
  /// Metrics that instances tell of themselves.
  public var telemetry: NodeTelemetry
  /// What instances use.
  public var meters: NodeMeters
  public var store: Store
  public var blobs: BlobStore
  /// `ADDRESS/BITS` from which networks of nodes are taken.
  public var nodeNetworks: String?
  /// Image of model nodes that say nothing of how they are run.
  public var tritonImage: String?
  public var time: TimeSource
  /// A constant message with metadata.
  public var log: @Sendable (_ level: LogLevel, _ message: StaticString, _ metadata: [String: String]) -> Void
  /// Appends a line of the service to a node's log.
  public var note:
    @Sendable (_ node: NodeID, _ instance: InstanceID?, _ release: Int, _ message: String) -> Void

  public enum LogLevel: String, Sendable { case debug, info, warn, error }

  public init(
    cells: any InstanceDriver, addresses: any InstanceDriver, images: any InstanceDriver,
    served: (any InstanceDriver)? = nil, models: (any ModelReader)? = nil,
    environments: (any EnvironmentMaker)? = nil,
    probe: @escaping @Sendable (ProbeTarget) async -> ProbeOutcome, telemetry: NodeTelemetry? = nil,
    store: Store, blobs: BlobStore,
    time: TimeSource,
    log: @escaping @Sendable (LogLevel, StaticString, [String: String]) -> Void,
    note: @escaping @Sendable (NodeID, InstanceID?, Int, String) -> Void
  ) {
    self.cells = cells
    self.addresses = addresses
    self.images = images
    self.served = served ?? images
    self.models = models
    self.environments = environments
    self.probe = probe
    meters = NodeMeters(time: time)
    self.telemetry = telemetry ?? NodeTelemetry(time: time) { await Scraper().pull($0) }
    self.store = store
    self.blobs = blobs
    self.time = time
    self.log = log
    self.note = note
  }
  /// Wall-clock time, for records and for people.
  public func now() -> Timestamp { time.wall() }

  /// For deadlines and back-off.
  func uptime() -> Duration { time.uptime() }

  public func driver(of kind: NodeKind) -> any InstanceDriver {
    switch kind {
    case .cell: cells
    case .address: addresses
    case .image: images
    case .model: served
    }
  }

  var drivers: [any InstanceDriver] { NodeKind.allCases.map(driver) }
}
