public import Domain

extension Store {
  // MARK: Authorized keys

  /// Throws `failedPrecondition` when the account has gone.
  public func addKey(_ record: AuthorizedKeyRecord) throws(PlatformError) { try database.insert(record) }

  public func authorizedKey(_ id: String) throws(PlatformError) -> AuthorizedKeyRecord {
    try found(try database.one("WHERE id = ?", [id]), "authorized key", id)
  }

  /// All keys, or those of one account, in the order of their making.
  public func authorizedKeys(of account: ServiceAccountID? = nil) throws(PlatformError)
    -> [AuthorizedKeyRecord]
  {
    try database.select(
      "WHERE ?1 IS NULL OR service_account_id = ?1 ORDER BY rowid", [account])
  }

  /// Deletes the key and revokes the tokens it was exchanged for. Throws `notFound`.
  public func deleteKey(_ id: KeyID, at now: Timestamp) throws(PlatformError) {
    try database.transaction { () throws(PlatformError) in
      try database.execute(
        """
        UPDATE token SET revoked_at = ?
        WHERE revoked_at IS NULL AND id IN (SELECT token_id FROM key_token WHERE key_id = ?)
        """, [now, id])
      let count = try database.execute("DELETE FROM authorized_key WHERE id = ?", [id])
      _ = try found(count == 1 ? id : nil, "authorized key", id.text)
    }
  }

  /// Records a token that a key was exchanged for. False, and nothing is kept, when the key has gone.
  public func addToken(_ record: TokenRecord, exchangedBy key: String) throws(PlatformError) -> Bool {
    try database.transaction { () throws(PlatformError) in
      let used = try database.execute(
        "UPDATE authorized_key SET last_used_at = ? WHERE id = ?", [record.createdAt, key])
      guard used == 1 else { return false }
      try database.insert(record)
      try database.execute("INSERT INTO key_token (token_id, key_id) VALUES (?, ?)", [record.id, key])
      return true
    }
  }

  // MARK: API keys

  /// Throws `notFound` when the account has gone.
  public func addKey(_ record: APIKeyRecord) throws(PlatformError) {
    _ = try serviceAccount(named: record.serviceAccountID.text)
    try database.insert(record)
  }

  /// All keys that are not deleted, or those of one account, in the order of their making.
  public func apiKeys(of account: ServiceAccountID? = nil) throws(PlatformError) -> [APIKeyRecord] {
    try database.select(
      "WHERE deleted_at IS NULL AND (?1 IS NULL OR service_account_id = ?1) ORDER BY rowid",
      [account])
  }

  /// Throws `notFound`.
  public func deleteAPIKey(_ id: String, of account: ServiceAccountID, at now: Timestamp)
    throws(PlatformError)
  {
    let count = try database.execute(
      "UPDATE api_key SET deleted_at = ? WHERE id = ? AND service_account_id = ? AND deleted_at IS NULL",
      [now, id, account])
    _ = try found(count == 1 ? id : nil, "API key", id)
  }

  /// Forgets deleted keys. Only while nobody can hold a verdict about one: before anything is served.
  public func forgetDeletedAPIKeys() throws(PlatformError) {
    try database.execute("DELETE FROM api_key WHERE deleted_at IS NOT NULL")
  }
}
