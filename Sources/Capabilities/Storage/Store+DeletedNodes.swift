public import Domain

extension Store {
  /// Forgets a node and its releases, once nothing of it runs. Instances must be gone. Whose it was stays known, for its log.
  public func removeNode(_ id: NodeID) throws(PlatformError) {
    try database.transaction { () throws(PlatformError) in
      try database.execute(
        """
        INSERT OR REPLACE INTO deleted_node (id, name, folder_id, deleted_at)
        SELECT id, name, folder_id, COALESCE(deleted_at, updated_at) FROM node WHERE id = ?
        """, [id])
      try database.execute("DELETE FROM node WHERE id = ?", [id])
    }
  }

  /// The last one that was deleted first.
  public func deletedNodes() throws(PlatformError) -> [DeletedNodeRecord] {
    try database.select("ORDER BY deleted_at DESC, id")
  }

  /// Forgets those whose logs are not kept any more.
  public func forgetDeletedNodes(_ ids: [NodeID]) throws(PlatformError) {
    try database.transaction { () throws(PlatformError) in
      for id in ids { try database.execute("DELETE FROM deleted_node WHERE id = ?", [id]) }
    }
  }
}
