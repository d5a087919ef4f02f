/// Body of `POST /v1/nodes`. A node of kind `cell` needs a `checkpoint`, one of kind `address` needs `addresses`, one of kind `image` needs `image`, one of kind `model` needs `model`. `checkpoint` is an id or the name of a pinned checkpoint; `project` and `folder` ids or names.
public struct CreateNodeRequest: Sendable, Codable, Equatable {
  public var name: String
  public var description: String?
  public var project: String?
  public var folder: String?
  /// `cell` when left out.
  public var kind: NodeKind?
  public var checkpoint: String?
  public var inputs: [RequestedVariable]?
  public var outputs: [RequestedVariable]?
  public var configuration: String?
  public var instances: RequestedInstances?
  /// How the number follows the load.
  public var scaling: ScalingSpec?
  public var isolation: String?
  public var startMode: String?
  public var restore: String?
  public var keepRandomState: Bool?
  /// `off`, `fork` or `instance`; left out: `fork`, and `off` with `subnet: host`.
  public var warmUp: String?
  /// Name or id of an environment; left out: the server's default one.
  public var environment: String?
  /// Packages of other versions than in the notebook are refused, not only told.
  public var strictEnvironment: Bool?
  /// Variables of instances whose values are secrets of the node's folder, `{"API_KEY": "name-of-secret"}`; of image nodes the same as `image.secrets`.
  public var secrets: [String: String]?
  public var subnet: String?
  public var zones: [ZonePlacement]?
  public var maintenanceLimit: Int?
  public var timeoutSeconds: Double?
  public var queueLimit: Int?
  public var addresses: [NodeAddress]?
  public var image: RequestedImage?
  /// Saved models of the project.
  public var model: RequestedModels?
  public var endpoint: RequestedEndpoint?
  public var healthCheck: RequestedHealthCheck?
  /// Of image nodes.
  public var telemetry: RequestedTelemetry?
  public var rateLimit: RateLimit?
  public var callerRateLimit: RateLimit?
  public var memoryBytes: Int64?
  public var cpus: Double?
  /// Folder ids or names.
  public var acl: [String]?
  /// How later releases take the place of former ones.
  public var rollOut: RollOutSpec?

