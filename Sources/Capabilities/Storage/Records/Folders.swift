public import Domain

/// A folder: owner of nodes.
public struct FolderRecord: Sendable, Codable, Equatable {
  public var id: FolderID
  public var name: String
  public var createdAt: Timestamp

  public init(
    id: FolderID, name: String, createdAt: Timestamp
  ) {
    self.id = id
    self.name = name
    self.createdAt = createdAt
  }
}

extension FolderRecord: SQLiteRecord {
  static let table = "folder"
  static let columns = [
    "id", "name", "created_at",
  ]
  var values: [any SQLiteStorable] {
    [
      id, name, createdAt,
    ]
  }
  init(row: inout SQLiteRow) throws(PlatformError) {
    id = try row.next()
    name = try row.next()
    createdAt = try row.next()
  }
}

/// A project: owner of notebooks and checkpoints.
public struct ProjectRecord: Sendable, Codable, Equatable {
  public var id: ProjectID
  public var folderID: FolderID
  public var name: String
  public var createdAt: Timestamp
  public var unpinnedLimit: Int
  public var pinnedLimit: Int

  public init(
    id: ProjectID, folderID: FolderID, name: String, createdAt: Timestamp, unpinnedLimit: Int = 10,
    pinnedLimit: Int = 10
  ) {
    self.id = id
    self.folderID = folderID
    self.name = name
    self.createdAt = createdAt
    self.unpinnedLimit = unpinnedLimit
    self.pinnedLimit = pinnedLimit
  }
}

extension ProjectRecord: SQLiteRecord {
  static let table = "project"
  static let columns = [
    "id", "folder_id", "name", "created_at", "unpinned_limit", "pinned_limit",
  ]
  var values: [any SQLiteStorable] {
    [
      id, folderID, name, createdAt, unpinnedLimit, pinnedLimit,
    ]
  }
  init(row: inout SQLiteRow) throws(PlatformError) {
    id = try row.next()
    folderID = try row.next()
    name = try row.next()
    createdAt = try row.next()
    unpinnedLimit = try row.next()
    pinnedLimit = try row.next()
  }
}

/// A principal that is not a person.
public struct ServiceAccountRecord: Sendable, Codable, Equatable {
  public var id: ServiceAccountID
  public var folderID: FolderID
  public var name: String
  public var createdAt: Timestamp

  public init(
    id: ServiceAccountID, folderID: FolderID, name: String, createdAt: Timestamp
  ) {
    self.id = id
    self.folderID = folderID
    self.name = name
    self.createdAt = createdAt
  }
}

extension ServiceAccountRecord: SQLiteRecord {
  static let table = "service_account"
  static let columns = [
    "id", "folder_id", "name", "created_at",
  ]
  var values: [any SQLiteStorable] {
    [
      id, folderID, name, createdAt,
    ]
  }
  init(row: inout SQLiteRow) throws(PlatformError) {
    id = try row.next()
    folderID = try row.next()
    name = try row.next()
    createdAt = try row.next()
  }
}

/// A role of a subject on a folder; `role` is a raw value of `Role`.
public struct GrantRecord: Sendable, Codable, Equatable {
  public var subject: String
  public var role: String
  public var folderID: FolderID

  public init(
    subject: String, role: String, folderID: FolderID
  ) {
    self.subject = subject
    self.role = role
    self.folderID = folderID
  }
}

extension GrantRecord: SQLiteRecord {
  static let table = "role_grant"
  static let columns = [
    "subject", "role", "folder_id",
  ]
  var values: [any SQLiteStorable] {
    [
      subject, role, folderID,
    ]
  }
  init(row: inout SQLiteRow) throws(PlatformError) {
    subject = try row.next()
    role = try row.next()
    folderID = try row.next()
  }
}

/// A token that was issued; never the token itself. `id` is its `jti`.
public struct TokenRecord: Sendable, Codable, Equatable {
  public var id: String
  public var subject: String
  public var createdAt: Timestamp
  public var expiresAt: Timestamp
  public var revokedAt: Timestamp?
  public var description: String

  public init(
    id: String, subject: String, createdAt: Timestamp, expiresAt: Timestamp, revokedAt: Timestamp? = nil,
    description: String = ""
  ) {
    self.id = id
    self.subject = subject
    self.createdAt = createdAt
    self.expiresAt = expiresAt
    self.revokedAt = revokedAt
    self.description = description
  }
}

extension TokenRecord: SQLiteRecord {
  static let table = "token"
  static let columns = [
    "id", "subject", "created_at", "expires_at", "revoked_at", "description",
  ]
  var values: [any SQLiteStorable] {
    [
      id, subject, createdAt, expiresAt, revokedAt, description,
    ]
  }
  init(row: inout SQLiteRow) throws(PlatformError) {
    id = try row.next()
    subject = try row.next()
    createdAt = try row.next()
    expiresAt = try row.next()
    revokedAt = try row.next()
    description = try row.next()
  }
}
