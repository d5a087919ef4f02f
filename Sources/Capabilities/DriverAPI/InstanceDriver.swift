public import Domain

/// Runs the instances of one kind of node.
///
/// Contract, checked for every driver by its tests:
/// - the host process of a node (cells: the zygote) and its instances outlive this process;
/// - every call is idempotent; stopping what does not exist succeeds;
/// - `prepare` finds a host that runs already and adopts it.
public protocol InstanceDriver: Sendable {
  var capabilities: DriverCapabilities { get }

  /// Brings up the host of a node's release, or adopts it, and returns when it has restored its state.
  func prepare(_ launch: NodeLaunch) async throws(DriverFailure) -> HostReport
  /// Starts an instance from the prepared host; returns when its process exists and is inside its limits.
  func start(_ id: InstanceID, of launch: NodeLaunch) async throws(DriverFailure) -> InstanceHandle
  /// Ends when the instance can take requests (it has run what it must after the fork).
  func begin(_ handle: InstanceHandle) async throws(DriverFailure)
  /// True when the process of this handle still runs.
  func recover(_ handle: InstanceHandle) async -> Bool
  /// One health check: the instance answered, or is busy with a request. At most `timeout`.
  func probe(_ handle: InstanceHandle, timeout: Duration) async -> Bool
  /// Asks to end, kills after `grace`; returns when the process is gone and its cgroup and socket are removed.
  func stop(_ handle: InstanceHandle, grace: Duration) async
  /// SIGKILL now; the exit is reported by `exits`.
  func kill(_ handle: InstanceHandle) async
  /// Stops the instance from running for a while (SIGSTOP), or lets it go on (SIGCONT). False when that can't be.
  func freeze(_ handle: InstanceHandle, _ isFrozen: Bool) async -> Bool
  /// Exits of instances, of hosts and of processes of single requests, as they happen. One consumer.
  func exits() -> AsyncStream<InstanceExit>
  /// Ends the host of a release with all its instances; removes sockets, cgroups and files.
  func retire(_ node: NodeID, release: Int) async
  /// Ends all hosts but those to keep: orphans of deletes that a crash cut short. May take seconds for each.
  ///
  /// - Parameter keeping: asked after the look at what runs, so that a host made meanwhile is not taken for an orphan; nil ends none.
  func sweep(keeping: @Sendable () async -> [(node: NodeID, release: Int)]?) async
  /// Memory and processor use; nil when the process is gone.
  func usage(_ handle: InstanceHandle) async -> InstanceUsage?
  /// What instances have used and use, of those whose figures are known. Cheap: asked for every few seconds.
  func meters(_ handles: [InstanceHandle]) async -> [InstanceID: InstanceMeter]
  /// How long it took to make a new instance, and then to start it, where these are two things.
  func startTimes(of instance: InstanceID) async -> (create: Duration, start: Duration)?
  /// How an instance ended that `recover` did not find; nil when that isn't known.
  func postmortem(_ handle: InstanceHandle) async -> LastError?
  /// Why nothing can be started or ended now, in the user's words; nil when all is well.
  func trouble() async -> String?
  /// What `prepare` is doing for a node, in the user's words.
  func progress(of node: NodeID) async -> String?
  /// The node is deleted and all its hosts are retired: nothing of it needs to be known any more.
  func forget(_ node: NodeID) async
  /// The pools in which instances can be put, the usual one first; empty: this driver knows none.
  func zones() async -> [DriverZone]
  /// Networks of subnets that are no more go as soon as can be; returns at once.
  func subnetsChanged()
  /// In which zones instances of a release can be started.
  func preparedZones(of node: NodeID, release: Int) async -> Set<String>
}

extension InstanceDriver {
  public func freeze(_ handle: InstanceHandle, _ isFrozen: Bool) async -> Bool { false }
  public func startTimes(of instance: InstanceID) async -> (create: Duration, start: Duration)? { nil }
  public func meters(_ handles: [InstanceHandle]) async -> [InstanceID: InstanceMeter] { [:] }
  public func postmortem(_ handle: InstanceHandle) async -> LastError? { nil }
  public func trouble() async -> String? { nil }
  public func progress(of node: NodeID) async -> String? { nil }
  public func forget(_ node: NodeID) async {}
  public func zones() async -> [DriverZone] { [] }
  public func subnetsChanged() {}
  public func preparedZones(of node: NodeID, release: Int) async -> Set<String> { [] }

  /// Ends all hosts but these. Only while no node is made.
  public func sweep(keeping kept: [(node: NodeID, release: Int)]) async { await sweep { kept } }
}

