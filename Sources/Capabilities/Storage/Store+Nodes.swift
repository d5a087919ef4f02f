public import Domain

extension Store {
  /// Adds a node and its first release. A checkpoint that it names must exist.
  public func createNode(_ record: NodeRecord) throws(PlatformError) {
    try database.transaction { () throws(PlatformError) in
      if let id = record.checkpointID { _ = try found(try checkpoint(id), "checkpoint", id.text) }
      try naming("node", record.name) { () throws(PlatformError) in try database.insert(record) }
      try database.insert(
        ReleaseRecord(
          nodeID: record.id, number: record.release, specJSON: record.specJSON, createdAt: record.createdAt,
          createdBy: record.createdBy))
    }
  }

  public func node(_ id: NodeID) throws(PlatformError) -> NodeRecord? {
    try database.one("WHERE id = ?", [id])
  }

  /// By id (also one being deleted), or by name among the live ones; throws `notFound`.
  public func node(named key: String, in folder: FolderID? = nil) throws(PlatformError) -> NodeRecord {
    let record: NodeRecord? = try database.one(
      """
      WHERE (id = ?1 OR (name = ?1 AND deleted_at IS NULL)) AND (?2 IS NULL OR folder_id = ?2)
      ORDER BY id = ?1 DESC, rowid LIMIT 1
      """, [key, folder])
    return try found(record, "node", key)
  }

  /// By name, nodes that are being deleted too.
  public func nodes(
    folder: FolderID? = nil, project: ProjectID? = nil, after: String? = nil, limit: Int = 100
  ) throws(PlatformError) -> Page<NodeRecord> {
    let (limit, cursor) = (Cursor.limit(limit), try Cursor.name(after))
    let found: [NodeRecord] = try database.select(
      """
      WHERE (?1 IS NULL OR folder_id = ?1) AND (?2 IS NULL OR project_id = ?2) AND (name, id) > (?3, ?4)
      ORDER BY name, id LIMIT ?5
      """, [folder, project, cursor.name, cursor.id, limit + 1])
    return Page(found, limit: limit) { "\($0.name):\($0.id)" }
  }

  /// Every node, those being deleted too: what reconcilers look at.
  public func allNodes() throws(PlatformError) -> [NodeRecord] { try database.select("ORDER BY name, id") }

  /// Writes a changed wish: the record carries the generation that was read, the stored one gets one more.
  ///
  /// Throws `aborted` when somebody else changed the node meanwhile. A `release` number that is new is kept as a release, by
  /// whom and with which changes `made` says; one that was there is wished again. What belongs to the wished release without being
  /// in its instances follows the wish.
  @discardableResult
  public func updateNode(
    _ record: NodeRecord, made: (by: String, changesJSON: String)? = nil
  ) throws(PlatformError) -> NodeRecord {
    try database.transaction { () throws(PlatformError) in
      let current = try found(try node(record.id), "node", record.id.text)
      guard current.generation == record.generation else {
        throw PlatformError(
          .aborted,
          "generation: node '\(current.name)' was changed by somebody else (generation \(current.generation), yours is \(record.generation)): read it again and repeat the change",
          origin: .caller, field: "generation")
      }
      var next = record
      next.generation += 1
      _ = try naming("node", record.name) { () throws(PlatformError) in try database.update(next) }
      try wish(next, instead: current, made)
      return next
    }
  }

  /// Makes a node's release the wished one.
  private func wish(
    _ next: NodeRecord, instead current: NodeRecord, _ made: (by: String, changesJSON: String)?
  ) throws(PlatformError) {
    let known = try release(next.release, of: next.id)
    if known != nil {
      try database.execute(
        "UPDATE node_release SET spec_json = ? WHERE node_id = ? AND number = ?",
        [next.specJSON, next.id, next.release])
    }
    guard next.release != current.release else { return }
    try database.execute(
      """
      UPDATE node_release SET state = 'superseded', state_at = ?, message = ?
      WHERE node_id = ? AND state = 'rollingOut'
      """, [next.updatedAt, "release \(next.release) was wished before it served", next.id])
    if let known {
      guard known.state != .serving else { return }
      return try judgeRelease(next.release, of: next.id, .rollingOut, "", at: next.updatedAt)
    }
    try database.insert(
      ReleaseRecord(
        nodeID: next.id, number: next.release, specJSON: next.specJSON, createdAt: next.updatedAt,
        createdBy: made?.by ?? next.createdBy, former: current.release,
        changesJSON: made?.changesJSON ?? "[]"))
    try trimReleases(of: next.id)
  }

