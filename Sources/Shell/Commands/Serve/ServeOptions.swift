public import Domain

/// What `roost serve` was asked for.
public struct ServeOptions: Sendable, Equatable {
  public var dataFolder: String
  /// Each `HOST:PORT` or `unix:/PATH`; empty: the sockets of the service manager, else 127.0.0.1:8800.
  public var listen: [String]
  /// The interpreter of cell nodes; found when nil.
  public var python: String?
  public var loops: Int?
  public var sandbox: Bool
  public var logLevel: String
  /// `http://HOST[:PORT][/PATH]` of a collector of spans (OTLP over HTTP); nil: none.
  public var otlpEndpoint: String?
  /// Of the traces that begin here, how many are recorded: 0 to 1.
  public var otlpRatio: Double
  /// How much of logs is kept.
  public var logs: LogLimits
  /// `HOST:PORT` or `unix:/PATH`, beside `listen`, with TLS.
  public var tlsListen: [String]
  /// Certificates, the first of them for clients that name no known host.
  public var certificates: [Certificate]
  /// PEM file of authorities; clients must then show a certificate.
  public var clientAuthorities: String?
  /// Permissions of the files of unix sockets.
  public var socketMode: UInt32
  /// `LISTENER=PEERS`: listeners, written as they are in `listen`, on which each connection begins with the header of the
  /// PROXY protocol, and from whom.
  public var proxyProtocol: [String]
  /// Peers whose `x-forwarded-*` and `forwarded` headers are kept: `10.0.0.0/8,unix`.
  public var trustedProxies: String?
  /// `HOST[:PORT]` as clients call this server, for the audiences of their JWTs; empty: any.
  public var endpoints: [String]
  /// PEM file of the authorities of `https://` addresses; nil: the system's.
  public var upstreamAuthorities: String?
  /// `NAME.ALIASDOMAIN` as a request's host names an alias.
  public var aliasDomain: String?
  /// Where this server is; requests prefer instances of the same zone.
  public var zone: String?
  /// Container engines, the usual zone's first; empty: that of `DOCKER_HOST`, else Docker's own.
  public var engines: [EngineOption]
  /// `ADDRESS/BITS`: where the networks of image nodes are taken from; nil: 10.213.0.0/16.
  public var nodeNetworks: String?
  /// Image of which instances of model nodes are containers where the node says nothing; nil: they are processes.
  public var tritonImage: String?
  public var environments: EnvironmentOptions

  /// PEM files.
  public struct Certificate: Sendable, Equatable {
    public var chain: String
    public var key: String

    public init(chain: String, key: String) {
      self.chain = chain
      self.key = key
    }
  }

  public init(
    dataFolder: String = "./data", listen: [String] = [], python: String? = nil,
    loops: Int? = nil,
    sandbox: Bool = true, logLevel: String = "info", tlsListen: [String] = [],
    certificates: [Certificate] = [], clientAuthorities: String? = nil, socketMode: UInt32 = 0o660,
    proxyProtocol: [String] = [], trustedProxies: String? = nil, endpoints: [String] = [],
    aliasDomain: String? = nil, zone: String? = nil, upstreamAuthorities: String? = nil,
    otlpEndpoint: String? = nil, otlpRatio: Double = 1, logs: LogLimits = LogLimits(),
    engines: [EngineOption] = [], nodeNetworks: String? = nil, tritonImage: String? = nil,
    environments: EnvironmentOptions = EnvironmentOptions()
  ) {
    self.environments = environments
    self.dataFolder = dataFolder
    self.listen = listen
    self.python = python
    self.loops = loops
    self.sandbox = sandbox
    self.logLevel = logLevel
    self.tlsListen = tlsListen
    self.certificates = certificates
    self.clientAuthorities = clientAuthorities
    self.socketMode = socketMode
    self.proxyProtocol = proxyProtocol
    self.trustedProxies = trustedProxies
    self.endpoints = endpoints
    self.aliasDomain = aliasDomain
    self.zone = zone
    self.upstreamAuthorities = upstreamAuthorities
    self.otlpEndpoint = otlpEndpoint
    self.otlpRatio = otlpRatio
    self.logs = logs
    self.engines = engines
    self.nodeNetworks = nodeNetworks
    self.tritonImage = tritonImage
  }
}

/// What `roost upgrade` was asked for.
public struct UpgradeOptions: Sendable, Equatable {
  public var dataFolder: String
  /// An absolute path; nil: the file that the service was started from.
  public var binary: String?
  /// For the new process to take over, seconds.
  public var timeoutSeconds: Double
  /// For streams and requests of the old one, seconds.
  public var drainSeconds: Double
  /// Only this process may be replaced; nil: whichever serves the data folder.
  public var process: ProcessID?

  public init(
    dataFolder: String, binary: String? = nil, timeoutSeconds: Double = 60, drainSeconds: Double = 60,
    process: ProcessID? = nil
  ) {
    self.dataFolder = dataFolder
    self.binary = binary
    self.timeoutSeconds = timeoutSeconds
    self.drainSeconds = drainSeconds
    self.process = process
  }
}

/// What `roost doctor` was asked for.
public struct DoctorOptions: Sendable, Equatable {
  /// The interpreter of cell nodes; found when nil.
  public var python: String?
  /// Print JSON instead of lines for people.
  public var json: Bool

  public init(python: String? = nil, json: Bool = false) {
    self.python = python
    self.json = json
  }
}
