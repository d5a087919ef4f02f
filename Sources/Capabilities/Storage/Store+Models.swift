public import Domain

extension Store {
  /// Throws `alreadyExists` for a name that the project has.
  public func addModel(_ record: ModelRecord) throws(PlatformError) {
    try naming("model", record.name) { () throws(PlatformError) in _ = try database.insert(record) }
  }

  public func model(_ id: ModelID) throws(PlatformError) -> ModelRecord? {
    try database.one("WHERE id = ?", [id])
  }

  /// By id, or by name within a project.
  public func model(called key: String, in project: ProjectID) throws(PlatformError) -> ModelRecord? {
    try database.one(
      "WHERE project_id = ?2 AND (id = ?1 OR name = ?1) ORDER BY id = ?1 DESC LIMIT 1", [key, project])
  }

  /// Newest first.
  public func models(
    project: ProjectID, after: String? = nil, limit: Int = 100
  ) throws(PlatformError) -> Page<ModelRecord> {
    let (limit, cursor) = (Cursor.limit(limit), try Cursor.sequence(after))
    let found: [ModelRecord] = try database.select(
      "WHERE project_id = ?1 AND sequence < ?2 ORDER BY sequence DESC LIMIT ?3",
      [project, cursor, limit + 1])
    return Page(found, limit: limit) { String($0.sequence) }
  }

  /// Names of the nodes that serve a model, or served it last. An id is in a spec only where it is meant.
  public func nodesServing(_ id: ModelID) throws(PlatformError) -> [String] {
    try database.rows(
      """
      SELECT name FROM node WHERE deleted_at IS NULL AND (instr(spec_json, ?1) > 0 OR EXISTS (
        SELECT 1 FROM node_release WHERE node_id = node.id AND state = 'serving' AND instr(spec_json, ?1) > 0))
      ORDER BY name
      """, [id]
    ) { (row) throws(PlatformError) in try row.next(String.self) }
  }

  /// Deletes a model that no live node uses. Its file goes with the next garbage collection.
  public func deleteModel(_ id: ModelID) throws(PlatformError) {
    try database.transaction { () throws(PlatformError) in
      let record = try found(try model(id), "model", id.text)
      let nodes = try nodesServing(id)
      guard nodes.isEmpty else {
        throw PlatformError(
          .failedPrecondition,
          "model '\(record.name)' can't be deleted: it is served by node \(nodes.map { "'\($0)'" }.joined(separator: ", ")); delete the node first",
          origin: .caller)
      }
      try database.execute("DELETE FROM model WHERE id = ?", [id])
    }
  }
}
