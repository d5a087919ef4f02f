/// The process that serves, as administrators see it. Another one is told after an upgrade or a restart.
public struct ServerResource: Sendable, Codable, Equatable {
  /// Of this process: no other one has it, on no machine.
  public var processId: ProcessID
  /// As the process itself sees it; in a container that is not the machine's.
  public var pid: Int
  public var version: String
  public var startedAt: Timestamp
  /// Absolute, on the machine or in the container of the process.
  public var dataFolder: String
  /// Whether the process that this one took over from still answers its last requests.
  public var formerProcessDrains: Bool

  public init(
    processId: ProcessID, pid: Int, version: String, startedAt: Timestamp, dataFolder: String,
    formerProcessDrains: Bool
  ) {
    self.processId = processId
    self.pid = pid
    self.version = version
    self.startedAt = startedAt
    self.dataFolder = dataFolder
    self.formerProcessDrains = formerProcessDrains
  }
}