public struct DriverCapabilities: Sendable, Codable, Equatable {
  /// Each limit that this machine enforces (`memory`, `cpu`, `pids`, `network`, `filesystem`, `syscalls`, `disk`, `root`).
  public var enforced: [String]
  /// Each limit that it can't enforce, with the reason.
  public var missing: [String: String]

  public init(enforced: [String], missing: [String: String]) {
    self.enforced = enforced
    self.missing = missing
  }
}

/// All that a driver needs to run one release of a node.
public struct NodeLaunch: Sendable, Codable, Equatable {
  public enum Isolation: String, Sendable, Codable { case instance, request }
  public enum StartMode: String, Sendable, Codable { case auto, fork, spawn }
  public enum Restore: String, Sendable, Codable { case reachable, full }
  public enum Subnet: String, Sendable, Codable { case none, host }
  public enum WarmUp: String, Sendable, Codable { case off, fork, instance }

  public var node: NodeID
  public var nodeName: String
  public var release: Int
  /// Path of the checkpoint's manifest blob.
  public var manifestPath: String
  /// How its user knows the checkpoint, for messages; nil in records of earlier versions.
  public var checkpoint: String?
  /// Paths of the blobs that the manifest names; the last path component is the 64 hex digits.
  public var blobPaths: [String]
  public var inputs: [Variable]
  public var outputs: [Variable]
  public var isolation: Isolation
  public var timeoutMilliseconds: UInt32
  public var startMode: StartMode
  public var restore: Restore
  public var keepRandomState: Bool
  public var subnet: Subnet
  /// vCPU, bytes and processes of one instance.
  public var cpus: Double
  public var memoryBytes: Int64
  public var pids: Int
  /// Where the example is run before callers' requests; nil in records of earlier versions: nowhere.
  public var warmUp: WarmUp?
  /// A JSON object of inputs.
  public var example: String?
  /// Which endpoint the instance stands for; only for instances that run already.
  public var endpoint: Endpoint?
  /// Of image nodes; the container's network has no way out when `subnet` is `none`.
  public var image: ImageSource?
  /// Of model nodes; `blobPaths` are the files of its models, in order.
  public var model: ModelSource?
  /// Of cell nodes; nil: the server's own interpreter.
  public var environment: EnvironmentPin?
  /// Of cell nodes: variables of instances and the names of the secrets that are their values.
  public var secrets: [String: String]?
  /// The zones of its instances with what network they get there; nil: the usual zone, a network of the node's own.
  public var placements: [LaunchPlacement]?
  /// GPUs of an instance; nil: none.
  public var gpus: Int?
  /// Of `start`: where this instance is put; nil: in the usual zone.
  public var zone: String?
  /// Folders and files of this machine that containers can read.
  public var mounts: [LaunchMount]?

  public init(
    node: NodeID, nodeName: String, release: Int, manifestPath: String, blobPaths: [String],
    inputs: [Variable],
    outputs: [Variable], isolation: Isolation = .instance, timeoutMilliseconds: UInt32 = 15000,
    startMode: StartMode = .auto, restore: Restore = .reachable, keepRandomState: Bool = false,
    subnet: Subnet = .none,
    cpus: Double = 4, memoryBytes: Int64 = 32 << 30, pids: Int = 512, endpoint: Endpoint? = nil,
    checkpoint: String? = nil, warmUp: WarmUp? = nil, example: String? = nil,
    image: ImageSource? = nil, environment: EnvironmentPin? = nil, secrets: [String: String]? = nil,
    model: ModelSource? = nil
  ) {
    self.model = model
    self.environment = environment
    self.node = node
    self.nodeName = nodeName
    self.release = release
    self.manifestPath = manifestPath
    self.blobPaths = blobPaths
    self.inputs = inputs
    self.outputs = outputs
    self.isolation = isolation
    self.timeoutMilliseconds = timeoutMilliseconds
    self.startMode = startMode
    self.restore = restore
    self.keepRandomState = keepRandomState
    self.subnet = subnet
    self.cpus = cpus
    self.memoryBytes = memoryBytes
    self.pids = pids
    self.endpoint = endpoint
    self.checkpoint = checkpoint
    self.warmUp = warmUp
    self.example = example
    self.image = image
    self.secrets = secrets
  }

  /// Equal but for names: a node or a checkpoint that was renamed needs no new host.
  public func runsLike(_ other: NodeLaunch) -> Bool {
    var named = self
    named.checkpoint = other.checkpoint
    named.nodeName = other.nodeName
    return named == other
  }
}

