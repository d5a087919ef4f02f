/// Allowed instances. `count` is the fixed number within them; of a node that scales, the one it begins with.
public struct InstanceRange: Sendable, Codable, Equatable {
  public var min: Int
  public var max: Int
  public var count: Int

  public init(
    min: Int, max: Int, count: Int
  ) {
    self.min = min
    self.max = max
    self.count = count
  }
}

/// A zone with an optional subnet.
public struct ZonePlacement: Sendable, Codable, Equatable {
  public var zone: String
  public var subnet: String?

  public init(
    zone: String, subnet: String? = nil
  ) {
    self.zone = zone
    self.subnet = subnet
  }
}

/// What a cell node is made from.
public struct CellSource: Sendable, Codable, Equatable {
  public var checkpointId: CheckpointID
  public var inputs: [Variable]
  public var outputs: [Variable]
  /// `instance` or `request`.
  public var isolation: String
  /// `auto`, `fork` or `spawn`.
  public var startMode: String
  /// `reachable` or `full`.
  public var restore: String
  public var keepRandomState: Bool
  /// Where the example request is run before callers' requests: `off`, in a throw-away `fork`, or also in each `instance`.
  public var warmUp: String?
  /// Left out: the server's default environment.
  public var environment: EnvironmentPin?
  /// Variables of instances whose values are secrets of the node's folder: `{"API_KEY": "name-of-secret"}`.
  public var secrets: [String: String]?

  public init(
    checkpointId: CheckpointID, inputs: [Variable], outputs: [Variable], isolation: String = "instance",
    startMode: String = "auto", restore: String = "reachable", keepRandomState: Bool = false,
    warmUp: String? = nil, environment: EnvironmentPin? = nil, secrets: [String: String]? = nil
  ) {
    self.environment = environment
    self.checkpointId = checkpointId
    self.inputs = inputs
    self.outputs = outputs
    self.isolation = isolation
    self.startMode = startMode
    self.restore = restore
    self.keepRandomState = keepRandomState
    self.warmUp = warmUp
    self.secrets = secrets
  }
}

/// What the user wants of a node. Exactly one of its sources (`cell`, `address`, `image`, `model`) is set.
public struct NodeSpec: Sendable, Codable, Equatable {
  public var description: String
  public var cell: CellSource?
  public var address: AddressSource?
  public var image: ImageSource?
  public var model: ModelSource?
  /// Name in the catalogue, like `c1.4`; empty for an address node, of which nothing runs here.
  public var configuration: String
  public var instances: InstanceRange
  /// Left out: the number of instances is fixed.
  public var scaling: ScalingSpec?
  /// `none` or `host`; of an image node `default` (a network of its own with a way out) or `none`.
  public var subnet: String
  public var zones: [ZonePlacement]
  /// Instances that may be down at once for maintenance.
  public var maintenanceLimit: Int
  /// Longest time of one request; of address and image nodes: from its arrival to the head of its answer.
  public var timeoutSeconds: Double
  /// Requests that may wait.
  public var queueLimit: Int
  /// Most requests of all callers together.
  public var rateLimit: RateLimit?
  /// Most requests of one caller.
  public var callerRateLimit: RateLimit?
  /// Overrides the configuration's memory.
  public var memoryBytes: Int64?
  /// Overrides the configuration's vCPU.
  public var cpus: Double?
  /// Folders from which calls are allowed.
  public var acl: [FolderID]
  /// How a new release takes the place of the former one; left out: all defaults.
  public var rollOut: RollOutSpec?

  public init(
    description: String = "", cell: CellSource? = nil, address: AddressSource? = nil,
    image: ImageSource? = nil, model: ModelSource? = nil, configuration: String,
    instances: InstanceRange, scaling: ScalingSpec? = nil, subnet: String = "none",
    zones: [ZonePlacement] = [],
    maintenanceLimit: Int = 1, timeoutSeconds: Double = 15, queueLimit: Int = 1000,
    rateLimit: RateLimit? = nil, callerRateLimit: RateLimit? = nil, memoryBytes: Int64? = nil,
    cpus: Double? = nil, acl: [FolderID], rollOut: RollOutSpec? = nil
  ) {
    self.description = description
    self.cell = cell
    self.address = address
    self.image = image
    self.model = model
    self.configuration = configuration
    self.instances = instances
    self.scaling = scaling
    self.subnet = subnet
    self.zones = zones
    self.maintenanceLimit = maintenanceLimit
    self.timeoutSeconds = timeoutSeconds
    self.queueLimit = queueLimit
    self.rateLimit = rateLimit
    self.callerRateLimit = callerRateLimit
    self.memoryBytes = memoryBytes
    self.cpus = cpus
    self.acl = acl
    self.rollOut = rollOut
  }

