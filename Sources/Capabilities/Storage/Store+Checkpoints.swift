public import Domain

/// A blob that a checkpoint holds.
public struct BlobReference: Sendable, Codable, Hashable {
  public var digest: String
  public var size: Int64

  public init(digest: String, size: Int64) {
    self.digest = digest
    self.size = size
  }
}

extension Store {
  /// Adds a checkpoint and drops what goes beyond the project's limit of unpinned ones, in one step.
  ///
  /// `blobs`: all that the checkpoint holds (manifest, OCI manifest, layers). `sequence` and `newBytes` of
  /// the answer
  /// are computed here.
  public func addCheckpoint(
    _ record: CheckpointRecord, blobs: [BlobReference]
  ) throws(PlatformError) -> (added: CheckpointRecord, dropped: [CheckpointID]) {
    try database.transaction { () throws(PlatformError) in
      let project = try found(try project(record.projectID), "project", record.projectID.text)
      if record.name != nil { try checkPinnedRoom(project) }
      var added = record
      let unique = Dictionary(blobs.map { ($0.digest, $0.size) }) { first, _ in first }
      added.newBytes = 0
      for (digest, size) in unique where !(try isReferenced(digest)) { added.newBytes += size }
      added.sequence = try naming("checkpoint", record.name ?? "") { () throws(PlatformError) in
        try database.insert(added)
      }
      for (digest, size) in unique {
        try database.execute(
          "INSERT INTO checkpoint_blob (checkpoint_id, digest, size) VALUES (?, ?, ?)",
          [record.id, digest, size])
      }
      return (added, try trimUnpinned(project))
    }
  }

  public func checkpoint(_ id: CheckpointID) throws(PlatformError) -> CheckpointRecord? {
    try database.one("WHERE id = ?", [id])
  }

  /// By id, or by the name of a pinned one within a project (any when nil; the newest wins); throws
  /// `notFound`.
  public func checkpoint(
    named key: String, in project: ProjectID? = nil
  ) throws(PlatformError) -> CheckpointRecord {
    let record: CheckpointRecord? = try database.one(
      """
      WHERE (id = ?1 OR name = ?1) AND (?2 IS NULL OR project_id = ?2)
      ORDER BY id = ?1 DESC, sequence DESC LIMIT 1
      """, [key, project])
    return try found(record, "checkpoint", key)
  }

  /// Newest first, whatever the clock did.
  public func checkpoints(
    project: ProjectID? = nil, after: String? = nil, limit: Int = 100
  ) throws(PlatformError) -> Page<CheckpointRecord> {
    let (limit, cursor) = (Cursor.limit(limit), try Cursor.sequence(after))
    let found: [CheckpointRecord] = try database.select(
      "WHERE (?1 IS NULL OR project_id = ?1) AND sequence < ?2 ORDER BY sequence DESC LIMIT ?3",
      [project, cursor, limit + 1])
    return Page(found, limit: limit) { String($0.sequence) }
  }

  /// Pins a checkpoint under a name; a pinned one gets the new name.
  @discardableResult
  public func pinCheckpoint(
    _ id: CheckpointID, name: String, by subject: String, at now: Timestamp
  ) throws(PlatformError) -> CheckpointRecord {
    try database.transaction { () throws(PlatformError) in
      var record = try found(try checkpoint(id), "checkpoint", id.text)
      if record.name == nil {
        try checkPinnedRoom(try found(try project(record.projectID), "project", record.projectID.text))
        record.pinnedAt = now
        record.pinnedBy = subject
      }
      record.name = name
      try naming("checkpoint", name) { () throws(PlatformError) in _ = try database.update(record) }
      return record
    }
  }

  /// Unpins a checkpoint. When the list of unpinned ones is full and it is the oldest, it is deleted at once.
  ///
  /// The answer holds the ids of the checkpoints that were dropped.
  @discardableResult
  public func unpinCheckpoint(_ id: CheckpointID) throws(PlatformError) -> [CheckpointID] {
    try database.transaction { () throws(PlatformError) in
      var record = try found(try checkpoint(id), "checkpoint", id.text)
      guard let name = record.name else {
        throw PlatformError(.failedPrecondition, "checkpoint \(id) is not pinned", origin: .caller)
      }
      try refuseInUse(record, "unpinned", name)
      record.name = nil
      record.pinnedAt = nil
      record.pinnedBy = nil
      _ = try database.update(record)
      return try trimUnpinned(try found(try project(record.projectID), "project", record.projectID.text))
    }
  }

