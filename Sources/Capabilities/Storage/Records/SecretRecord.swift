public import Domain

/// What is known of a secret without its value.
public struct SecretRecord: Sendable, Codable, Equatable {
  public var id: SecretID
  public var folderID: FolderID
  public var name: String
  public var description: String
  /// Of the value; grows by one with each new one.
  public var version: Int
  public var createdAt: Timestamp
  public var createdBy: String
  public var updatedAt: Timestamp

  public init(
    id: SecretID, folderID: FolderID, name: String, description: String = "", version: Int = 1,
    createdAt: Timestamp, createdBy: String, updatedAt: Timestamp
  ) {
    self.id = id
    self.folderID = folderID
    self.name = name
    self.description = description
    self.version = version
    self.createdAt = createdAt
    self.createdBy = createdBy
    self.updatedAt = updatedAt
  }
}

extension SecretRecord: SQLiteRecord {
  static let table = "secret"
  static let columns = [
    "id", "folder_id", "name", "description", "version", "created_at", "created_by", "updated_at",
  ]
  var values: [any SQLiteStorable] {
    [id, folderID, name, description, version, createdAt, createdBy, updatedAt]
  }
  init(row: inout SQLiteRow) throws(PlatformError) {
    id = try row.next()
    folderID = try row.next()
    name = try row.next()
    description = try row.next()
    version = try row.next()
    createdAt = try row.next()
    createdBy = try row.next()
    updatedAt = try row.next()
  }
}

/// The value of a secret, as it is stored.
public struct SealedSecret: Sendable, Equatable {
  public var secretID: SecretID
  /// Of the value.
  public var version: Int
  /// The number of the master key that it was sealed with.
  public var masterKey: Int
  public var sealed: [UInt8]

  public init(secretID: SecretID, version: Int, masterKey: Int, sealed: [UInt8]) {
    self.secretID = secretID
    self.version = version
    self.masterKey = masterKey
    self.sealed = sealed
  }
}

extension SealedSecret: SQLiteRecord {
  static let table = "secret_value"
  static let columns = ["secret_id", "version", "master_key", "sealed"]
  var values: [any SQLiteStorable] { [secretID, version, masterKey, Blob(bytes: sealed)] }
  init(row: inout SQLiteRow) throws(PlatformError) {
    secretID = try row.next()
    version = try row.next()
    masterKey = try row.next()
    sealed = try row.next(Blob.self).bytes
  }
}
