extension Migration {
  /// The same text as `schema/0009-alias-copies/up.sql` (equal by test).
  static let aliasCopies = Migration(
    number: 9, name: "alias-copies",
    sql: #"""
      -- What an alias does with copies of its requests: of kind 'mirror' or 'record'.
      CREATE TABLE alias_setting (
        alias_id TEXT NOT NULL REFERENCES alias (id) ON DELETE CASCADE,
        kind TEXT NOT NULL,
        settings_json TEXT NOT NULL,
        updated_at INTEGER NOT NULL,
        updated_by TEXT NOT NULL,
        PRIMARY KEY (alias_id, kind)
      ) STRICT;
      -- The key of an alias' recorded requests, sealed with the master key of secrets.
      CREATE TABLE recording_key (
        alias_id TEXT PRIMARY KEY REFERENCES alias (id) ON DELETE CASCADE,
        master_key INTEGER NOT NULL,
        sealed BLOB NOT NULL
      ) STRICT;
      -- What came of sending recorded requests to a node; the id is the operation's.
      CREATE TABLE alias_replay (
        id TEXT PRIMARY KEY,
        alias_id TEXT NOT NULL REFERENCES alias (id) ON DELETE CASCADE,
        node_id TEXT NOT NULL REFERENCES node (id) ON DELETE CASCADE,
        release INTEGER NOT NULL,
        ended_at INTEGER NOT NULL,
        passed INTEGER NOT NULL,
        report_json TEXT NOT NULL
      ) STRICT;
      CREATE INDEX alias_replay_alias ON alias_replay (alias_id, ended_at);

      """#)
}
