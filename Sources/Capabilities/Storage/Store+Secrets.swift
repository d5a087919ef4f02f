public import Domain

extension Store {
  /// The most secrets that a folder may have.
  public static let secretsPerFolder = 1000

  public func createSecret(_ record: SecretRecord, _ value: SealedSecret) throws(PlatformError) {
    try database.transaction { () throws(PlatformError) in
      let count = try database.integer("SELECT count(*) FROM secret WHERE folder_id = ?", [record.folderID])
      guard count < Self.secretsPerFolder else {
        throw PlatformError(
          .resourceExhausted,
          "the folder has \(count) secrets, the most there can be: delete some, or use another folder",
          origin: .caller)
      }
      try naming("secret", record.name) { () throws(PlatformError) in try database.insert(record) }
      try database.insert(value)
    }
  }

  public func secret(_ id: SecretID) throws(PlatformError) -> SecretRecord? {
    try database.one("WHERE id = ?", [id])
  }

  /// By name in a folder.
  public func secret(named name: String, in folder: FolderID) throws(PlatformError) -> SecretRecord? {
    try database.one("WHERE folder_id = ? AND name = ?", [folder, name])
  }

  /// All that are called so, or have this id.
  public func secrets(called key: String) throws(PlatformError) -> [SecretRecord] {
    try database.select("WHERE id = ?1 OR name = ?1 ORDER BY id = ?1 DESC, rowid", [key])
  }

  /// By name.
  public func secrets(
    folder: FolderID? = nil, after: String? = nil, limit: Int = 100
  ) throws(PlatformError) -> Page<SecretRecord> {
    let (limit, cursor) = (Cursor.limit(limit), try Cursor.name(after))
    let found: [SecretRecord] = try database.select(
      "WHERE (?1 IS NULL OR folder_id = ?1) AND (name, id) > (?2, ?3) ORDER BY name, id LIMIT ?4",
      [folder, cursor.name, cursor.id, limit + 1])
    return Page(found, limit: limit) { "\($0.name):\($0.id)" }
  }

  /// Writes changed metadata, and the new value where there is one. Throws `notFound`.
  public func updateSecret(_ record: SecretRecord, _ value: SealedSecret? = nil) throws(PlatformError) {
    try database.transaction { () throws(PlatformError) in
      let changed = try database.update(record)
      _ = try found(changed ? record : nil, "secret", record.name)
      if let value { try reseal(value) }
    }
  }

  /// Replaces a sealed value.
  public func reseal(_ value: SealedSecret) throws(PlatformError) {
    try database.script("PRAGMA secure_delete = ON")
    _ = try database.update(value, key: "secret_id")
  }

  public func deleteSecret(_ id: SecretID) throws(PlatformError) {
    try database.script("PRAGMA secure_delete = ON")
    let count = try database.execute("DELETE FROM secret WHERE id = ?", [id])
    _ = try found(count == 1 ? id : nil, "secret", id.text)
  }

  public func sealedSecret(_ id: SecretID) throws(PlatformError) -> SealedSecret? {
    try database.one("WHERE secret_id = ?", [id])
  }

  /// Numbers of the master keys that values are sealed with, and how many values each.
  public func masterKeysInUse() throws(PlatformError) -> [Int: Int] {
    let pairs = try database.rows("SELECT master_key, count(*) FROM secret_value GROUP BY master_key") {
      (row) throws(PlatformError) in (try row.next(Int.self), try row.next(Int.self))
    }
    return Dictionary(pairs) { first, _ in first }
  }

  /// Secrets whose values are sealed with another key than this.
  public func secretsSealed(otherThan key: Int) throws(PlatformError) -> [SecretID] {
    try database.rows("SELECT secret_id FROM secret_value WHERE master_key <> ? ORDER BY secret_id", [key]) {
      (row) throws(PlatformError) in try row.next(SecretID.self)
    }
  }

  /// Brings what is in the log of the database into its file and empties the log, with the values that it holds.
  public func emptyWriteAheadLog() throws(PlatformError) {
    _ = try database.rows("PRAGMA wal_checkpoint(TRUNCATE)") { (row) throws(PlatformError) in
      try row.next(Int.self)
    }
  }
}
