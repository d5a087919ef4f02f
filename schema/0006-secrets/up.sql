-- Secrets of folders. The value stands apart, so that no listing can read it.
CREATE TABLE secret (
  id TEXT PRIMARY KEY,
  folder_id TEXT NOT NULL REFERENCES folder (id),
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  version INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  updated_at INTEGER NOT NULL,
  UNIQUE (folder_id, name)
) STRICT;

-- Nonce, ciphertext and tag of AES-256-GCM, bound to the secret's id and version.
CREATE TABLE secret_value (
  secret_id TEXT PRIMARY KEY REFERENCES secret (id) ON DELETE CASCADE,
  version INTEGER NOT NULL,
  master_key INTEGER NOT NULL,
  sealed BLOB NOT NULL
) STRICT;
CREATE INDEX secret_value_key ON secret_value (master_key);
