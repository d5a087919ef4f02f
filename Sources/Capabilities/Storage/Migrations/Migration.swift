import Domain

/// One step of the schema. Steps are never edited once released; a new one is added.
struct Migration: Sendable {
  var number: Int
  var name: String
  var sql: String

  static let all: [Migration] = [
    .initial, .keys, .releases, .aliases, .environments, .secrets, .scaling, .holds, .aliasCopies,
    .subnets, .ramps, .deletedNodes, .models,
  ]

  /// Brings the database to the schema that this binary knows, each step whole or not at all.
  static func apply(_ migrations: [Migration], to database: SQLiteDatabase) throws(PlatformError) {
    let current = try database.integer("PRAGMA user_version")
    let newest = migrations.last?.number ?? 0
    guard current <= newest else {
      throw PlatformError(
        .failedPrecondition,
        "the database has schema \(current), this binary knows schemas up to \(newest): start a newer roost, or restore a backup made by this version"
      )
    }
    for migration in migrations where migration.number > current {
      try database.transaction { () throws(PlatformError) in
        try database.script(migration.sql)
        try database.script("PRAGMA user_version = \(migration.number)")
      }
    }
  }
}