  /// How many releases of a node are kept, besides those in use.
  public static let keptReleases = 20

  private func trimReleases(of node: NodeID) throws(PlatformError) {
    try database.execute(
      """
      DELETE FROM node_release WHERE node_id = ?1 AND state NOT IN ('serving', 'rollingOut')
        AND NOT EXISTS (SELECT 1 FROM instance WHERE node_id = ?1 AND release = number)
        AND number <= (SELECT number FROM node_release WHERE node_id = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)
      """, [node, Store.keptReleases])
  }

  /// Writes what became of a release. One that serves takes the place of the one that did; nothing happens to one that is gone.
  public func judgeRelease(
    _ number: Int, of node: NodeID, _ state: ReleaseState, _ message: String, at time: Timestamp
  ) throws(PlatformError) {
    try database.transaction { () throws(PlatformError) in
      if state == .serving {
        try database.execute(
          """
          UPDATE node_release SET state = 'superseded', state_at = ?, message = ''
          WHERE node_id = ? AND state = 'serving' AND number != ?
          """, [time, node, number])
      }
      try database.execute(
        "UPDATE node_release SET state = ?, state_at = ?, message = ? WHERE node_id = ? AND number = ?",
        [state, time, message, node, number])
    }
  }

  public func release(_ number: Int, of node: NodeID) throws(PlatformError) -> ReleaseRecord? {
    try database.one("WHERE node_id = ? AND number = ?", [node, number])
  }

  /// The releases whose instances may run: those wished, those that served last, and those of instances that are there.
  public func liveReleases() throws(PlatformError) -> [(node: NodeID, release: Int)] {
    try database.rows(
      """
      SELECT id, release FROM node UNION SELECT node_id, release FROM instance
      UNION SELECT node_id, number FROM node_release WHERE state = 'serving'
      """, []
    ) { (row) throws(PlatformError) in (try row.next(NodeID.self), try row.next(Int.self)) }
  }

  /// Newest first.
  public func releases(node: NodeID) throws(PlatformError) -> [ReleaseRecord] {
    try database.select("WHERE node_id = ? ORDER BY number DESC", [node])
  }

  /// Names of the live nodes that run a checkpoint, or whose roll-out would fall back to it.
  public func nodesUsing(_ checkpoint: CheckpointID) throws(PlatformError) -> [String] {
    try database.rows(
      """
      SELECT name FROM node WHERE deleted_at IS NULL AND (checkpoint_id = ?1 OR EXISTS (
        SELECT 1 FROM node_release WHERE node_id = node.id AND state = 'serving'
          AND json_extract(spec_json, '$.spec.cell.checkpointId') = ?1)) ORDER BY name
      """, [checkpoint]
    ) { (row) throws(PlatformError) in try row.next(String.self) }
  }

  // MARK: Instances

  public func createInstance(_ record: InstanceRecord) throws(PlatformError) { try database.insert(record) }

  /// Writes what was observed; throws `notFound` when the instance was removed meanwhile.
  public func updateInstance(_ record: InstanceRecord) throws(PlatformError) {
    let changed = try database.update(record)
    _ = try found(changed ? record : nil, "instance", record.id.text)
  }

  public func instance(_ id: InstanceID) throws(PlatformError) -> InstanceRecord? {
    try database.one("WHERE id = ?", [id])
  }

  /// Of one node or of all, in the order of their making, those being deleted too.
  public func instances(node: NodeID? = nil) throws(PlatformError) -> [InstanceRecord] {
    try database.select("WHERE ?1 IS NULL OR node_id = ?1 ORDER BY rowid", [node])
  }

  /// Forgets an instance, once nothing of it is left on the machine, and ends its metering: both or neither.
  public func removeInstance(_ id: InstanceID, at time: Timestamp) throws(PlatformError) {
    try database.transaction { () throws(PlatformError) in
      try database.execute("DELETE FROM instance WHERE id = ?", [id])
      try endUsage(instance: id, at: time)
    }
  }

  // MARK: Usage

  public func startUsage(_ record: UsageRecord) throws(PlatformError) { try database.insert(record) }

  /// Ends the metering of an instance; a second end changes nothing.
  public func endUsage(instance: InstanceID, at time: Timestamp) throws(PlatformError) {
    try database.execute(
      "UPDATE usage SET ended_at = max(?, started_at) WHERE instance_id = ? AND ended_at IS NULL",
      [time, instance])
  }

  public func usage(node: NodeID? = nil) throws(PlatformError) -> [UsageRecord] {
    try database.select("WHERE ?1 IS NULL OR node_id = ?1 ORDER BY rowid", [node])
  }
}
