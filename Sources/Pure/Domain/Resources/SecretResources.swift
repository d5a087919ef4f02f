/// An encrypted value of a folder. The value itself is never shown again.
public struct SecretResource: Sendable, Codable, Equatable {
  public var id: SecretID
  public var folderId: FolderID
  public var name: String
  public var description: String
  /// Of the value; grows by one with each new one.
  public var version: Int
  public var createdAt: Timestamp
  public var createdBy: String
  public var updatedAt: Timestamp
  /// Names of the nodes that use it. Filled by get.
  public var usedBy: [String]?

  public init(
    id: SecretID, folderId: FolderID, name: String, description: String, version: Int, createdAt: Timestamp,
    createdBy: String, updatedAt: Timestamp, usedBy: [String]? = nil
  ) {
    self.id = id
    self.folderId = folderId
    self.name = name
    self.description = description
    self.version = version
    self.createdAt = createdAt
    self.createdBy = createdBy
    self.updatedAt = updatedAt
    self.usedBy = usedBy
  }
}

/// Body of `POST /v1/secrets`. Exactly one of `value` and `valueBase64`; 1 to 65536 bytes. `folder` an id or a name, default: `default`.
public struct CreateSecretRequest: Sendable, Codable, Equatable {
  public var name: String
  public var folder: String?
  public var description: String?
  /// Text. Never shown again.
  public var value: String?
  /// Any bytes, in base64. Never shown again.
  public var valueBase64: String?

  public init(
    name: String, folder: String? = nil, description: String? = nil, value: String? = nil,
    valueBase64: String? = nil
  ) {
    self.name = name
    self.folder = folder
    self.description = description
    self.value = value
    self.valueBase64 = valueBase64
  }
}

/// Body of `PATCH /v1/secrets/{id}`; `update_mask` (query): `description`, `value`. A new value is a new version: instances that start from then on get it.
public struct UpdateSecretRequest: Sendable, Codable, Equatable {
  public var description: String?
  /// Text. Never shown again.
  public var value: String?
  /// Any bytes, in base64. Never shown again.
  public var valueBase64: String?

  public init(
    description: String? = nil, value: String? = nil, valueBase64: String? = nil
  ) {
    self.description = description
    self.value = value
    self.valueBase64 = valueBase64
  }
}

/// Answer of `POST /v1/secrets:rotateKey`.
public struct RotatedKeyResource: Sendable, Codable, Equatable {
  /// The number of the master key that values are encrypted with from now on.
  public var masterKey: Int
  /// Values that were encrypted anew.
  public var resealed: Int
  /// Secrets whose values could not be read; they stay as they were.
  public var unreadable: [String]

  public init(
    masterKey: Int, resealed: Int, unreadable: [String]
  ) {
    self.masterKey = masterKey
    self.resealed = resealed
    self.unreadable = unreadable
  }
}
