/// Body of `POST /v1/serviceAccounts/{id}/keys`.
public struct CreateKeyRequest: Sendable, Codable, Equatable {
  public var description: String?

  public init(description: String? = nil) { self.description = description }
}

/// An authorized key: the service account signs a JWT with it and exchanges that for an IAM token.
public struct AuthorizedKeyResource: Sendable, Codable, Equatable {
  public var id: KeyID
  public var serviceAccountId: ServiceAccountID
  public var createdAt: Timestamp
  public var description: String?
  /// `RSA_2048`.
  public var keyAlgorithm: String
  /// PEM.
  public var publicKey: String
  /// PEM (PKCS#8); only in the answer that made the key.
  public var privateKey: String?
  /// When it was last exchanged for a token, to some minutes.
  public var lastUsedAt: Timestamp?

  public init(
    id: KeyID, serviceAccountId: ServiceAccountID, createdAt: Timestamp, description: String? = nil,
    keyAlgorithm: String, publicKey: String, privateKey: String? = nil, lastUsedAt: Timestamp? = nil
  ) {
    self.id = id
    self.serviceAccountId = serviceAccountId
    self.createdAt = createdAt
    self.description = description
    self.keyAlgorithm = keyAlgorithm
    self.publicKey = publicKey
    self.privateKey = privateKey
    self.lastUsedAt = lastUsedAt
  }
}

/// Body of `POST /v1/serviceAccounts/{id}/apiKeys`.
public struct CreateAPIKeyRequest: Sendable, Codable, Equatable {
  public var description: String?
  /// `call` (default): calling nodes only; `all`: all that the service account may do.
  public var scope: String?
  /// How long it is good; without it until it is deleted.
  public var ttlSeconds: Int?

  public init(description: String? = nil, scope: String? = nil, ttlSeconds: Int? = nil) {
    self.description = description
    self.scope = scope
    self.ttlSeconds = ttlSeconds
  }
}

/// An API key: sent as `Authorization: Api-Key SECRET`.
public struct APIKeyResource: Sendable, Codable, Equatable {
  public var id: KeyID
  public var serviceAccountId: ServiceAccountID
  public var createdAt: Timestamp
  public var description: String?
  /// `call` or `all`.
  public var scope: String
  /// Absent: until it is deleted.
  public var expiresAt: Timestamp?
  /// Only in the answer that made the key.
  public var secret: String?

  public init(
    id: KeyID, serviceAccountId: ServiceAccountID, createdAt: Timestamp, description: String? = nil,
    scope: String, expiresAt: Timestamp? = nil, secret: String? = nil
  ) {
    self.id = id
    self.serviceAccountId = serviceAccountId
    self.createdAt = createdAt
    self.description = description
    self.scope = scope
    self.expiresAt = expiresAt
    self.secret = secret
  }
}

/// Answer of `POST /iam/v1/tokens`.
public struct ExchangedTokenResource: Sendable, Codable, Equatable {
  public var iamToken: String
  public var expiresAt: Timestamp

  public init(iamToken: String, expiresAt: Timestamp) {
    self.iamToken = iamToken
    self.expiresAt = expiresAt
  }
}

/// Body of `POST /iam/v1/tokens`; exactly one of the two.
public struct ExchangeTokenRequest: Sendable, Codable, Equatable {
  /// A JWT that an authorized key signed (PS256); at most 8000 bytes.
  public var jwt: String?
  /// Not supported here.
  public var yandexPassportOauthToken: String?

  public init(jwt: String? = nil, yandexPassportOauthToken: String? = nil) {
    self.jwt = jwt
    self.yandexPassportOauthToken = yandexPassportOauthToken
  }
}

/// Body of `POST /iam/v1/tokens:revoke`. Who holds a token may end it: no other credential is asked for.
public struct RevokeTokenRequest: Sendable, Codable, Equatable {
  /// An IAM token of this server.
  public var iamToken: String

  public init(iamToken: String) { self.iamToken = iamToken }
}

/// Whose token was revoked.
public struct RevokedTokenResource: Sendable, Codable, Equatable {
  public var subjectId: String

  public init(subjectId: String) { self.subjectId = subjectId }
}

/// Body of `POST /iam/v1/tokens:createForServiceAccount`, for admins of the account's folder.
public struct TokenForServiceAccountRequest: Sendable, Codable, Equatable {
  /// Id or name.
  public var serviceAccountId: String

  public init(serviceAccountId: String) { self.serviceAccountId = serviceAccountId }
}
