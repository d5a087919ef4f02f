import CSQLite
import Domain

/// A connection to one database file. Not for several threads: an actor owns it.
///
/// What a call has returned from survives a power cut (`synchronous=FULL` with WAL).
final class SQLiteDatabase {
  private let connection: OpaquePointer
  private var statements: [String: OpaquePointer] = [:]
  private var depth = 0

  init(path: String) throws(PlatformError) {
    var connection: OpaquePointer?
    let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE
    let code = sqlite3_open_v2(path, &connection, flags, nil)
    guard let connection, code == SQLITE_OK else {
      let error = SQLiteFailure.error(code, connection, doing: "open \(path)")
      sqlite3_close_v2(connection)
      throw error
    }
    self.connection = connection
    sqlite3_busy_timeout(connection, 5000)
    try script(
      """
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = FULL;
      PRAGMA foreign_keys = ON;
      PRAGMA trusted_schema = OFF;
      PRAGMA cache_size = -8192;
      """)
  }

  deinit {
    for statement in statements.values { sqlite3_finalize(statement) }
    sqlite3_close_v2(connection)
  }

  /// Runs statements without values.
  func script(_ sql: String) throws(PlatformError) {
    let code = sqlite3_exec(connection, sql, nil, nil, nil)
    guard code == SQLITE_OK else { throw SQLiteFailure.error(code, connection, doing: "run a script") }
  }

  /// Runs one statement; the answer is the number of changed rows.
  @discardableResult
  func execute(_ sql: String, _ values: [any SQLiteStorable] = []) throws(PlatformError) -> Int {
    let statement = try prepare(sql, values)
    defer { sqlite3_reset(statement) }
    var code = sqlite3_step(statement)
    while code == SQLITE_ROW { code = sqlite3_step(statement) }
    guard code == SQLITE_DONE else { throw SQLiteFailure.error(code, connection, doing: sql) }
    return Int(sqlite3_changes64(connection))
  }

  func rows<Value>(
    _ sql: String, _ values: [any SQLiteStorable] = [],
    _ read: (inout SQLiteRow) throws(PlatformError) -> Value
  ) throws(PlatformError) -> [Value] {
    let statement = try prepare(sql, values)
    defer { sqlite3_reset(statement) }
    var result: [Value] = []
    while true {
      let code = sqlite3_step(statement)
      if code == SQLITE_DONE { return result }
      guard code == SQLITE_ROW else { throw SQLiteFailure.error(code, connection, doing: sql) }
      var row = SQLiteRow(statement: statement)
      result.append(try read(&row))
    }
  }

  /// The one number that a query answers with, 0 when it answers with none.
  func integer(_ sql: String, _ values: [any SQLiteStorable] = []) throws(PlatformError) -> Int {
    try rows(sql, values) { (row) throws(PlatformError) in try row.next(Int.self) }.first ?? 0
  }

  var lastInsertedRow: Int64 { sqlite3_last_insert_rowid(connection) }

  /// Everything or nothing. Nested calls are savepoints of the outer one.
  func transaction<Value>(_ body: () throws(PlatformError) -> Value) throws(PlatformError) -> Value {
    let level = depth
    // IMMEDIATE: the write lock is taken before anything is read, so that a decision can't be made on old
    // rows.
    try script(level == 0 ? "BEGIN IMMEDIATE" : "SAVEPOINT level\(level)")
    depth += 1
    defer { depth = level }
    do throws(PlatformError) {
      let value = try body()
      try script(level == 0 ? "COMMIT" : "RELEASE level\(level)")
      return value
    } catch {
      // SQLite rolls back by itself after some errors (a full disk); a second rollback then fails and must
      // not
      // hide the first error.
      let undo = level == 0 ? "ROLLBACK" : "ROLLBACK TO level\(level); RELEASE level\(level)"
      sqlite3_exec(connection, undo, nil, nil, nil)
      throw error
    }
  }

  private func prepare(_ sql: String, _ values: [any SQLiteStorable]) throws(PlatformError) -> OpaquePointer {
    let statement = try cached(sql)
    sqlite3_clear_bindings(statement)
    for (index, value) in values.enumerated() {
      let code = value.bind(to: statement, at: Int32(index + 1))
      guard code == SQLITE_OK else { throw SQLiteFailure.error(code, connection, doing: sql) }
    }
    return statement
  }

  private func cached(_ sql: String) throws(PlatformError) -> OpaquePointer {
    if let statement = statements[sql] { return statement }
    var statement: OpaquePointer?
    let code = sqlite3_prepare_v3(connection, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil)
    guard code == SQLITE_OK, let statement else { throw SQLiteFailure.error(code, connection, doing: sql) }
    statements[sql] = statement
    return statement
  }
}

/// What SQLite said, kept as the cause of a `PlatformError`.
struct SQLiteFailure: Error, CustomStringConvertible {
  var code: Int32
  var text: String
  var action: String

  var description: String { "SQLite \(code): \(text) (\(action))" }

  static func error(_ code: Int32, _ connection: OpaquePointer?, doing action: String) -> PlatformError {
    let text = connection.flatMap { sqlite3_errmsg($0) }.map { String(cString: $0) } ?? "no memory"
    let failure = SQLiteFailure(code: code, text: text, action: action)
    let systemError = connection.map { sqlite3_system_errno($0) } ?? 0
    switch code & 0xff {
    case SQLITE_FULL:
      return DiskFull.error(cause: failure)
    case SQLITE_IOERR where DiskFull.means(systemError), SQLITE_CANTOPEN where DiskFull.means(systemError):
      return DiskFull.error(cause: failure)
    case SQLITE_CONSTRAINT where code == SQLiteFailure.foreignKey:
      return PlatformError(
        .failedPrecondition, "the change names something that does not exist or is still in use",
        cause: failure)
    case SQLITE_CONSTRAINT:
      return PlatformError(.alreadyExists, "it already exists: \(text)", cause: failure)
    case SQLITE_BUSY, SQLITE_LOCKED:
      return PlatformError(
        .unavailable, "the database is locked by another process: stop the other roost that uses this folder",
        cause: failure)
    case SQLITE_CORRUPT, SQLITE_NOTADB:
      return PlatformError(
        .dataLoss, "the database file is damaged: restore it from a backup", cause: failure)
    case SQLITE_READONLY, SQLITE_PERM, SQLITE_AUTH, SQLITE_CANTOPEN:
      return PlatformError(
        .failedPrecondition,
        "the database can't be opened for writing: give the user of roost write access to the data folder",
        cause: failure)
    default:
      return PlatformError(.internal, "the database failed", cause: failure)
    }
  }

  /// `SQLITE_CONSTRAINT_FOREIGNKEY`, a macro that Swift can't see.
  private static let foreignKey = SQLITE_CONSTRAINT | (3 << 8)
}
