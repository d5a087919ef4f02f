public import Domain

/// The public half of an authorized key.
public struct AuthorizedKeyRecord: Sendable, Codable, Equatable {
  public var id: KeyID
  public var serviceAccountID: ServiceAccountID
  public var description: String
  /// `RSA_2048`.
  public var algorithm: String
  /// PEM.
  public var publicKey: String
  public var createdAt: Timestamp
  /// When it was last exchanged for a token, to some minutes.
  public var lastUsedAt: Timestamp?

  public init(
    id: KeyID, serviceAccountID: ServiceAccountID, description: String = "", algorithm: String,
    publicKey: String, createdAt: Timestamp, lastUsedAt: Timestamp? = nil
  ) {
    self.id = id
    self.serviceAccountID = serviceAccountID
    self.description = description
    self.algorithm = algorithm
    self.publicKey = publicKey
    self.createdAt = createdAt
    self.lastUsedAt = lastUsedAt
  }
}

extension AuthorizedKeyRecord: SQLiteRecord {
  static let table = "authorized_key"
  static let columns = [
    "id", "service_account_id", "description", "algorithm", "public_key", "created_at", "last_used_at",
  ]
  var values: [any SQLiteStorable] {
    [id, serviceAccountID, description, algorithm, publicKey, createdAt, lastUsedAt]
  }
  init(row: inout SQLiteRow) throws(PlatformError) {
    id = try row.next()
    serviceAccountID = try row.next()
    description = try row.next()
    algorithm = try row.next()
    publicKey = try row.next()
    createdAt = try row.next()
    lastUsedAt = try row.next()
  }
}

/// An API key; of its secret only the hash.
public struct APIKeyRecord: Sendable, Codable, Equatable {
  public var id: KeyID
  public var serviceAccountID: ServiceAccountID
  public var description: String
  /// What it is good for; a raw value of `APIKeyScope`.
  public var scope: String
  /// SHA-256, in hex.
  public var secretHash: String
  public var createdAt: Timestamp
  public var expiresAt: Timestamp?
  public var deletedAt: Timestamp?

  public init(
    id: KeyID, serviceAccountID: ServiceAccountID, description: String = "", scope: String,
    secretHash: String, createdAt: Timestamp, expiresAt: Timestamp? = nil, deletedAt: Timestamp? = nil
  ) {
    self.id = id
    self.serviceAccountID = serviceAccountID
    self.description = description
    self.scope = scope
    self.secretHash = secretHash
    self.createdAt = createdAt
    self.expiresAt = expiresAt
    self.deletedAt = deletedAt
  }
}

extension APIKeyRecord: SQLiteRecord {
  static let table = "api_key"
  static let columns = [
    "id", "service_account_id", "description", "scope", "secret_hash", "created_at", "expires_at",
    "deleted_at",
  ]
  var values: [any SQLiteStorable] {
    [id, serviceAccountID, description, scope, secretHash, createdAt, expiresAt, deletedAt]
  }
  init(row: inout SQLiteRow) throws(PlatformError) {
    id = try row.next()
    serviceAccountID = try row.next()
    description = try row.next()
    scope = try row.next()
    secretHash = try row.next()
    createdAt = try row.next()
    expiresAt = try row.next()
    deletedAt = try row.next()
  }
}
