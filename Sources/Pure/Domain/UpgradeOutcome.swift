/// What came of a request that another process take over.
public struct UpgradeReport: Sendable, Codable, Equatable {
  /// Whether the new process serves; else the old one does.
  public var upgraded: Bool
  public var message: String
  /// Who serves now.
  public var pid: Int
  public var version: String
  /// From the request to the new process' first connection.
  public var seconds: Double
  /// How long no process took API requests; they waited.
  public var heldSeconds: Double
  /// Connections that the old process had when the new one took over; it drains.
  public var leftConnections: Int?
  /// True when another process was meant than the one that was asked, which did nothing.
  public var isOther: Bool?

  public init(
    upgraded: Bool, message: String, pid: Int, version: String, seconds: Double = 0, heldSeconds: Double = 0,
    leftConnections: Int? = nil, isOther: Bool? = nil
  ) {
    self.upgraded = upgraded
    self.message = message
    self.pid = pid
    self.version = version
    self.seconds = seconds
    self.heldSeconds = heldSeconds
    self.leftConnections = leftConnections
    self.isOther = isOther
  }
}

/// How it ended to ask for an upgrade.
public enum UpgradeOutcome: Sendable, Equatable {
  /// The process that serves has said what came of it.
  case answered(UpgradeReport)
  /// Nobody was asked, and why.
  case unreachable(String)
  /// The process that was asked has not answered: its log says more.
  case silent
}
