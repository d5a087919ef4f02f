/// Allowed instances, and the fixed count within them.
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

  public init(
    checkpointId: CheckpointID, inputs: [Variable], outputs: [Variable], isolation: String = "instance",
    startMode: String = "auto", restore: String = "reachable", keepRandomState: Bool = false
  ) {
    self.checkpointId = checkpointId
    self.inputs = inputs
    self.outputs = outputs
    self.isolation = isolation
    self.startMode = startMode
    self.restore = restore
    self.keepRandomState = keepRandomState
  }
}

/// What the user wants of a node.
public struct NodeSpec: Sendable, Codable, Equatable {
  public var description: String
  public var cell: CellSource
  /// Name in the catalogue, like `c1.4`.
  public var configuration: String
  public var instances: InstanceRange
  /// `none` or `host`.
  public var subnet: String
  public var zones: [ZonePlacement]
  /// Instances that may be down at once for maintenance.
  public var maintenanceLimit: Int
  /// Longest time of one request.
  public var timeoutSeconds: Double
  /// Requests that may wait.
  public var queueLimit: Int
  /// Overrides the configuration's memory.
  public var memoryBytes: Int64?
  /// Overrides the configuration's vCPU.
  public var cpus: Double?
  /// Folders from which calls are allowed.
  public var acl: [FolderID]

  public init(
    description: String = "", cell: CellSource, configuration: String, instances: InstanceRange,
    subnet: String = "none", zones: [ZonePlacement] = [], maintenanceLimit: Int = 1,
    timeoutSeconds: Double = 15, queueLimit: Int = 1000, memoryBytes: Int64? = nil, cpus: Double? = nil,
    acl: [FolderID]
  ) {
    self.description = description
    self.cell = cell
    self.configuration = configuration
    self.instances = instances
    self.subnet = subnet
    self.zones = zones
    self.maintenanceLimit = maintenanceLimit
    self.timeoutSeconds = timeoutSeconds
    self.queueLimit = queueLimit
    self.memoryBytes = memoryBytes
    self.cpus = cpus
    self.acl = acl
  }
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
  public var release: Int
  public var conditions: [Condition]
  public var lastError: LastError?
  /// `fork` or `spawn`, as the zygote decided, with the reason.
  public var startMode: String?
  /// Instances replaced since creation.
  public var restarts: Int

  public init(
    status: NodeStatus, healthyInstances: Int, desiredInstances: Int, release: Int,
    conditions: [Condition], lastError: LastError? = nil, startMode: String? = nil, restarts: Int = 0
  ) {
    self.status = status
    self.healthyInstances = healthyInstances
    self.desiredInstances = desiredInstances
    self.release = release
    self.conditions = conditions
    self.lastError = lastError
    self.startMode = startMode
    self.restarts = restarts
  }
}

/// A deployed unit behind one API.
public struct NodeResource: Sendable, Codable, Equatable {
  public var id: NodeID
  public var folderId: FolderID
  public var projectId: ProjectID
  public var name: String
  /// `cell`.
  public var kind: String
  public var createdAt: Timestamp
  public var createdBy: String
  public var updatedAt: Timestamp
  public var generation: Int
  public var spec: NodeSpec
  public var status: NodeStatusResource
  /// Filled by get.
  public var limits: [EffectiveLimit]
  public var executePath: String
  /// Example inputs, a JSON object as text.
  public var example: JSONText?

