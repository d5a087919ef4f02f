-- Stable published names in front of nodes. Names are unique on the server: callers write them without a folder.
CREATE TABLE alias (
  id TEXT PRIMARY KEY,
  folder_id TEXT NOT NULL REFERENCES folder (id),
  name TEXT NOT NULL UNIQUE,
  generation INTEGER NOT NULL,
  spec_json TEXT NOT NULL,
  slots_json TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
