/// What went wrong last, in the user's words. Part of a node's and an instance's status.
public struct LastError: Sendable, Codable, Hashable {
  /// Where it happened.
  public enum Phase: String, Sendable, Codable { case validate, launch, restore, start, execute, probe, stop }
  /// How the process or the step ended.
  public enum ExitClass: String, Sendable, Codable {
    case exception, timeout, outOfMemory, signal, exit, hang, missing, refused
  }

  public var phase: Phase
  public var exitClass: ExitClass
  public var message: String
  /// Exception class, where there was one.
  public var errorName: String?
  /// Last lines of the traceback.
  public var traceback: [String]
  /// How to see the log around it, a command line.
  public var logReference: String?
  public var at: Timestamp

  public init(
    phase: Phase, exitClass: ExitClass, message: String, errorName: String? = nil, traceback: [String] = [],
    logReference: String? = nil, at: Timestamp
  ) {
    self.phase = phase
    self.exitClass = exitClass
    self.message = message
    self.errorName = errorName
    self.traceback = traceback
    self.logReference = logReference
    self.at = at
  }
}
