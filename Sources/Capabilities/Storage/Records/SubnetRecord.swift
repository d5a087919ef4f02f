public import Domain

/// A network that image nodes of a folder share, in one zone.
public struct SubnetRecord: Sendable, Codable, Equatable {
  public var id: SubnetID
  public var folderID: FolderID
  public var name: String
  public var zone: String
  /// `ADDRESS/BITS`.
  public var cidr: String
  /// No way out.
  public var isInternal: Bool
  public var createdAt: Timestamp
  public var createdBy: String

  public init(
    id: SubnetID, folderID: FolderID, name: String, zone: String, cidr: String, isInternal: Bool,
    createdAt: Timestamp, createdBy: String
  ) {
    self.id = id
    self.folderID = folderID
    self.name = name
    self.zone = zone
    self.cidr = cidr
    self.isInternal = isInternal
    self.createdAt = createdAt
    self.createdBy = createdBy
  }
}

extension SubnetRecord: SQLiteRecord {
  static let table = "subnet"
  static let columns = [
    "id", "folder_id", "name", "zone", "cidr", "is_internal", "created_at", "created_by",
  ]
  var values: [any SQLiteStorable] {
    [id, folderID, name, zone, cidr, isInternal, createdAt, createdBy]
  }
  init(row: inout SQLiteRow) throws(PlatformError) {
    id = try row.next()
    folderID = try row.next()
    name = try row.next()
    zone = try row.next()
    cidr = try row.next()
    isInternal = try row.next()
    createdAt = try row.next()
    createdBy = try row.next()
  }
}
