/// Body of `POST /v1/tokens`. `ttlSeconds` at most 43200; `serviceAccount` an id or a name, default: the caller.
public struct CreateTokenRequest: Sendable, Codable, Equatable {
  public var ttlSeconds: Int?
  public var serviceAccount: String?
  public var description: String?

  public init(
    ttlSeconds: Int? = nil, serviceAccount: String? = nil, description: String? = nil
  ) {
    self.ttlSeconds = ttlSeconds
    self.serviceAccount = serviceAccount
    self.description = description
  }
}

/// An IAM token; `iamToken` only in the answer that made it.
public struct TokenResource: Sendable, Codable, Equatable {
  public var id: String
  public var iamToken: String?
  public var subject: String
  public var createdAt: Timestamp
  public var expiresAt: Timestamp
  public var description: String?

  public init(
    id: String, iamToken: String? = nil, subject: String, createdAt: Timestamp, expiresAt: Timestamp,
    description: String? = nil
  ) {
    self.id = id
    self.iamToken = iamToken
    self.subject = subject
    self.createdAt = createdAt
    self.expiresAt = expiresAt
    self.description = description
  }
}

/// A principal that is not a person.
public struct ServiceAccountResource: Sendable, Codable, Equatable {
  public var id: ServiceAccountID
  public var folderId: FolderID
  public var name: String
  public var createdAt: Timestamp
  /// As `role on folder`.
  public var roles: [String]

  public init(
    id: ServiceAccountID, folderId: FolderID, name: String, createdAt: Timestamp, roles: [String] = []
  ) {
    self.id = id
    self.folderId = folderId
    self.name = name
    self.createdAt = createdAt
    self.roles = roles
  }
}

/// Body of `POST /v1/serviceAccounts`; `role` is granted on its folder.
public struct CreateServiceAccountRequest: Sendable, Codable, Equatable {
  public var name: String
  public var folderId: String?
  public var role: String?

  public init(
    name: String, folderId: String? = nil, role: String? = nil
  ) {
    self.name = name
    self.folderId = folderId
    self.role = role
  }
}

/// Body of `POST /v1/serviceAccounts/{id}:grant`.
public struct GrantRequest: Sendable, Codable, Equatable {
  public var role: String
  public var folderId: String?

  public init(
    role: String, folderId: String? = nil
  ) {
    self.role = role
    self.folderId = folderId
  }
}

/// Answer of `GET /version`.
public struct VersionResource: Sendable, Codable, Equatable {
  public var version: String
  public var api: String
  public var swift: String

  public init(
    version: String, api: String, swift: String
  ) {
    self.version = version
    self.api = api
    self.swift = swift
  }
}
