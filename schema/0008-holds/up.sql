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
