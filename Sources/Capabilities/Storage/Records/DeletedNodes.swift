public import Domain

/// A node that is gone and whose log is still kept.
public struct DeletedNodeRecord: Sendable, Equatable {
  public var id: NodeID
  public var name: String
  public var folderID: FolderID
  public var deletedAt: Timestamp

  public init(id: NodeID, name: String, folderID: FolderID, deletedAt: Timestamp) {
    self.id = id
    self.name = name
    self.folderID = folderID
    self.deletedAt = deletedAt
  }
}

extension DeletedNodeRecord: SQLiteRecord {
  static let table = "deleted_node"
  static let columns = ["id", "name", "folder_id", "deleted_at"]
  var values: [any SQLiteStorable] { [id, name, folderID, deletedAt] }
  init(row: inout SQLiteRow) throws(PlatformError) {
    id = try row.next()
    name = try row.next()
    folderID = try row.next()
    deletedAt = try row.next()
  }
}
