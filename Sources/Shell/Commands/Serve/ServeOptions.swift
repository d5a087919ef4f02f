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

  public init(
    dataFolder: String = "./data", listen: String = "127.0.0.1:8800", python: String? = nil,
    loops: Int? = nil,
    sandbox: Bool = true, logLevel: String = "info"
  ) {
    self.dataFolder = dataFolder
    self.listen = listen
    self.python = python
    self.loops = loops
    self.sandbox = sandbox
    self.logLevel = logLevel
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
