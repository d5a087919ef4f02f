public import Domain

/// What `roost serve` was asked for.
public struct ServeOptions: Sendable, Equatable {
  public var dataFolder: String
  /// `host:port`.
  public var listen: String
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
  public var tls: TLSOptions?

  /// Where TLS is served and with what.
  public struct TLSOptions: Sendable, Equatable {
    /// `host:port`.
    public var listen: String
    /// PEM files.
    public var chain: String
    public var key: String
    /// PEM file of authorities; clients must then show a certificate.
    public var clientAuthorities: String?

    public init(listen: String, chain: String, key: String, clientAuthorities: String? = nil) {
      self.listen = listen
      self.chain = chain
      self.key = key
      self.clientAuthorities = clientAuthorities
    }
  }

  public init(
    dataFolder: String = "./data", listen: String = "127.0.0.1:8800", python: String? = nil,
    loops: Int? = nil,
    sandbox: Bool = true, logLevel: String = "info", tls: TLSOptions? = nil,
    otlpEndpoint: String? = nil, otlpRatio: Double = 1, logs: LogLimits = LogLimits()
  ) {
    self.dataFolder = dataFolder
    self.listen = listen
    self.python = python
    self.loops = loops
    self.sandbox = sandbox
    self.logLevel = logLevel
    self.tls = tls
    self.otlpEndpoint = otlpEndpoint
    self.otlpRatio = otlpRatio
    self.logs = logs
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
