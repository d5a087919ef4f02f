/// What the operator of a server says about the making of environments.
public struct EnvironmentOptions: Sendable, Equatable {
  /// Package index; nil: PyPI.
  public var packageIndex: String?
  /// Folders of wheels that every build may take from.
  public var wheels: [String]
  /// Longest time of a build.
  public var time: Duration
  /// Most disk of a build, with what it adds to the cache.
  public var diskBytes: Int64
  public var memoryBytes: Int64

  public init(
    packageIndex: String? = nil, wheels: [String] = [], time: Duration = .seconds(1800),
    diskBytes: Int64 = 20 << 30, memoryBytes: Int64 = 4 << 30
  ) {
    self.packageIndex = packageIndex
    self.wheels = wheels
    self.time = time
    self.diskBytes = diskBytes
    self.memoryBytes = memoryBytes
  }
}
