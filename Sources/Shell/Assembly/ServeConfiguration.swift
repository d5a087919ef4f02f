/// What `roost serve` was asked for.
public struct ServeConfiguration: Sendable {
  public var dataFolder: String
  /// `host:port`; port 0 takes a free one.
  public var listen: String
  /// The interpreter of cell nodes; found when nil.
  public var python: String?
  public var loops: Int?
  /// False: instances run as plain processes, without walls.
  public var sandbox: Bool
  public var logLevel: String

  public init(
    dataFolder: String, listen: String, python: String? = nil, loops: Int? = nil, sandbox: Bool = true,
    logLevel: String = "info"
  ) {
    self.dataFolder = dataFolder
    self.listen = listen
    self.python = python
    self.loops = loops
    self.sandbox = sandbox
    self.logLevel = logLevel
  }
}
