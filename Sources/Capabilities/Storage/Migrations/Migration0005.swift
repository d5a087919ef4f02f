extension Migration {
  /// The same text as `schema/0005-environments/up.sql` (equal by test).
  static let environments = Migration(
    number: 5, name: "environments",
    sql: #"""
      -- Environments of cell nodes. What was asked for and what came of it are JSON.
      CREATE TABLE environment (
        id TEXT PRIMARY KEY,
        folder_id TEXT NOT NULL REFERENCES folder (id),
        name TEXT NOT NULL,
        status TEXT NOT NULL,
        request_json TEXT NOT NULL,
        lock_digest TEXT,
        built_json TEXT,
        error TEXT,
        created_at INTEGER NOT NULL,
        created_by TEXT NOT NULL,
        UNIQUE (folder_id, name)
      ) STRICT;

      """#)
}
