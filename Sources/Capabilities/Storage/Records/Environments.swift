public import Domain

/// An environment of cell nodes: what was asked for, and what came of it.
public struct EnvironmentRecord: Sendable, Codable, Equatable {
  public var id: EnvironmentID
  public var folderID: FolderID
  public var name: String
  public var status: EnvironmentStatus
  public var requestJSON: String
  /// Set once it is ready.
  public var lockDigest: String?
  public var builtJSON: String?
  /// Why it could not be made.
  public var error: String?
  public var createdAt: Timestamp
  public var createdBy: String

  public init(
    id: EnvironmentID, folderID: FolderID, name: String, status: EnvironmentStatus, requestJSON: String,
    lockDigest: String? = nil, builtJSON: String? = nil, error: String? = nil, createdAt: Timestamp,
    createdBy: String
  ) {
    self.id = id
    self.folderID = folderID
    self.name = name
    self.status = status
    self.requestJSON = requestJSON
    self.lockDigest = lockDigest
    self.builtJSON = builtJSON
    self.error = error
    self.createdAt = createdAt
    self.createdBy = createdBy
  }
}

extension EnvironmentRecord: SQLiteRecord {
  static let table = "environment"
  static let columns = [
    "id", "folder_id", "name", "status", "request_json", "lock_digest", "built_json", "error", "created_at",
    "created_by",
  ]
  var values: [any SQLiteStorable] {
    [
      id, folderID, name, status.rawValue, requestJSON, lockDigest, builtJSON, error, createdAt, createdBy,
    ]
  }
  init(row: inout SQLiteRow) throws(PlatformError) {
    id = try row.next()
    folderID = try row.next()
    name = try row.next()
    let word = try row.next(String.self)
    guard let known = EnvironmentStatus(rawValue: word) else {
      throw PlatformError(.dataLoss, "the database holds the unknown environment status '\(word)'")
    }
    status = known
    requestJSON = try row.next()
    lockDigest = try row.next()
    builtJSON = try row.next()
    error = try row.next()
    createdAt = try row.next()
    createdBy = try row.next()
  }
}
