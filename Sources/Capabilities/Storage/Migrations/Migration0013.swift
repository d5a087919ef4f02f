extension Migration {
  /// The same text as `schema/0013-models/up.sql` (equal by test).
  static let models = Migration(
    number: 13, name: "models",
    sql: #"""
      -- Saved models of projects: one file each, a blob.
      CREATE TABLE model (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        project_id TEXT NOT NULL REFERENCES project (id),
        name TEXT NOT NULL,
        digest TEXT NOT NULL,
        config_digest TEXT NOT NULL,
        oci_digest TEXT NOT NULL,
        facts_json TEXT NOT NULL,
        notebook TEXT,
        variable TEXT,
        created_at INTEGER NOT NULL,
        created_by TEXT NOT NULL
      ) STRICT;
      CREATE UNIQUE INDEX model_name ON model (project_id, name);

      """#)
}