/// A folder or a file of this machine that a container sees at another path, and can't change.
public struct LaunchMount: Sendable, Codable, Equatable {
  public var source: String
  public var target: String

  public init(_ source: String, at target: String) {
    self.source = source
    self.target = target
  }
}

/// What a host says after it has restored its state.
public struct HostReport: Sendable, Codable, Equatable {
  public var pid: Int32
  /// `fork` or `spawn`, with the reason.
  public var mode: String
  public var modeReason: String
  public var restoreSeconds: Double
  public var restored: [String]
  public var warnings: [String]
  /// How the example request went; nil when it was not to be run.
  public var warmUp: WarmUpReport?
  /// Sizes of instances' files that could not be enforced (`disk`, `root`), with the reason; nil: nothing was to be.
  public var unlimited: [String: String]?

  public init(
    pid: Int32, mode: String, modeReason: String, restoreSeconds: Double, restored: [String] = [],
    warnings: [String] = [], warmUp: WarmUpReport? = nil,
    unlimited: [String: String]? = nil
  ) {
    self.pid = pid
    self.mode = mode
    self.modeReason = modeReason
    self.restoreSeconds = restoreSeconds
    self.restored = restored
    self.warnings = warnings
    self.warmUp = warmUp
    self.unlimited = unlimited
  }
}

/// How the run of a node's example request went, before any request of a caller.
public struct WarmUpReport: Sendable, Codable, Equatable {
  /// `done`, `failed` or `skipped`.
  public var state: String
  public var message: String
  public var seconds: Double

  public init(state: String, message: String, seconds: Double = 0) {
    self.state = state
    self.message = message
    self.seconds = seconds
  }
}

/// What is needed to find an instance again; kept in the store.
public struct InstanceHandle: Sendable, Codable, Hashable {
  public var instance: InstanceID
  public var node: NodeID
  public var release: Int
  /// Process id outside the sandbox and its start time in clock ticks (field 22 of `/proc/PID/stat`), so that a reused pid is noticed.
  public var pid: Int32
  public var startTicks: UInt64
  public var endpoint: Endpoint
  /// The pool that it is in; nil: the driver's usual one.
  public var zone: String?
  /// Where gRPC is spoken, when that is another port.
  public var callEndpoint: Endpoint?
  /// Where it tells metrics, when that is a place of its own: `host:port` or `unix:/path`.
  public var metricsAddress: String?

  public init(
    instance: InstanceID, node: NodeID, release: Int, pid: Int32, startTicks: UInt64, endpoint: Endpoint,
    zone: String? = nil, callEndpoint: Endpoint? = nil, metricsAddress: String? = nil
  ) {
    self.zone = zone
    self.metricsAddress = metricsAddress
    self.callEndpoint = callEndpoint
    self.instance = instance
    self.node = node
    self.release = release
    self.pid = pid
    self.startTicks = startTicks
    self.endpoint = endpoint
  }
}

/// An instance (or, with `instance` nil, the host of a node) ended, or a process that it made for one request; or it says itself that it
/// leaves rotation or returns.
public struct InstanceExit: Sendable, Equatable {
  public var node: NodeID
  public var release: Int
  public var instance: InstanceID?
  public var error: LastError
  /// Only the process of one request ended: the instance takes the next one as if nothing had been.
  public var instanceGoesOn: Bool
  /// Set when nothing ended: the instance can take no requests for now (`leaves`), or takes them again.
  public var rotation: Rotation?

  public enum Rotation: Sendable { case leaves, returns }

  public init(
    node: NodeID, release: Int, instance: InstanceID?, error: LastError, instanceGoesOn: Bool = false,
    rotation: Rotation? = nil
  ) {
    self.instanceGoesOn = instanceGoesOn
    self.rotation = rotation
    self.node = node
    self.release = release
    self.instance = instance
    self.error = error
  }
}

/// Memory as the kernel accounts it (`/proc/PID/smaps_rollup`), bytes; processor seconds since start.
public struct InstanceUsage: Sendable, Codable, Equatable {
  public var proportionalBytes: Int64
  public var sharedBytes: Int64
  public var privateBytes: Int64
  public var cpuSeconds: Double

  public init(proportionalBytes: Int64, sharedBytes: Int64, privateBytes: Int64, cpuSeconds: Double) {
    self.proportionalBytes = proportionalBytes
    self.sharedBytes = sharedBytes
    self.privateBytes = privateBytes
    self.cpuSeconds = cpuSeconds
  }
}

/// A step of a driver failed.
public struct DriverFailure: Error, Sendable {
  public var error: LastError

  public init(_ error: LastError) { self.error = error }
}
