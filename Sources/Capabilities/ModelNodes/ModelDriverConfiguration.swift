public import Domain
public import DriverAPI

/// What the driver of model nodes works with.
public struct ModelDriverConfiguration: Sendable {
  /// The service's data folder; models never see it.
  public var dataFolder: String
  /// The interpreter of models without an environment, an absolute path.
  public var python: String
  /// Folder that holds the `roost` package.
  public var pythonPath: String
  /// Folder that the wheel of Triton was installed into; nil where there is none.
  public var triton: String?
  /// False: models run as plain processes, without walls.
  public var sandboxed: Bool
  /// Names the service's cgroups.
  public var treeName: String
  /// The interpreter of an environment, by its digest; nil when its files are gone, or are those of an image.
  public var environment: @Sendable (String) -> String?
  public var now: @Sendable () -> Timestamp
  /// Where the driver says what it does, one line each.
  public var log: @Sendable (String) -> Void
  /// Puts what an instance printed into the node's log.
  public var record:
    @Sendable (_ node: NodeID, _ instance: InstanceID, _ release: Int, _ line: String) -> Void

  /// Makes containers, for nodes that are given an image; nil: there is no engine. Ends of containers are told by its own `exits`.
  public var containers: (any InstanceDriver)?

  public init(
    dataFolder: String, python: String, pythonPath: String, triton: String?, sandboxed: Bool,
    treeName: String, environment: @escaping @Sendable (String) -> String?,
    now: @escaping @Sendable () -> Timestamp, log: @escaping @Sendable (String) -> Void,
    record: @escaping @Sendable (NodeID, InstanceID, Int, String) -> Void,
    containers: (any InstanceDriver)? = nil
  ) {
    self.containers = containers
    self.dataFolder = dataFolder
    self.python = python
    self.pythonPath = pythonPath
    self.triton = triton
    self.sandboxed = sandboxed
    self.treeName = treeName
    self.environment = environment
    self.now = now
    self.log = log
    self.record = record
  }
}
