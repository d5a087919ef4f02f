-- Times are microseconds since 1970 (UTC). Sequences, not times, order what must be ordered: clocks jump.
CREATE TABLE folder (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE project (
  id TEXT PRIMARY KEY,
  folder_id TEXT NOT NULL REFERENCES folder (id),
  name TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  unpinned_limit INTEGER NOT NULL,
  pinned_limit INTEGER NOT NULL,
  UNIQUE (folder_id, name)
) STRICT;

CREATE TABLE service_account (
  id TEXT PRIMARY KEY,
  folder_id TEXT NOT NULL REFERENCES folder (id),
  name TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  UNIQUE (folder_id, name)
) STRICT;

CREATE TABLE role_grant (
  subject TEXT NOT NULL REFERENCES service_account (id) ON DELETE CASCADE,
  role TEXT NOT NULL,
  folder_id TEXT NOT NULL REFERENCES folder (id),
  PRIMARY KEY (subject, role, folder_id)
) STRICT;

CREATE TABLE token (
  id TEXT PRIMARY KEY,
  subject TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  revoked_at INTEGER,
  description TEXT NOT NULL
) STRICT;
CREATE INDEX token_expiry ON token (expires_at);

CREATE TABLE checkpoint (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  project_id TEXT NOT NULL REFERENCES project (id),
  name TEXT,
  pinned_at INTEGER,
  pinned_by TEXT,
  created_at INTEGER NOT NULL,
  manifest_digest TEXT NOT NULL,
  oci_digest TEXT NOT NULL,
  operation TEXT NOT NULL,
  notebook TEXT,
  execution_count INTEGER,
  cell_source TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  new_bytes INTEGER NOT NULL,
  errors_count INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX checkpoint_name ON checkpoint (project_id, name) WHERE name IS NOT NULL;
CREATE INDEX checkpoint_project ON checkpoint (project_id, sequence);

-- Every blob a checkpoint holds: its manifest, its OCI manifest and its layers.
CREATE TABLE checkpoint_blob (
  checkpoint_id TEXT NOT NULL REFERENCES checkpoint (id) ON DELETE CASCADE,
  digest TEXT NOT NULL,
  size INTEGER NOT NULL,
  PRIMARY KEY (checkpoint_id, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX checkpoint_blob_digest ON checkpoint_blob (digest);

CREATE TABLE node (
  id TEXT PRIMARY KEY,
  folder_id TEXT NOT NULL REFERENCES folder (id),
  project_id TEXT NOT NULL REFERENCES project (id),
  name TEXT NOT NULL,
  generation INTEGER NOT NULL,
  spec_json TEXT NOT NULL,
  release INTEGER NOT NULL,
  checkpoint_id TEXT NOT NULL,
  suspended INTEGER NOT NULL,
  deleted_at INTEGER,
  created_at INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  updated_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX node_live_name ON node (folder_id, name) WHERE deleted_at IS NULL;
CREATE INDEX node_order ON node (name, id);
CREATE INDEX node_checkpoint ON node (checkpoint_id) WHERE deleted_at IS NULL;

CREATE TABLE node_release (
  node_id TEXT NOT NULL REFERENCES node (id) ON DELETE CASCADE,
  number INTEGER NOT NULL,
  spec_json TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  former INTEGER NOT NULL,
  changes_json TEXT NOT NULL,
  state TEXT NOT NULL,
  state_at INTEGER NOT NULL,
  message TEXT NOT NULL,
  PRIMARY KEY (node_id, number)
) STRICT;

CREATE TABLE instance (
  id TEXT PRIMARY KEY,
  node_id TEXT NOT NULL REFERENCES node (id),
  release INTEGER NOT NULL,
  handle_json TEXT,
  status TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  started_at INTEGER,
  deleted_at INTEGER,
  last_error_json TEXT
) STRICT;
CREATE INDEX instance_node ON instance (node_id, id);

CREATE TABLE operation (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,
  description TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  modified_at INTEGER NOT NULL,
  done INTEGER NOT NULL,
  resource_id TEXT NOT NULL,
  metadata_json TEXT NOT NULL,
  response_json TEXT,
  error_json TEXT
) STRICT;
CREATE INDEX operation_resource ON operation (resource_id, sequence);
CREATE INDEX operation_pending ON operation (sequence) WHERE done = 0;

CREATE TABLE audit (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  at INTEGER NOT NULL,
  subject TEXT NOT NULL,
  event_type TEXT NOT NULL,
  resource_id TEXT NOT NULL,
  details_json TEXT NOT NULL,
  request_id TEXT NOT NULL
) STRICT;
CREATE INDEX audit_resource ON audit (resource_id, sequence);

CREATE TABLE usage (
  instance_id TEXT PRIMARY KEY,
  node_id TEXT NOT NULL,
  configuration TEXT NOT NULL,
  units_per_second REAL NOT NULL,
  started_at INTEGER NOT NULL,
  ended_at INTEGER
) STRICT;
CREATE INDEX usage_node ON usage (node_id, started_at);

CREATE TABLE setting (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT;

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

-- Changes of a node's number of instances, the last of each node.
CREATE TABLE scaling_event (
  node_id TEXT NOT NULL REFERENCES node (id) ON DELETE CASCADE,
  at INTEGER NOT NULL,
  from_count INTEGER NOT NULL,
  to_count INTEGER NOT NULL,
  reason TEXT NOT NULL,
  message TEXT NOT NULL
) STRICT;
CREATE INDEX scaling_event_node ON scaling_event (node_id, at);

-- Aliases whose requests wait, until a point in time that also a restart doesn't move.
CREATE TABLE alias_hold (
  alias_id TEXT PRIMARY KEY REFERENCES alias (id) ON DELETE CASCADE,
  started_at INTEGER NOT NULL,
  started_by TEXT NOT NULL,
  ends_at INTEGER NOT NULL,
  request_limit INTEGER NOT NULL,
  wait_seconds INTEGER NOT NULL,
  reason TEXT NOT NULL
) STRICT;
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

-- The newest ramp of each alias: its plan, where it is and what it has seen, as JSON.
CREATE TABLE ramp (
  alias_id TEXT PRIMARY KEY REFERENCES alias (id) ON DELETE CASCADE,
  number INTEGER NOT NULL,
  node_id TEXT NOT NULL,
  status TEXT NOT NULL,
  plan_json TEXT NOT NULL,
  base_json TEXT NOT NULL,
  progress_json TEXT NOT NULL,
  message TEXT NOT NULL,
  started_at INTEGER NOT NULL,
  started_by TEXT NOT NULL,
  ended_at INTEGER
) STRICT;

-- What ramps decided and what was done to them, the last of each alias, as JSON.
CREATE TABLE ramp_event (
  alias_id TEXT NOT NULL REFERENCES alias (id) ON DELETE CASCADE,
  event_json TEXT NOT NULL
) STRICT;
CREATE INDEX ramp_event_alias ON ramp_event (alias_id);

-- Nodes that are gone, as long as their logs are kept: whose they were.
CREATE TABLE deleted_node (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  folder_id TEXT NOT NULL,
  deleted_at INTEGER NOT NULL
) STRICT;
CREATE INDEX deleted_node_name ON deleted_node (name, deleted_at);

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
