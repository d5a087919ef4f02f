extension Migration {
  /// The same text as `schema/0002-keys/up.sql` (equal by test).
  static let keys = Migration(
    number: 2, name: "keys",
    sql: #"""
      -- Keys of service accounts. Of an authorized key only the public half is kept.
      CREATE TABLE authorized_key (
        id TEXT PRIMARY KEY,
        service_account_id TEXT NOT NULL REFERENCES service_account (id) ON DELETE CASCADE,
        description TEXT NOT NULL,
        algorithm TEXT NOT NULL,
        public_key TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        last_used_at INTEGER
      ) STRICT;
      CREATE INDEX authorized_key_account ON authorized_key (service_account_id, id);

      -- Which tokens a key was exchanged for: they end with it.
      CREATE TABLE key_token (
        token_id TEXT PRIMARY KEY REFERENCES token (id) ON DELETE CASCADE,
        key_id TEXT NOT NULL
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX key_token_key ON key_token (key_id);

      -- API keys: SHA-256 of the secret. A deleted one is kept while a cached verdict about it may live.
      CREATE TABLE api_key (
        id TEXT PRIMARY KEY,
        service_account_id TEXT NOT NULL,
        description TEXT NOT NULL,
        scope TEXT NOT NULL,
        secret_hash TEXT NOT NULL UNIQUE,
        created_at INTEGER NOT NULL,
        expires_at INTEGER,
        deleted_at INTEGER
      ) STRICT;
      CREATE INDEX api_key_account ON api_key (service_account_id, id);

      """#)
}
