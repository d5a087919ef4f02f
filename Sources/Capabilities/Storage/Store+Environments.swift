public import Domain

extension Store {
  public func createEnvironment(_ record: EnvironmentRecord, limit: Int) throws(PlatformError) {
    try database.transaction { () throws(PlatformError) in
      let there = try database.integer(
        "SELECT count(*) FROM environment WHERE folder_id = ?", [record.folderID])
      guard there < limit else {
        throw PlatformError(
          .resourceExhausted,
          "the folder has \(there) environments, its limit is \(limit): delete one that no node uses (roost environment list)",
          origin: .caller)
      }
      _ = try naming("environment", record.name) { () throws(PlatformError) in try database.insert(record) }
    }
  }

  /// Writes what came of a build; false when the environment was deleted meanwhile.
  @discardableResult
  public func updateEnvironment(_ record: EnvironmentRecord) throws(PlatformError) -> Bool {
    try database.update(record)
  }

  public func environment(_ id: EnvironmentID) throws(PlatformError) -> EnvironmentRecord? {
    try database.one("WHERE id = ?", [id])
  }

  /// By name.
  public func environments() throws(PlatformError) -> [EnvironmentRecord] {
    try database.select("ORDER BY name, id")
  }

  /// Names of the nodes that have a release of an environment: an older one may be returned to.
  public func nodesUsing(_ environment: EnvironmentID) throws(PlatformError) -> [String] {
    try database.rows(
      """
      SELECT DISTINCT node.name FROM node JOIN node_release ON node_release.node_id = node.id
      WHERE json_extract(node_release.spec_json, '$.spec.cell.environment.id') = ?1
        OR json_extract(node.spec_json, '$.spec.cell.environment.id') = ?1 ORDER BY node.name
      """, [environment]
    ) { (row) throws(PlatformError) in try row.next(String.self) }
  }

  /// Deletes an environment that no node has a release of.
  public func deleteEnvironment(_ record: EnvironmentRecord) throws(PlatformError) {
    try database.transaction { () throws(PlatformError) in
      let nodes = try nodesUsing(record.id)
      guard nodes.isEmpty else {
        let list = nodes.map { "'\($0)'" }.joined(separator: ", ")
        throw PlatformError(
          .failedPrecondition,
          "environment '\(record.name)' can't be deleted: it is used by node \(list) (also former releases count, which can be returned to); delete the node first",
          origin: .caller)
      }
      try database.execute("DELETE FROM environment WHERE id = ?", [record.id])
    }
  }
}