  /// Deletes a checkpoint that no live node uses. Its blobs go with the next garbage collection.
  public func deleteCheckpoint(_ id: CheckpointID) throws(PlatformError) {
    try database.transaction { () throws(PlatformError) in
      let record = try found(try checkpoint(id), "checkpoint", id.text)
      try refuseInUse(record, "deleted", record.name ?? id.text)
      try database.execute("DELETE FROM checkpoint WHERE id = ?", [id])
    }
  }

  /// Digests of all blobs that a checkpoint or a model holds: what garbage collection must keep.
  public func referencedDigests() throws(PlatformError) -> Set<String> {
    Set(
      try database.rows(
        """
        SELECT digest FROM checkpoint_blob UNION SELECT digest FROM model
        UNION SELECT config_digest FROM model UNION SELECT oci_digest FROM model
        """
      ) { (row) throws(PlatformError) in try row.next(String.self) })
  }

  /// The blobs of one checkpoint.
  public func blobs(of id: CheckpointID) throws(PlatformError) -> [BlobReference] {
    try database.rows(
      "SELECT digest, size FROM checkpoint_blob WHERE checkpoint_id = ? ORDER BY digest", [id]
    ) { (row) throws(PlatformError) in try BlobReference(digest: row.next(), size: row.next()) }
  }

  // MARK: Rules

  /// Drops the oldest unpinned checkpoints beyond the limit, except those that a node uses.
  func trimUnpinned(_ project: ProjectRecord) throws(PlatformError) -> [CheckpointID] {
    let dropped = try database.rows(
      """
      SELECT id FROM checkpoint WHERE project_id = ?1 AND name IS NULL AND sequence <=
        (SELECT sequence FROM checkpoint WHERE project_id = ?1 AND name IS NULL
         ORDER BY sequence DESC LIMIT 1 OFFSET ?2)
      AND NOT EXISTS (SELECT 1 FROM node WHERE checkpoint_id = checkpoint.id AND deleted_at IS NULL)
      AND NOT EXISTS (SELECT 1 FROM node_release WHERE state = 'serving'
        AND json_extract(spec_json, '$.spec.cell.checkpointId') = checkpoint.id)
      ORDER BY sequence
      """, [project.id, project.unpinnedLimit]
    ) { (row) throws(PlatformError) in try row.next(CheckpointID.self) }
    for id in dropped { try database.execute("DELETE FROM checkpoint WHERE id = ?", [id]) }
    return dropped
  }

  private func checkPinnedRoom(_ project: ProjectRecord) throws(PlatformError) {
    let pinned: [CheckpointRecord] = try database.select(
      "WHERE project_id = ? AND name IS NOT NULL ORDER BY sequence", [project.id])
    guard pinned.count >= project.pinnedLimit else { return }
    var unused: String?
    for record in pinned.reversed() {
      if try nodesUsing(record.id).isEmpty { unused = record.name }
    }
    let advice =
      unused.map { "unpin one that no node uses, like '\($0)'" }
      ?? "delete a node and unpin its checkpoint"
    throw PlatformError(
      .failedPrecondition,
      "project '\(project.name)' has \(pinned.count) pinned checkpoints, its limit is \(project.pinnedLimit): \(advice), or raise pinnedLimit of the project",
      origin: .caller)
  }

  private func refuseInUse(
    _ record: CheckpointRecord, _ verb: String, _ name: String
  ) throws(PlatformError) {
    let nodes = try nodesUsing(record.id)
    guard !nodes.isEmpty else { return }
    let list = nodes.map { "'\($0)'" }.joined(separator: ", ")
    throw PlatformError(
      .failedPrecondition,
      "checkpoint '\(name)' can't be \(verb): it is used by node \(list); delete the node first",
      origin: .caller)
  }

  private func isReferenced(_ digest: String) throws(PlatformError) -> Bool {
    try database.integer("SELECT EXISTS (SELECT 1 FROM checkpoint_blob WHERE digest = ?)", [digest]) == 1
  }
}
