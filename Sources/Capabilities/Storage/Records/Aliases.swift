public import Domain

/// What the user wants of an alias.
public struct AliasRecord: Sendable, Codable, Equatable {
  public var id: AliasID
  public var folderID: FolderID
  /// Unique on this server: it is what callers write.
  public var name: String
  /// Grows by one with each change.
  public var generation: Int
  /// An `AliasSpec`.
  public var specJSON: String
  /// For each slot of a sticky alias the node, so that a change moves no more than it must; a list of ids.
  public var slotsJSON: String
  public var createdAt: Timestamp
  public var createdBy: String
  public var updatedAt: Timestamp

  public init(
    id: AliasID, folderID: FolderID, name: String, generation: Int = 1, specJSON: String, slotsJSON: String,
    createdAt: Timestamp, createdBy: String, updatedAt: Timestamp
  ) {
    self.id = id
    self.folderID = folderID
    self.name = name
    self.generation = generation
    self.specJSON = specJSON
    self.slotsJSON = slotsJSON
    self.createdAt = createdAt
    self.createdBy = createdBy
    self.updatedAt = updatedAt
  }
}

extension AliasRecord: SQLiteRecord {
  static let table = "alias"
  static let columns = [
    "id", "folder_id", "name", "generation", "spec_json", "slots_json", "created_at", "created_by",
    "updated_at",
  ]
  var values: [any SQLiteStorable] {
    [id, folderID, name, generation, specJSON, slotsJSON, createdAt, createdBy, updatedAt]
  }
  init(row: inout SQLiteRow) throws(PlatformError) {
    id = try row.next()
    folderID = try row.next()
    name = try row.next()
    generation = try row.next()
    specJSON = try row.next()
    slotsJSON = try row.next()
    createdAt = try row.next()
    createdBy = try row.next()
    updatedAt = try row.next()
  }
}
