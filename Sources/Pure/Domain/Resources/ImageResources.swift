/// What an image node is made of: a container image and how its containers run.
public struct ImageSource: Sendable, Codable, Equatable {
  /// As the user wrote it; the digest that it had when a release was made is pinned.
  public var reference: String
  /// Where the container listens; it gets the number as `PORT`.
  public var port: Int
  public var endpoint: EndpointSettings
  /// Without one, an instance is healthy while a connection to it can be made.
  public var healthCheck: HealthCheck?
  /// Metrics of its own that are pulled from each instance.
  public var telemetry: TelemetrySettings?
  /// Instead of the image's entry point.
  public var command: [String]?
  /// Instead of the image's arguments.
  public var args: [String]?
  public var environment: [String: String]
  /// Variables whose values are secrets of the node's folder: `{"API_KEY": "name-of-secret"}`.
  public var secrets: [String: String]?
  /// Files in memory whose contents are secrets of the node's folder: `{"/etc/app/key.json": "name-of-secret"}`.
  public var secretFiles: [String: String]?
  /// Who asks the registry for the image, where `passwordSecret` is given.
  public var registryUser: String?
  /// The secret of the node's folder that holds this user's password.
  public var passwordSecret: String?
  /// `USER[:GROUP]` instead of the image's.
  public var runAs: String?
  public var readOnlyRoot: Bool
  /// Paths with a file system in memory that is the instance's own.
  public var writablePaths: [String]
  /// Linux capabilities, like `CHOWN`; all others are dropped.
  public var capabilities: [String]
  /// Size of `/dev/shm`.
  public var sharedMemoryBytes: Int64
  /// A volume for each instance; nil: none.
  public var diskGigabytes: Int?
  public var diskPath: String
  /// Most that an instance may write to the image's own files, where these can be changed; nil: `usualRootDiskGigabytes`.
  public var rootDiskGigabytes: Int?
  /// An instance that is not healthy for this long is replaced.
  public var startTimeoutSeconds: Double
  /// Longest time that requests and streams may go on after an instance left rotation, before SIGTERM.
  public var drainSeconds: Double
  /// From SIGTERM to SIGKILL.
  public var stopSeconds: Double

  public static let usualRootDiskGigabytes = 10

  public init(
    reference: String, port: Int, endpoint: EndpointSettings = EndpointSettings(),
    healthCheck: HealthCheck? = nil, telemetry: TelemetrySettings? = nil, command: [String]? = nil,
    args: [String]? = nil,
    environment: [String: String] = [:], secrets: [String: String]? = nil,
    secretFiles: [String: String]? = nil, registryUser: String? = nil, passwordSecret: String? = nil,
    runAs: String? = nil, readOnlyRoot: Bool = true,
    writablePaths: [String] = ["/run", "/tmp", "/var/tmp"], capabilities: [String] = [],
    sharedMemoryBytes: Int64 = 64 << 20, diskGigabytes: Int? = nil, diskPath: String = "/disk",
    rootDiskGigabytes: Int? = nil,
    startTimeoutSeconds: Double = 300, drainSeconds: Double = 30, stopSeconds: Double = 10
  ) {
    self.reference = reference
    self.port = port
    self.endpoint = endpoint
    self.healthCheck = healthCheck
    self.telemetry = telemetry
    self.command = command
    self.args = args
    self.environment = environment
    self.secrets = secrets
    self.secretFiles = secretFiles
    self.registryUser = registryUser
    self.passwordSecret = passwordSecret
    self.runAs = runAs
    self.readOnlyRoot = readOnlyRoot
    self.writablePaths = writablePaths
    self.capabilities = capabilities
    self.sharedMemoryBytes = sharedMemoryBytes
    self.diskGigabytes = diskGigabytes
    self.diskPath = diskPath
    self.rootDiskGigabytes = rootDiskGigabytes
    self.startTimeoutSeconds = startTimeoutSeconds
    self.drainSeconds = drainSeconds
    self.stopSeconds = stopSeconds
  }
}

/// An image asked for; what is left out has its default, or that of `preset`.
public struct RequestedImage: Sendable, Codable, Equatable {
  public var reference: String?
  /// Usual port, endpoint and health check of a kind of server: `fastapi`, `triton`, `mlflow`, `sagemaker`.
  public var preset: String?
  public var port: Int?
  public var command: [String]?
  public var args: [String]?
  public var environment: [String: String]?
  /// Variables whose values are secrets of the node's folder: `{"API_KEY": "name-of-secret"}`.
  public var secrets: [String: String]?
  /// Files in memory whose contents are secrets of the node's folder: `{"/etc/app/key.json": "name-of-secret"}`.
  public var secretFiles: [String: String]?
  /// Who asks the registry for the image; left out with a `passwordSecret`: `json_key`.
  public var registryUser: String?
  /// The secret of the node's folder that holds this user's password.
  public var passwordSecret: String?
  public var runAs: String?
  public var readOnlyRoot: Bool?
  public var writablePaths: [String]?
  public var capabilities: [String]?
  public var sharedMemoryBytes: Int64?
  public var diskGigabytes: Int?
  public var diskPath: String?
  /// Most that an instance may write to the image's own files, with `readOnlyRoot` false: 1 to 4096; left out: 10.
  public var rootDiskGigabytes: Int?
  public var startTimeoutSeconds: Double?
  public var drainSeconds: Double?
  public var stopSeconds: Double?

  public init(
    reference: String? = nil, preset: String? = nil, port: Int? = nil, command: [String]? = nil,
    args: [String]? = nil, environment: [String: String]? = nil, secrets: [String: String]? = nil,
    secretFiles: [String: String]? = nil, registryUser: String? = nil, passwordSecret: String? = nil,
    runAs: String? = nil,
    readOnlyRoot: Bool? = nil, writablePaths: [String]? = nil, capabilities: [String]? = nil,
    sharedMemoryBytes: Int64? = nil, diskGigabytes: Int? = nil, diskPath: String? = nil,
    rootDiskGigabytes: Int? = nil,
    startTimeoutSeconds: Double? = nil, drainSeconds: Double? = nil, stopSeconds: Double? = nil
  ) {
    self.reference = reference
    self.preset = preset
    self.port = port
    self.command = command
    self.args = args
    self.environment = environment
    self.secrets = secrets
    self.secretFiles = secretFiles
    self.registryUser = registryUser
    self.passwordSecret = passwordSecret
    self.runAs = runAs
    self.readOnlyRoot = readOnlyRoot
    self.writablePaths = writablePaths
    self.capabilities = capabilities
    self.sharedMemoryBytes = sharedMemoryBytes
    self.diskGigabytes = diskGigabytes
    self.diskPath = diskPath
    self.rootDiskGigabytes = rootDiskGigabytes
    self.startTimeoutSeconds = startTimeoutSeconds
    self.drainSeconds = drainSeconds
    self.stopSeconds = stopSeconds
  }
}