  public init(
    name: String, description: String? = nil, project: String? = nil, folder: String? = nil,
    kind: NodeKind? = nil, checkpoint: String? = nil, inputs: [RequestedVariable]? = nil,
    outputs: [RequestedVariable]? = nil,
    configuration: String? = nil, instances: RequestedInstances? = nil,
    scaling: ScalingSpec? = nil, isolation: String? = nil, startMode: String? = nil, restore: String? = nil,
    keepRandomState: Bool? = nil,
    warmUp: String? = nil, environment: String? = nil, strictEnvironment: Bool? = nil,
    secrets: [String: String]? = nil, subnet: String? = nil,
    zones: [ZonePlacement]? = nil, maintenanceLimit: Int? = nil, timeoutSeconds: Double? = nil,
    queueLimit: Int? = nil, addresses: [NodeAddress]? = nil, image: RequestedImage? = nil,
    model: RequestedModels? = nil, endpoint: RequestedEndpoint? = nil,
    healthCheck: RequestedHealthCheck? = nil, telemetry: RequestedTelemetry? = nil,
    rateLimit: RateLimit? = nil, callerRateLimit: RateLimit? = nil, memoryBytes: Int64? = nil,
    cpus: Double? = nil,
    acl: [String]? = nil, rollOut: RollOutSpec? = nil
  ) {
    self.name = name
    self.description = description
    self.project = project
    self.folder = folder
    self.kind = kind
    self.checkpoint = checkpoint
    self.inputs = inputs
    self.outputs = outputs
    self.configuration = configuration
    self.instances = instances
    self.scaling = scaling
    self.isolation = isolation
    self.startMode = startMode
    self.restore = restore
    self.keepRandomState = keepRandomState
    self.warmUp = warmUp
    self.environment = environment
    self.strictEnvironment = strictEnvironment
    self.secrets = secrets
    self.subnet = subnet
    self.zones = zones
    self.maintenanceLimit = maintenanceLimit
    self.timeoutSeconds = timeoutSeconds
    self.queueLimit = queueLimit
    self.addresses = addresses
    self.image = image
    self.model = model
    self.endpoint = endpoint
    self.healthCheck = healthCheck
    self.telemetry = telemetry
    self.rateLimit = rateLimit
    self.callerRateLimit = callerRateLimit
    self.memoryBytes = memoryBytes
    self.cpus = cpus
    self.acl = acl
    self.rollOut = rollOut
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

/// Instances asked for. With a `count` it is fixed; without one, and with `max` above `min`, it follows the load.
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

/// Body of `PATCH /v1/nodes/{id}`; `update_mask` (query, comma separated) names what changes. What instances are made of makes a new
/// release, whose instances take the place of the former ones.
public struct UpdateNodeRequest: Sendable, Codable, Equatable {
  public var name: String?
  public var description: String?
  public var instances: RequestedInstances?
  /// How the number follows the load.
  public var scaling: ScalingSpec?
  public var acl: [String]?
  public var maintenanceLimit: Int?
  public var timeoutSeconds: Double?
  public var queueLimit: Int?
  /// All of them anew; requests under way at addresses that leave may end.
  public var addresses: [NodeAddress]?
  public var endpoint: RequestedEndpoint?
  /// Left out of the body but in the mask: no health check.
  public var healthCheck: RequestedHealthCheck?
  /// Left out of the body but in the mask: nothing is pulled.
  public var telemetry: RequestedTelemetry?
  public var rateLimit: RateLimit?
  public var callerRateLimit: RateLimit?
  /// Id or name of a pinned checkpoint; this and all below make a new release.
  public var checkpoint: String?
  public var inputs: [RequestedVariable]?
  public var outputs: [RequestedVariable]?
  public var isolation: String?
  public var startMode: String?
  public var restore: String?
  public var keepRandomState: Bool?
  public var warmUp: String?
  /// Name or id of an environment; `default` is the server's own.
  public var environment: String?
  /// Packages of other versions than in the notebook are refused; needs no place in the mask.
  public var strictEnvironment: Bool?
  /// Variables of instances whose values are secrets; all of them anew.
  public var secrets: [String: String]?
  public var configuration: String?
  public var subnet: String?
  public var zones: [ZonePlacement]?
  public var memoryBytes: Int64?
  public var cpus: Double?
  /// Only what is given of it changes.
  public var image: RequestedImage?
  /// Only what is given of it changes; models all anew where any is named.
  public var model: RequestedModels?
  /// How this and later releases take the place of former ones; makes none by itself.
  public var rollOut: RollOutSpec?

  public init(
    name: String? = nil,
    description: String? = nil,
    instances: RequestedInstances? = nil,
    scaling: ScalingSpec? = nil,
    acl: [String]? = nil,
    maintenanceLimit: Int? = nil,
    timeoutSeconds: Double? = nil,
    queueLimit: Int? = nil,
    addresses: [NodeAddress]? = nil,
    endpoint: RequestedEndpoint? = nil,
    healthCheck: RequestedHealthCheck? = nil,
    telemetry: RequestedTelemetry? = nil,
    rateLimit: RateLimit? = nil,
    callerRateLimit: RateLimit? = nil,
    checkpoint: String? = nil,
    inputs: [RequestedVariable]? = nil,
    outputs: [RequestedVariable]? = nil,
    isolation: String? = nil,
    startMode: String? = nil,
    restore: String? = nil,
    keepRandomState: Bool? = nil,
    warmUp: String? = nil,
    environment: String? = nil,
    strictEnvironment: Bool? = nil,
    secrets: [String: String]? = nil,
    configuration: String? = nil,
    subnet: String? = nil,
    zones: [ZonePlacement]? = nil,
    memoryBytes: Int64? = nil,
    cpus: Double? = nil,
    image: RequestedImage? = nil,
    rollOut: RollOutSpec? = nil
  ) {
    self.name = name
    self.description = description
    self.instances = instances
    self.scaling = scaling
    self.acl = acl
    self.maintenanceLimit = maintenanceLimit
    self.timeoutSeconds = timeoutSeconds
    self.queueLimit = queueLimit
    self.addresses = addresses
    self.endpoint = endpoint
    self.healthCheck = healthCheck
    self.telemetry = telemetry
    self.rateLimit = rateLimit
    self.callerRateLimit = callerRateLimit
    self.checkpoint = checkpoint
    self.inputs = inputs
    self.outputs = outputs
    self.isolation = isolation
    self.startMode = startMode
    self.restore = restore
    self.keepRandomState = keepRandomState
    self.environment = environment
    self.strictEnvironment = strictEnvironment
    self.warmUp = warmUp
    self.secrets = secrets
    self.configuration = configuration
    self.subnet = subnet
    self.zones = zones
    self.memoryBytes = memoryBytes
    self.cpus = cpus
    self.image = image
    self.rollOut = rollOut
  }
}
