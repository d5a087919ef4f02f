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
