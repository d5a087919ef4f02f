/// `google.rpc.Status`.
public struct StatusResource: Sendable, Codable, Equatable {
  public var code: Int
  public var message: String

  public init(
    code: Int, message: String
  ) {
    self.code = code
    self.message = message
  }
}

/// A long-running request of a user.
public struct OperationResource: Sendable, Codable, Equatable {
  public var id: OperationID
  public var description: String
  public var createdAt: Timestamp
  public var createdBy: String
  public var modifiedAt: Timestamp
  public var done: Bool
  public var resourceId: String?
  /// What it waits for, for people.
  public var progress: String?
  public var error: StatusResource?
  /// The node, where the operation was about one and has ended well.
  public var response: NodeResource?
  /// What the caller should know though it was not refused.
  public var warnings: [String]?
  /// How far it is, where it replaces a node.
  public var replacement: ReplacementResource?

  public init(
    id: OperationID, description: String, createdAt: Timestamp, createdBy: String, modifiedAt: Timestamp,
    done: Bool, resourceId: String? = nil, progress: String? = nil, error: StatusResource? = nil,
    response: NodeResource? = nil, warnings: [String]? = nil
  ) {
    self.warnings = warnings
    self.id = id
    self.description = description
    self.createdAt = createdAt
    self.createdBy = createdBy
    self.modifiedAt = modifiedAt
    self.done = done
    self.resourceId = resourceId
    self.progress = progress
    self.error = error
    self.response = response
  }
}
