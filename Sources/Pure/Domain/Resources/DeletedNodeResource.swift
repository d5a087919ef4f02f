/// A node that is gone and whose log can still be read.
public struct DeletedNodeResource: Sendable, Codable, Equatable {
  public var id: NodeID
  public var name: String
  public var folderId: FolderID
  public var deletedAt: Timestamp
  /// What is kept of its log, in bytes.
  public var logBytes: Int64

  public init(id: NodeID, name: String, folderId: FolderID, deletedAt: Timestamp, logBytes: Int64) {
    self.id = id
    self.name = name
    self.folderId = folderId
    self.deletedAt = deletedAt
    self.logBytes = logBytes
  }
}
