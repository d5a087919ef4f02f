public import Domain
public import DriverAPI

/// What a builder of environments works with.
public struct EnvironmentConfiguration: Sendable {
  public var dataFolder: String
  /// The server's interpreter, an absolute path.
  public var python: String
  /// Folder that holds the `roost` package.
  public var pythonPath: String
  /// False: builds run as plain processes, without walls.
  public var sandboxed: Bool
  /// Package index where the order names none; nil: that of PyPI.
  public var index: String?
  /// Folders of wheels that every build may take from; orders may name folders below them.
  public var wheels: [String]
  public var limits: Limits
  /// Writes the files of an image as a tar; nil where there is no container engine.
  public var export:
    (
      @Sendable (
        _ reference: String, _ login: RegistryAccount?, _ file: String,
        _ progress: @escaping @Sendable (String) -> Void
      ) async throws(PlatformError) -> ExportedImage
    )?
  public var now: @Sendable () -> Timestamp
  public var log: @Sendable (String) -> Void

  /// Of one build.
  public struct Limits: Sendable {
    public var time: Duration
    /// Of the new environment, with the cache that it fills.
    public var diskBytes: Int64
    public var memoryBytes: Int64
    public var cpus: Double
    public var processes: Int

    public init(
      time: Duration = .seconds(1800), diskBytes: Int64 = 20 << 30, memoryBytes: Int64 = 4 << 30,
      cpus: Double = 4, processes: Int = 512
    ) {
      self.time = time
      self.diskBytes = diskBytes
      self.memoryBytes = memoryBytes
      self.cpus = cpus
      self.processes = processes
    }
  }

  public init(
    dataFolder: String, python: String, pythonPath: String, sandboxed: Bool = true, index: String? = nil,
    wheels: [String] = [], limits: Limits = Limits(),
    export: (
      @Sendable (String, RegistryAccount?, String, @escaping @Sendable (String) -> Void)
        async throws(PlatformError) -> ExportedImage
    )? = nil, now: @escaping @Sendable () -> Timestamp,
    log: @escaping @Sendable (String) -> Void = { _ in }
  ) {
    self.dataFolder = dataFolder
    self.python = python
    self.pythonPath = pythonPath
    self.sandboxed = sandboxed
    self.index = index
    self.wheels = wheels
    self.limits = limits
    self.export = export
    self.now = now
    self.log = log
  }
}

/// An image whose files were written.
public struct ExportedImage: Sendable {
  /// 64 hex digits of its content.
  public var digest: String
  /// Its reference with a digest.
  public var pinned: String
  /// `NAME=VALUE`.
  public var variables: [String]

  public init(digest: String, pinned: String, variables: [String]) {
    self.digest = digest
    self.pinned = pinned
    self.variables = variables
  }
}

/// `DATA/environments`.
struct EnvironmentFolders: Sendable {
  let top: String

  init(dataFolder: String) { top = "\(dataFolder)/environments" }

  /// Environments by digest; each is moved in whole and then only read.
  var ready: String { "\(top)/ready" }
  /// One mount for the cache and the new environment, so that files can be linked between them.
  var work: String { "\(top)/work" }
  var cache: String { "\(work)/cache" }
  var building: String { "\(work)/building" }
  var logs: String { "\(top)/logs" }

  func ready(_ digest: String) -> String { "\(ready)/\(digest)" }
  func facts(_ digest: String) -> String { "\(ready(digest))/roost-environment.json" }
  func building(_ id: EnvironmentID) -> String { "\(building)/\(id)" }
  func log(_ id: EnvironmentID) -> String { "\(logs)/\(id).jsonl" }
}
