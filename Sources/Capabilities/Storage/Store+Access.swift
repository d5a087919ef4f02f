public import Domain

extension Store {
  public func createServiceAccount(_ record: ServiceAccountRecord) throws(PlatformError) {
    try naming("service account", record.name) { () throws(PlatformError) in try database.insert(record) }
  }

  /// By id or name; throws `notFound`.
  public func serviceAccount(named key: String) throws(PlatformError) -> ServiceAccountRecord {
    let record: ServiceAccountRecord? = try database.one(
      "WHERE id = ?1 OR name = ?1 ORDER BY id = ?1 DESC, rowid LIMIT 1", [key])
    return try found(record, "service account", key)
  }

  /// By name.
  public func serviceAccounts(
    folder: FolderID? = nil, after: String? = nil, limit: Int = 100
  ) throws(PlatformError) -> Page<ServiceAccountRecord> {
    let (limit, cursor) = (Cursor.limit(limit), try Cursor.name(after))
    let found: [ServiceAccountRecord] = try database.select(
      "WHERE (?1 IS NULL OR folder_id = ?1) AND (name, id) > (?2, ?3) ORDER BY name, id LIMIT ?4",
      [folder, cursor.name, cursor.id, limit + 1])
    return Page(found, limit: limit) { "\($0.name):\($0.id)" }
  }

  /// Deletes the account, its roles; its live tokens become revoked.
  public func deleteServiceAccount(_ id: ServiceAccountID, at now: Timestamp) throws(PlatformError) {
    try database.transaction { () throws(PlatformError) in
      try database.execute(
        "UPDATE token SET revoked_at = ? WHERE subject = ? AND revoked_at IS NULL", [now, id])
      try database.execute(
        "UPDATE api_key SET deleted_at = ? WHERE service_account_id = ? AND deleted_at IS NULL", [now, id])
      let count = try database.execute("DELETE FROM service_account WHERE id = ?", [id])
      _ = try found(count == 1 ? id : nil, "service account", id.text)
    }
  }

  /// Gives a role; giving it twice changes nothing.
  public func grant(_ record: GrantRecord) throws(PlatformError) {
    try database.execute(
      "INSERT INTO role_grant (subject, role, folder_id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
      record.values)
  }

  /// Takes a role away; false when there was none.
  @discardableResult
  public func revokeGrant(_ record: GrantRecord) throws(PlatformError) -> Bool {
    let sql = "DELETE FROM role_grant WHERE subject = ? AND role = ? AND folder_id = ?"
    return try database.execute(sql, record.values) == 1
  }

  /// All roles, or those of one subject.
  public func grants(subject: String? = nil) throws(PlatformError) -> [GrantRecord] {
    try database.select("WHERE ?1 IS NULL OR subject = ?1 ORDER BY subject, folder_id, role", [subject])
  }

  public func addToken(_ record: TokenRecord) throws(PlatformError) { try database.insert(record) }

  public func token(_ id: String) throws(PlatformError) -> TokenRecord? {
    try database.one("WHERE id = ?", [id])
  }

  /// Tokens that have not expired and are not revoked, newest first.
  public func liveTokens(at now: Timestamp, subject: String? = nil) throws(PlatformError) -> [TokenRecord] {
    try database.select(
      "WHERE expires_at > ?1 AND revoked_at IS NULL AND (?2 IS NULL OR subject = ?2) ORDER BY rowid DESC",
      [now, subject])
  }

  /// Revokes a token for good; a second time changes nothing. Throws `notFound`.
  public func revokeToken(_ id: String, at now: Timestamp) throws(PlatformError) {
    let count = try database.execute(
      "UPDATE token SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?", [now, id])
    _ = try found(count == 1 ? id : nil, "token", id)
  }

  /// Revokes a token for good, also one that is not on record (any more). False, and nothing is changed, when it was revoked
  /// before.
  public func revokeToken(_ record: TokenRecord, at now: Timestamp) throws(PlatformError) -> Bool {
    var revoked = record
    revoked.revokedAt = now
    return try database.transaction { () throws(PlatformError) in
      guard let known = try token(record.id) else {
        try database.insert(revoked)
        return true
      }
      guard known.revokedAt == nil else { return false }
      try revokeToken(record.id, at: now)
      return true
    }
  }

  /// Ids of tokens that were revoked, and of API keys that were deleted, and might still be presented.
  ///
  /// A day is added to the expiry: when the clock jumps back, a revoked token must not come alive again.
  public func revokedLiveTokens(at now: Timestamp) throws(PlatformError) -> [String] {
    let expiry = now + .seconds(-86400)
    return try database.rows(
      """
      SELECT id FROM token WHERE revoked_at IS NOT NULL AND expires_at > ?
      UNION SELECT id FROM api_key WHERE deleted_at IS NOT NULL ORDER BY id
      """, [expiry]
    ) { (row) throws(PlatformError) in try row.next(String.self) }
  }

  /// Forgets tokens that expired before the time; the answer is their number.
  @discardableResult
  public func forgetTokens(expiredBefore time: Timestamp) throws(PlatformError) -> Int {
    try database.execute("DELETE FROM token WHERE expires_at < ?", [time])
  }
}
