public import Domain

extension Store {
  /// Puts a hold in the place of the one that the alias has, if any.
  public func putHold(_ record: AliasHoldRecord) throws(PlatformError) {
    try database.transaction { () throws(PlatformError) in
      try database.execute("DELETE FROM alias_hold WHERE alias_id = ?", [record.aliasID])
      try database.insert(record)
    }
  }

  /// Those that have not ended.
  public func holds(at now: Timestamp) throws(PlatformError) -> [AliasHoldRecord] {
    try database.select("WHERE ends_at > ? ORDER BY alias_id", [now])
  }

  /// Removes the alias' hold, and all that have ended.
  public func removeHold(of alias: AliasID, at now: Timestamp) throws(PlatformError) {
    try database.execute("DELETE FROM alias_hold WHERE alias_id = ?1 OR ends_at <= ?2", [alias, now])
  }
}
