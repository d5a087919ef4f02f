extension Migration {
  /// The same text as `schema/0007-scaling/up.sql` (equal by test).
  static let scaling = Migration(
    number: 7, name: "scaling",
    sql: #"""
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

      """#)
}
