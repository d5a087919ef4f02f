import Domain

/// A record and its table. A first column `sequence` is given by the database.
protocol SQLiteRecord {
  static var table: String { get }
  static var columns: [String] { get }
  var values: [any SQLiteStorable] { get }
  init(row: inout SQLiteRow) throws(PlatformError)
}

extension SQLiteDatabase {
  /// Adds a row; the answer is its sequence, where the table has one.
  @discardableResult
  func insert<Record: SQLiteRecord>(_ record: Record) throws(PlatformError) -> Int64 {
    let skipped = Record.columns[0] == "sequence" ? 1 : 0
    let names = Record.columns.dropFirst(skipped)
    let marks = names.map { _ in "?" }.joined(separator: ", ")
    let sql = "INSERT INTO \(Record.table) (\(names.joined(separator: ", "))) VALUES (\(marks))"
    try execute(sql, Array(record.values.dropFirst(skipped)))
    return lastInsertedRow
  }

  /// Writes every column of the row whose `key` column has the record's value of it.
  func update<Record: SQLiteRecord>(_ record: Record, key: String = "id") throws(PlatformError) -> Bool {
    let pairs = zip(Record.columns, record.values).filter { $0.0 != "sequence" && $0.0 != key }
    guard let keyIndex = Record.columns.firstIndex(of: key) else { return false }
    let sets = pairs.map { "\($0.0) = ?" }.joined(separator: ", ")
    let sql = "UPDATE \(Record.table) SET \(sets) WHERE \(key) = ?"
    return try execute(sql, pairs.map(\.1) + [record.values[keyIndex]]) == 1
  }

  /// Reads records; `clause` is what follows the table's name.
  func select<Record: SQLiteRecord>(
    _ clause: String, _ values: [any SQLiteStorable] = []
  ) throws(PlatformError) -> [Record] {
    let sql = "SELECT \(Record.columns.joined(separator: ", ")) FROM \(Record.table) \(clause)"
    return try rows(sql, values) { (row) throws(PlatformError) in try Record(row: &row) }
  }

  /// The first record of a select.
  func one<Record: SQLiteRecord>(
    _ clause: String, _ values: [any SQLiteStorable] = []
  ) throws(PlatformError) -> Record? {
    let records: [Record] = try select(clause, values)
    return records.first
  }
}
