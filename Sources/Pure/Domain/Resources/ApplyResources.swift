/// What applying a request for a node comes to: it is created, changed to be as asked, or is so already.
public struct ApplyResource: Sendable, Codable, Equatable {
  /// `node` or `alias`.
  public var resource: String
  public var name: String
  public var action: ApplyAction
  /// Against what it was; empty for a new one.
  public var changes: [FieldChange]
  /// Its instances are replaced.
  public var makesRelease: Bool
  /// Follows the change; left out when nothing changes, and of a dry run.
  public var operation: OperationResource?

  public init(
    resource: String = "node", name: String, action: ApplyAction, changes: [FieldChange] = [],
    makesRelease: Bool = false,
    operation: OperationResource? = nil
  ) {
    self.resource = resource
    self.name = name
    self.action = action
    self.changes = changes
    self.makesRelease = makesRelease
    self.operation = operation
  }
}

/// What is done to a node or an alias, or would be.
public enum ApplyAction: String, Sendable, Codable {
  case created, changed, unchanged
}
