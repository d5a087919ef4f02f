public import Domain

extension Store {
  public func createAlias(_ record: AliasRecord) throws(PlatformError) {
    try naming("alias", record.name) { () throws(PlatformError) in try database.insert(record) }
  }

  /// By id or by name; throws `notFound`.
  public func alias(named key: String) throws(PlatformError) -> AliasRecord {
    let record: AliasRecord? = try database.one(
      "WHERE id = ?1 OR name = ?1 ORDER BY id = ?1 DESC LIMIT 1", [key])
    return try found(record, "alias", key)
  }

  /// By name.
  public func allAliases() throws(PlatformError) -> [AliasRecord] { try database.select("ORDER BY name") }

  /// Writes a changed wish: the record carries the generation that was read, the stored one gets one more.
  ///
  /// Throws `aborted` when somebody else changed the alias meanwhile.
  @discardableResult
  public func updateAlias(_ record: AliasRecord) throws(PlatformError) -> AliasRecord {
    try database.transaction { () throws(PlatformError) in
      let current = try alias(named: record.id.text)
      guard current.generation == record.generation else {
        throw PlatformError(
          .aborted,
          "generation: alias '\(current.name)' was changed by somebody else (generation \(current.generation), yours is \(record.generation)): read it again and repeat the change",
          origin: .caller, field: "generation")
      }
      var next = record
      next.generation += 1
      _ = try database.update(next)
      return next
    }
  }

  public func removeAlias(_ id: AliasID) throws(PlatformError) {
    try database.execute("DELETE FROM alias WHERE id = ?", [id])
  }
}