  public var kind: NodeKind {
    address != nil ? .address : image != nil ? .image : model != nil ? .model : .cell
  }

  /// How instances are spoken to that requests are passed on to as they are; nil for cells.
  public var endpoint: EndpointSettings? {
    address?.endpoint ?? image?.endpoint ?? (model == nil ? nil : EndpointSettings(type: "http"))
  }
  /// Metrics that instances tell of themselves: what a container was made to tell, and those of Triton, on a port of its own.
  public var telemetry: TelemetrySettings? {
    image?.telemetry ?? (model == nil ? nil : TelemetrySettings(path: "/metrics", port: 0))
  }
  /// How those are probed.
  public var healthCheck: HealthCheck? { address.map(\.healthCheck) ?? image?.healthCheck }
}

/// What a node is made from.
public enum NodeKind: String, Sendable, Codable, CaseIterable {
  /// A cell of a pinned checkpoint.
  case cell
  /// Servers that run already, by their addresses.
  case address
  /// Containers of an image.
  case image
  /// Saved models, served by Triton.
  case model
}

/// A finer fact about a resource.
public struct Condition: Sendable, Codable, Equatable {
  public var type: String
  public var status: Bool
  public var reason: String
  public var message: String
  public var since: Timestamp

  public init(
    type: String, status: Bool, reason: String, message: String, since: Timestamp
  ) {
    self.type = type
    self.status = status
    self.reason = reason
    self.message = message
    self.since = since
  }
}

/// A limit in force and where it comes from.
public struct EffectiveLimit: Sendable, Codable, Equatable {
  public var name: String
  public var value: String
  public var origin: String

  public init(
    name: String, value: String, origin: String
  ) {
    self.name = name
    self.value = value
    self.origin = origin
  }
}

/// What was observed of a node.
public struct NodeStatusResource: Sendable, Codable, Equatable {
  public var status: NodeStatus
  public var healthyInstances: Int
  public var desiredInstances: Int
  /// The newest release that was wished; `rollOut` says which one serves.
  public var release: Int
  public var conditions: [Condition]
  public var lastError: LastError?
  /// `fork` or `spawn`, as the zygote decided, with the reason.
  public var startMode: String?
  /// Instances replaced since creation.
  public var restarts: Int
  public var rollOut: RollOutResource?
  /// Of a node of models: what Triton measured of each, over the instances there are, since they were started. Filled by get.
  public var models: [ServedModelResource]?
  /// Of a node of models: how often one was loaded anew because its process had died, since the server was started.
  public var reloads: Int?

  public init(
    status: NodeStatus, healthyInstances: Int, desiredInstances: Int, release: Int,
    conditions: [Condition], lastError: LastError? = nil, startMode: String? = nil, restarts: Int = 0,
    rollOut: RollOutResource? = nil
  ) {
    self.status = status
    self.healthyInstances = healthyInstances
    self.desiredInstances = desiredInstances
    self.release = release
    self.conditions = conditions
    self.lastError = lastError
    self.startMode = startMode
    self.restarts = restarts
    self.rollOut = rollOut
  }
}

/// What was measured of a model that is served.
public struct ServedModelResource: Sendable, Codable, Equatable {
  public var name: String
  /// Left out: 1.
  public var version: Int?
  /// Requests that were answered, and those that failed in Triton or in the model.
  public var requests: Int
  public var failures: Int
  /// Calls of the model: fewer than requests when they were put together.
  public var executions: Int
  /// Mean time of a request in Triton's queue, and with the model; left out: nothing was asked.
  public var queueMilliseconds: Double?
  public var computeMilliseconds: Double?
  /// Requests that wait in Triton now.
  public var pending: Int

  public init(
    name: String, version: Int? = nil, requests: Int, failures: Int, executions: Int,
    queueMilliseconds: Double?, computeMilliseconds: Double?, pending: Int
  ) {
    self.name = name
    self.version = version
    self.requests = requests
    self.failures = failures
    self.executions = executions
    self.queueMilliseconds = queueMilliseconds
    self.computeMilliseconds = computeMilliseconds
    self.pending = pending
  }
}

