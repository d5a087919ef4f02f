public import Domain
import DriverAPI

/// What a driver of cell nodes works with. Everything that differs between machines and tests is here.
public struct CellDriverConfiguration: Sendable {
  /// Whether instances may run without walls.
  public enum Sandbox: String, Sendable {
    /// bubblewrap and a memory cgroup, or no instance at all.
    case required
    /// Plain processes: for machines where neither is there, and for code one trusts.
    case off
  }

  /// The service's data folder; instances never see it.
  public var dataFolder: String
  /// The interpreter of the nodes' environment, an absolute path.
  public var python: String
  /// Folder that holds the `roost` package (`PYTHONPATH` of the zygote).
  public var pythonPath: String
  /// Interpreter of an environment, by its lock's digest.
  public var environmentPython: @Sendable (String) -> String
  /// Folder with modules for environments that lack them: what pickle streams of checkpoints are loaded by.
  public var fallbackPath: String?
  public var sandbox: Sandbox
  /// Folders that instances may read besides the system and the interpreter's prefixes.
  public var readableFolders: [String]
  /// Path of `bwrap`; found on `PATH` when nil.
  public var bubblewrap: String?
  /// Longest time for a restore, and for what an instance does before it takes requests.
  public var restoreDeadline: Duration
  public var maxAnswerBytes: Int
  public var maxLogLineBytes: Int
  /// The value of the secret that a node calls so.
  public var secret: @Sendable (NodeID, String) async throws(PlatformError) -> [UInt8]
  public var now: @Sendable () -> Timestamp
  /// Where the driver says what it does, one line each.
  public var log: @Sendable (String) -> Void

  /// The interpreter that a release runs on.
  func python(_ launch: NodeLaunch) -> String {
    launch.environment.map { environmentPython($0.lockDigest) } ?? python
  }

  public init(
    dataFolder: String, python: String, pythonPath: String, sandbox: Sandbox = .required,
    readableFolders: [String] = [], bubblewrap: String? = nil, restoreDeadline: Duration = .seconds(300),
    maxAnswerBytes: Int = 16 << 20, maxLogLineBytes: Int = 16 << 10,
    environmentPython: @escaping @Sendable (String) -> String = { $0 }, fallbackPath: String? = nil,
    secret: @escaping @Sendable (NodeID, String) async throws(PlatformError) -> [UInt8] = {
      (_, name) throws(PlatformError) in
      throw PlatformError(.notFound, "secret '\(name)' does not exist: this server keeps no secrets")
    },
    now: @escaping @Sendable () -> Timestamp,
    log: @escaping @Sendable (String) -> Void = { _ in }
  ) {
    self.dataFolder = dataFolder
    self.python = python
    self.pythonPath = pythonPath
    self.environmentPython = environmentPython
    self.fallbackPath = fallbackPath
    self.sandbox = sandbox
    self.readableFolders = readableFolders
    self.bubblewrap = bubblewrap
    self.restoreDeadline = restoreDeadline
    self.maxAnswerBytes = maxAnswerBytes
    self.maxLogLineBytes = maxLogLineBytes
    self.secret = secret
    self.now = now
    self.log = log
  }
}
