import Domain
import FoundationEssentials
import Testing

@testable import Storage

@Suite struct MigrationTests {
  /// The folder `schema/` of the repository.
  private let schema = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appending(path: "schema")

  private func text(_ path: String) throws -> String {
    String(decoding: try Data(contentsOf: schema.appending(path: path)), as: UTF8.self)
  }

  private func dump(_ database: SQLiteDatabase) throws -> [String] {
    try database.rows("SELECT coalesce(sql, name) FROM sqlite_schema ORDER BY type, name") {
      (row) throws(PlatformError) in try row.next(String.self)
    }
  }

  @Test func `the binary holds the same steps as the folder`() throws {
    for migration in Migration.all {
      let number = String(migration.number)
      let folder = String(repeating: "0", count: 4 - number.count) + "\(number)-\(migration.name)"
      #expect(try text("\(folder)/up.sql") == migration.sql)
    }
    let folders = try FileManager.default.contentsOfDirectory(atPath: schema.path).filter {
      !$0.hasSuffix(".sql")
    }
    #expect(folders.count == Migration.all.count)
    // A database remembers only the number of its last step.
    #expect(Migration.all.map(\.number) == Array(1...Migration.all.count))
  }

  @Test func `all steps give the committed schema`() throws {
    let home = try TemporaryFolder()
    let stepped = try SQLiteDatabase(path: home.path + "/stepped.db")
    try Migration.apply(Migration.all, to: stepped)
    let direct = try SQLiteDatabase(path: home.path + "/direct.db")
    try direct.script(try text("schema.sql"))
    #expect(try dump(stepped) == dump(direct))
  }

  @Test func `opening twice changes nothing`() async throws {
    let world = try await World()
    let again = try Store(path: world.home.database)
    #expect(try await again.folder(named: "default").id == world.folder.id)
  }

  @Test func `a database of a newer roost is refused`() throws {
    let home = try TemporaryFolder()
    let database = try SQLiteDatabase(path: home.database)
    try database.script("PRAGMA user_version = 99")
    let error = try #require(throws: PlatformError.self) { try Store(path: home.database) }
    #expect(error.code == .failedPrecondition && error.message.contains("schema 99"))
  }

  @Test func `a failed step leaves the database as it was`() throws {
    let home = try TemporaryFolder()
    let database = try SQLiteDatabase(path: home.database)
    let broken = Migration(number: 1, name: "broken", sql: "CREATE TABLE one (id TEXT); CREATE nonsense;")
    #expect(throws: PlatformError.self) { try Migration.apply([broken], to: database) }
    #expect(try dump(database).isEmpty)
    #expect(try database.integer("PRAGMA user_version") == 0)
  }

  @Test func `a file that is no database is refused in plain words`() throws {
    let home = try TemporaryFolder()
    try Data(repeating: 0x41, count: 8192).write(to: URL(filePath: home.database))
    let error = try #require(throws: PlatformError.self) { try Store(path: home.database) }
    #expect(error.code == .dataLoss)
  }
}
