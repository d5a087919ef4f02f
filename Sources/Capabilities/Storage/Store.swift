public import Domain

/// All that the service must not forget, in one SQLite database. Writes are serialized; a call that has
/// returned
/// survives a crash and a power cut.
public actor Store {
  let database: SQLiteDatabase

  /// Opens the database (made when missing) and brings its schema up to date. Refuses one of a newer roost.
  public init(path: String) throws(PlatformError) {
    database = try SQLiteDatabase(path: path)
    try Migration.apply(Migration.all, to: database)
  }

  /// The version of the schema that this program writes.
  public static var schema: Int { Migration.all.last?.number ?? 0 }

  /// The version of the schema that a database has.
  public static func schema(at path: String) throws(PlatformError) -> Int {
    try SQLiteDatabase(path: path).integer("PRAGMA user_version")
  }

  /// Writes a copy as of now to a file, which must not exist.
  public func copy(to path: String) throws(PlatformError) { try database.execute("VACUUM INTO ?", [path]) }

  /// Does several changes as one: all of them are kept, or none when the body throws.
  public func atomically<Value: Sendable>(
    _ body: @Sendable (isolated Store) throws(PlatformError) -> Value
  ) throws(PlatformError) -> Value {
    try database.transaction { () throws(PlatformError) in try body(self) }
  }

  /// The next generation of the routing table: greater than every one given before, also by earlier
  /// processes.
  public func nextRoutingGeneration() throws(PlatformError) -> UInt64 {
    let next = try database.rows(
      """
      INSERT INTO setting (key, value) VALUES ('routing.generation', '1')
      ON CONFLICT (key) DO UPDATE SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT) RETURNING value
      """
    ) { (row) throws(PlatformError) in try row.next(String.self) }
    guard let text = next.first, let number = UInt64(text) else {
      throw PlatformError(.dataLoss, "the counter of routing generations is damaged: restore the database")
    }
    return number
  }

  public func setting(_ key: String) throws(PlatformError) -> String? {
    try database.rows("SELECT value FROM setting WHERE key = ?", [key]) { (row) throws(PlatformError) in
      try row.next(String.self)
    }.first
  }

  /// Sets a value; nil removes it.
  public func setSetting(_ key: String, _ value: String?) throws(PlatformError) {
    guard let value else {
      try database.execute("DELETE FROM setting WHERE key = ?", [key])
      return
    }
    try database.execute(
      "INSERT INTO setting (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
      [key, value])
  }

  /// Throws when the database can't be read: what `/readyz` asks.
  public func check() throws(PlatformError) { _ = try database.integer("SELECT count(*) FROM folder") }

  /// Turns the violation of a unique name into an error that says which name.
  @discardableResult
  func naming<Value>(
    _ what: String, _ name: String, field: String = "name", _ body: () throws(PlatformError) -> Value
  ) throws(PlatformError) -> Value {
    do throws(PlatformError) {
      return try body()
    } catch {
      guard error.code == .alreadyExists else { throw error }
      throw PlatformError(
        .alreadyExists, "\(field): a \(what) named '\(name)' already exists here; choose another name",
        origin: .caller, field: field, cause: error)
    }
  }

  /// The record, or `notFound` that names what was looked for.
  func found<Record>(_ record: Record?, _ what: String, _ key: String) throws(PlatformError) -> Record {
    guard let record else {
      throw PlatformError(.notFound, "\(what) '\(key)' does not exist (or was deleted)", origin: .caller)
    }
    return record
  }
}
