-- Who made a release, what it changed, and what became of it.
CREATE TABLE node_release_kept AS SELECT node_id, number, spec_json, created_at FROM node_release;
DROP TABLE node_release;
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
-- Whether the newest one ever served was not kept: it is judged anew.
INSERT INTO node_release
  SELECT kept.node_id, number, kept.spec_json, kept.created_at, node.created_by, max(0, number - 1), '[]',
    CASE WHEN number = node.release THEN 'rollingOut' ELSE 'superseded' END, kept.created_at, ''
  FROM node_release_kept AS kept JOIN node ON node.id = kept.node_id;
DROP TABLE node_release_kept;