  public init(
    id: NodeID, folderId: FolderID, projectId: ProjectID, name: String, kind: String, createdAt: Timestamp,
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

/// Body of `POST /v1/nodes`. `checkpoint` is an id or the name of a pinned checkpoint; `project` and `folder` ids or names.
public struct CreateNodeRequest: Sendable, Codable, Equatable {
  public var name: String
  public var description: String?
  public var project: String?
  public var folder: String?
  public var checkpoint: String
  public var inputs: [RequestedVariable]?
  public var outputs: [RequestedVariable]?
  public var configuration: String?
  public var instances: RequestedInstances?
  public var isolation: String?
  public var startMode: String?
  public var restore: String?
  public var keepRandomState: Bool?
  public var subnet: String?
  public var zones: [ZonePlacement]?
  public var maintenanceLimit: Int?
  public var timeoutSeconds: Double?
  public var queueLimit: Int?
  public var memoryBytes: Int64?
  public var cpus: Double?
  /// Folder ids or names.
  public var acl: [String]?

  public init(
    name: String, description: String? = nil, project: String? = nil, folder: String? = nil,
    checkpoint: String, inputs: [RequestedVariable]? = nil, outputs: [RequestedVariable]? = nil,
    configuration: String? = nil, instances: RequestedInstances? = nil, isolation: String? = nil,
    startMode: String? = nil, restore: String? = nil, keepRandomState: Bool? = nil, subnet: String? = nil,
    zones: [ZonePlacement]? = nil, maintenanceLimit: Int? = nil, timeoutSeconds: Double? = nil,
    queueLimit: Int? = nil, memoryBytes: Int64? = nil, cpus: Double? = nil, acl: [String]? = nil
  ) {
    self.name = name
    self.description = description
    self.project = project
    self.folder = folder
    self.checkpoint = checkpoint
    self.inputs = inputs
    self.outputs = outputs
    self.configuration = configuration
    self.instances = instances
    self.isolation = isolation
    self.startMode = startMode
    self.restore = restore
    self.keepRandomState = keepRandomState
    self.subnet = subnet
    self.zones = zones
    self.maintenanceLimit = maintenanceLimit
    self.timeoutSeconds = timeoutSeconds
    self.queueLimit = queueLimit
    self.memoryBytes = memoryBytes
    self.cpus = cpus
    self.acl = acl
  }
}

/// A declared variable before its type is checked.
public struct RequestedVariable: Sendable, Codable, Equatable {
  public var name: String
  public var type: String

  public init(
    name: String, type: String
  ) {
    self.name = name
    self.type = type
  }
}

/// Instances asked for; `count` defaults to `min`.
public struct RequestedInstances: Sendable, Codable, Equatable {
  public var min: Int?
  public var max: Int?
  public var count: Int?

  public init(
    min: Int? = nil, max: Int? = nil, count: Int? = nil
  ) {
    self.min = min
    self.max = max
    self.count = count
  }
}

/// Body of `PATCH /v1/nodes/{id}`; `update_mask` (query, comma separated) names what changes.
public struct UpdateNodeRequest: Sendable, Codable, Equatable {
  public var name: String?
  public var description: String?
  public var instances: RequestedInstances?
  public var acl: [String]?
  public var maintenanceLimit: Int?
  public var timeoutSeconds: Double?
  public var queueLimit: Int?

  public init(
    name: String? = nil, description: String? = nil, instances: RequestedInstances? = nil,
    acl: [String]? = nil, maintenanceLimit: Int? = nil, timeoutSeconds: Double? = nil,
    queueLimit: Int? = nil
  ) {
    self.name = name
    self.description = description
    self.instances = instances
    self.acl = acl
    self.maintenanceLimit = maintenanceLimit
    self.timeoutSeconds = timeoutSeconds
    self.queueLimit = queueLimit
  }
}

/// One isolated running copy of a node's release. Memory in bytes.
public struct InstanceResource: Sendable, Codable, Equatable {
  public var id: InstanceID
  public var nodeId: NodeID
  public var release: Int
  public var status: InstanceStatus
  public var pid: Int32?
  public var createdAt: Timestamp
  public var startedAt: Timestamp?
  public var proportionalBytes: Int64?
  public var sharedBytes: Int64?
  public var privateBytes: Int64?
  public var lastError: LastError?

  public init(
    id: InstanceID, nodeId: NodeID, release: Int, status: InstanceStatus, pid: Int32? = nil,
    createdAt: Timestamp, startedAt: Timestamp? = nil, proportionalBytes: Int64? = nil,
    sharedBytes: Int64? = nil, privateBytes: Int64? = nil, lastError: LastError? = nil
  ) {
    self.id = id
    self.nodeId = nodeId
    self.release = release
    self.status = status
    self.pid = pid
    self.createdAt = createdAt
    self.startedAt = startedAt
    self.proportionalBytes = proportionalBytes
    self.sharedBytes = sharedBytes
    self.privateBytes = privateBytes
    self.lastError = lastError
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

/// Answer of `GET /v1/nodes/{id}/logs?after=CURSOR&tail=N&wait=SECONDS`.
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
