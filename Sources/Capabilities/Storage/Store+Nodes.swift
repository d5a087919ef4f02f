public import Domain

extension Store {
  /// Adds a node and its first release. A checkpoint that it names must exist.
  public func createNode(_ record: NodeRecord) throws(PlatformError) {
    try database.transaction { () throws(PlatformError) in
      if let id = record.checkpointID { _ = try found(try checkpoint(id), "checkpoint", id.text) }
      try naming("node", record.name) { () throws(PlatformError) in try database.insert(record) }
      try database.insert(
        ReleaseRecord(
          nodeID: record.id, number: record.release, specJSON: record.specJSON, createdAt: record.createdAt))
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
  /// Throws `aborted` when somebody else changed the node meanwhile. A new `release` number is kept as a
  /// release.
  @discardableResult
  public func updateNode(_ record: NodeRecord) throws(PlatformError) -> NodeRecord {
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
      if next.release > current.release {
        try database.insert(
          ReleaseRecord(
            nodeID: next.id, number: next.release, specJSON: next.specJSON, createdAt: next.updatedAt))
      }
      return next
    }
  }

  /// Forgets a node and its releases, once nothing of it runs. Instances must be gone.
  public func removeNode(_ id: NodeID) throws(PlatformError) {
    try database.execute("DELETE FROM node WHERE id = ?", [id])
  }

  /// Newest first.
  public func releases(node: NodeID) throws(PlatformError) -> [ReleaseRecord] {
    try database.select("WHERE node_id = ? ORDER BY number DESC", [node])
  }

  /// Names of the live nodes that run a checkpoint.
  public func nodesUsing(_ checkpoint: CheckpointID) throws(PlatformError) -> [String] {
    try database.rows(
      "SELECT name FROM node WHERE checkpoint_id = ? AND deleted_at IS NULL ORDER BY name", [checkpoint]
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
