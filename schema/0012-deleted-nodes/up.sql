-- Nodes that are gone, as long as their logs are kept: whose they were.
CREATE TABLE deleted_node (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  folder_id TEXT NOT NULL,
  deleted_at INTEGER NOT NULL
) STRICT;
CREATE INDEX deleted_node_name ON deleted_node (name, deleted_at);
