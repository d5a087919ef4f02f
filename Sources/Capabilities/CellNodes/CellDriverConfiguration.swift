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
  /// What a release of an environment runs on, by the environment's digest; nil when its files are gone.
  public var environment: @Sendable (String) -> CellEnvironment?
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

  /// What a release runs on; nil when the files of its environment are gone.
  func environment(of launch: NodeLaunch) -> CellEnvironment? {
    guard let pin = launch.environment else { return CellEnvironment(python: python) }
    return environment(pin.lockDigest)
  }

  public init(
    dataFolder: String, python: String, pythonPath: String, sandbox: Sandbox = .required,
    readableFolders: [String] = [], bubblewrap: String? = nil, restoreDeadline: Duration = .seconds(300),
    maxAnswerBytes: Int = 16 << 20, maxLogLineBytes: Int = 16 << 10,
    environment: @escaping @Sendable (String) -> CellEnvironment? = { _ in nil },
    fallbackPath: String? = nil,
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
    self.environment = environment
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

/// An interpreter, and the files it is in where those are not the machine's.
public struct CellEnvironment: Sendable, Equatable {
  /// An absolute path, in `root` where there is one.
  public var python: String
  /// Folder with the files of an image.
  public var root: String?
  /// The image's environment.
  public var variables: [String: String]

  public init(python: String, root: String? = nil, variables: [String: String] = [:]) {
    self.python = python
    self.root = root
    self.variables = variables
  }

  /// Names it in records of hosts.
  var place: String { (root ?? "") + python }
}