/// A deployed unit behind one API.
public struct NodeResource: Sendable, Codable, Equatable {
  public var id: NodeID
  public var folderId: FolderID
  public var projectId: ProjectID
  public var name: String
  public var kind: NodeKind
  public var createdAt: Timestamp
  public var createdBy: String
  public var updatedAt: Timestamp
  public var generation: Int
  public var spec: NodeSpec
  public var status: NodeStatusResource
  /// Filled by get.
  public var limits: [EffectiveLimit]
  /// Where a node of a cell or of models takes inputs, or the prefix under which other nodes take any request.
  public var executePath: String
  /// An example of inputs, a JSON object as text: values of the checkpoint, else made of the types. Filled by get.
  public var example: JSONText?

  public init(
    id: NodeID, folderId: FolderID, projectId: ProjectID, name: String, kind: NodeKind, createdAt: Timestamp,
    createdBy: String, updatedAt: Timestamp, generation: Int, spec: NodeSpec, status: NodeStatusResource,
    limits: [EffectiveLimit] = [], executePath: String, example: JSONText? = nil
  ) {
    self.id = id
    self.folderId = folderId
    self.projectId = projectId
    self.name = name
    self.kind = kind
    self.createdAt = createdAt
    self.createdBy = createdBy
    self.updatedAt = updatedAt
    self.generation = generation
    self.spec = spec
    self.status = status
    self.limits = limits
    self.executePath = executePath
    self.example = example
  }
}

/// One isolated running copy of a node's release. Memory in bytes.
public struct InstanceResource: Sendable, Codable, Equatable {
  public var id: InstanceID
  public var nodeId: NodeID
  public var nodeName: String
  public var release: Int
  public var status: InstanceStatus
  public var pid: Int32?
  public var createdAt: Timestamp
  public var startedAt: Timestamp?
  public var proportionalBytes: Int64?
  public var sharedBytes: Int64?
  public var privateBytes: Int64?
  /// Processor time since its start, seconds.
  public var cpuSeconds: Double?
  public var lastError: LastError?
  /// Where it answers, for instances that have an address of their own.
  public var address: String?
  /// `http1`, `http2` or `frames`.
  public var wireProtocol: String?
  public var zone: String?
  /// Its newest health check, where it has any.
  public var lastProbe: ProbeResource?

  public init(
    id: InstanceID, nodeId: NodeID, nodeName: String, release: Int, status: InstanceStatus, pid: Int32? = nil,
    createdAt: Timestamp, startedAt: Timestamp? = nil, proportionalBytes: Int64? = nil,
    sharedBytes: Int64? = nil, privateBytes: Int64? = nil, cpuSeconds: Double? = nil,
    lastError: LastError? = nil,
    address: String? = nil, wireProtocol: String? = nil, zone: String? = nil,
    lastProbe: ProbeResource? = nil
  ) {
    self.id = id
    self.nodeId = nodeId
    self.nodeName = nodeName
    self.release = release
    self.status = status
    self.pid = pid
    self.createdAt = createdAt
    self.startedAt = startedAt
    self.proportionalBytes = proportionalBytes
    self.sharedBytes = sharedBytes
    self.privateBytes = privateBytes
    self.cpuSeconds = cpuSeconds
    self.lastError = lastError
    self.address = address
    self.wireProtocol = wireProtocol
    self.zone = zone
    self.lastProbe = lastProbe
  }
}

/// A line of a node's log.
public struct LogLine: Sendable, Codable, Equatable {
  public var time: String
  public var instance: String?
  public var release: Int?
  public var requestId: String?
  public var stream: String
  public var message: String

  public init(
    time: String, instance: String? = nil, release: Int? = nil, requestId: String? = nil, stream: String,
    message: String
  ) {
    self.time = time
    self.instance = instance
    self.release = release
    self.requestId = requestId
    self.stream = stream
    self.message = message
  }
}

/// Answer of `GET /v1/nodes/{id}/logs`. `since` and `until`: a time (RFC 3339, UTC) or whole seconds back from now. `grep`: a regular expression without going back (docs/observability.md).
public struct LogPage: Sendable, Codable, Equatable {
  public var lines: [LogLine]
  /// Give as `after` to go on.
  public var cursor: String

  public init(
    lines: [LogLine], cursor: String
  ) {
    self.lines = lines
    self.cursor = cursor
  }
}
