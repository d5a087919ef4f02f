extension Migration {
  /// The same text as `schema/0010-subnets/up.sql` (equal by test).
  static let subnets = Migration(
    number: 10, name: "subnets",
    sql: #"""
      -- Networks that image nodes of a folder share, each in one zone.
      CREATE TABLE subnet (
        id TEXT PRIMARY KEY,
        folder_id TEXT NOT NULL REFERENCES folder (id),
        name TEXT NOT NULL,
        zone TEXT NOT NULL,
        cidr TEXT NOT NULL,
        is_internal INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        created_by TEXT NOT NULL,
        UNIQUE (folder_id, name)
      ) STRICT;

      """#)
}
