import CSQLite
import Domain

/// A value of a column, in both directions.
protocol SQLiteStorable {
  func bind(to statement: OpaquePointer, at index: Int32) -> Int32
  static func read(_ statement: OpaquePointer, _ column: Int32) throws(PlatformError) -> Self
}

/// Tells SQLite to copy the bytes before the call returns (`SQLITE_TRANSIENT`, a macro that Swift can't see).
private let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)

extension Int64: SQLiteStorable {
  func bind(to statement: OpaquePointer, at index: Int32) -> Int32 {
    sqlite3_bind_int64(statement, index, self)
  }
  static func read(_ statement: OpaquePointer, _ column: Int32) throws(PlatformError) -> Int64 {
    sqlite3_column_int64(statement, column)
  }
}

extension Int: SQLiteStorable {
  func bind(to statement: OpaquePointer, at index: Int32) -> Int32 {
    Int64(self).bind(to: statement, at: index)
  }
  static func read(_ statement: OpaquePointer, _ column: Int32) throws(PlatformError) -> Int {
    Int(sqlite3_column_int64(statement, column))
  }
}

extension Bool: SQLiteStorable {
  func bind(to statement: OpaquePointer, at index: Int32) -> Int32 {
    sqlite3_bind_int64(statement, index, self ? 1 : 0)
  }
  static func read(_ statement: OpaquePointer, _ column: Int32) throws(PlatformError) -> Bool {
    sqlite3_column_int64(statement, column) != 0
  }
}

extension Double: SQLiteStorable {
  func bind(to statement: OpaquePointer, at index: Int32) -> Int32 {
    sqlite3_bind_double(statement, index, self)
  }
  static func read(_ statement: OpaquePointer, _ column: Int32) throws(PlatformError) -> Double {
    sqlite3_column_double(statement, column)
  }
}

extension String: SQLiteStorable {
  func bind(to statement: OpaquePointer, at index: Int32) -> Int32 {
    var copy = self
    return copy.withUTF8 { bytes in
      // A null pointer would bind NULL; an empty text has none.
      guard let base = bytes.baseAddress else { return sqlite3_bind_text(statement, index, "", 0, transient) }
      return base.withMemoryRebound(to: CChar.self, capacity: bytes.count) {
        sqlite3_bind_text64(
          statement, index, $0, UInt64(bytes.count), transient, UInt8(SQLITE_UTF8))
      }
    }
  }
  static func read(_ statement: OpaquePointer, _ column: Int32) throws(PlatformError) -> String {
    guard let text = sqlite3_column_text(statement, column) else {
      throw PlatformError(.dataLoss, "the database holds no text where one must be (column \(column))")
    }
    let count = Int(sqlite3_column_bytes(statement, column))
    return String(decoding: UnsafeBufferPointer(start: text, count: count), as: UTF8.self)
  }
}

/// A column of bytes.
struct Blob: SQLiteStorable {
  var bytes: [UInt8]

  func bind(to statement: OpaquePointer, at index: Int32) -> Int32 {
    bytes.withUnsafeBytes { buffer in
      // A null pointer would bind NULL; no bytes have none.
      guard let base = buffer.baseAddress else { return sqlite3_bind_zeroblob(statement, index, 0) }
      return sqlite3_bind_blob64(statement, index, base, UInt64(buffer.count), transient)
    }
  }
  static func read(_ statement: OpaquePointer, _ column: Int32) throws(PlatformError) -> Blob {
    let count = Int(sqlite3_column_bytes(statement, column))
    guard count > 0, let start = sqlite3_column_blob(statement, column) else { return Blob(bytes: []) }
    return Blob(bytes: Array(UnsafeRawBufferPointer(start: start, count: count)))
  }
}

extension Timestamp: SQLiteStorable {
  func bind(to statement: OpaquePointer, at index: Int32) -> Int32 {
    microseconds.bind(to: statement, at: index)
  }
  static func read(_ statement: OpaquePointer, _ column: Int32) throws(PlatformError) -> Timestamp {
    Timestamp(microseconds: sqlite3_column_int64(statement, column))
  }
}

extension Identifier: SQLiteStorable {
  func bind(to statement: OpaquePointer, at index: Int32) -> Int32 { text.bind(to: statement, at: index) }
  static func read(_ statement: OpaquePointer, _ column: Int32) throws(PlatformError) -> Identifier<Kind> {
    let text = try String.read(statement, column)
    guard let id = Identifier<Kind>(text) else {
      throw PlatformError(.dataLoss, "the database holds '\(text)' where an id of kind \(Kind.kind) must be")
    }
    return id
  }
}

extension ReleaseState: SQLiteStorable {
  func bind(to statement: OpaquePointer, at index: Int32) -> Int32 { rawValue.bind(to: statement, at: index) }
  static func read(_ statement: OpaquePointer, _ column: Int32) throws(PlatformError) -> ReleaseState {
    let text = try String.read(statement, column)
    guard let state = ReleaseState(rawValue: text) else {
      throw PlatformError(.dataLoss, "the database holds the unknown release state '\(text)'")
    }
    return state
  }
}

extension InstanceStatus: SQLiteStorable {
  func bind(to statement: OpaquePointer, at index: Int32) -> Int32 { rawValue.bind(to: statement, at: index) }
  static func read(_ statement: OpaquePointer, _ column: Int32) throws(PlatformError) -> InstanceStatus {
    let text = try String.read(statement, column)
    guard let status = InstanceStatus(rawValue: text) else {
      throw PlatformError(.dataLoss, "the database holds the unknown instance status '\(text)'")
    }
    return status
  }
}

extension Optional: SQLiteStorable where Wrapped: SQLiteStorable {
  func bind(to statement: OpaquePointer, at index: Int32) -> Int32 {
    guard let value = self else { return sqlite3_bind_null(statement, index) }
    return value.bind(to: statement, at: index)
  }
  static func read(_ statement: OpaquePointer, _ column: Int32) throws(PlatformError) -> Wrapped? {
    if sqlite3_column_type(statement, column) == SQLITE_NULL { return nil }
    return try Wrapped.read(statement, column)
  }
}

/// A row being read, column after column, in the order of the select.
struct SQLiteRow: ~Copyable {
  let statement: OpaquePointer
  private var column: Int32 = 0

  init(statement: OpaquePointer) { self.statement = statement }

  mutating func next<Value: SQLiteStorable>(_: Value.Type = Value.self) throws(PlatformError) -> Value {
    defer { column += 1 }
    return try Value.read(statement, column)
  }
}
