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
