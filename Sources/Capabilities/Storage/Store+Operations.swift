public import Domain

extension Store {
  public func createOperation(_ record: OperationRecord) throws(PlatformError) { try database.insert(record) }

  public func updateOperation(_ record: OperationRecord) throws(PlatformError) {
    let changed = try database.update(record)
    _ = try found(changed ? record : nil, "operation", record.id.text)
  }

  /// Ends an operation unless it has ended: the first end counts. True when this was it.
  @discardableResult
  public func endOperation(_ record: OperationRecord) throws(PlatformError) -> Bool {
    try database.transaction { () throws(PlatformError) in
      guard try found(try operation(record.id), "operation", record.id.text).done == false else {
        return false
      }
      return try database.update(record)
    }
  }

  /// Keeps how far an operation is, unless it has ended. Whether it is under way still.
  public func noteOperation(
    _ id: OperationID, metadataJSON: String, at now: Timestamp
  ) throws(PlatformError) -> Bool {
    try database.execute(
      "UPDATE operation SET metadata_json = ?2, modified_at = ?3 WHERE id = ?1 AND done = 0",
      [id, metadataJSON, now]) > 0
  }

  public func operation(_ id: OperationID) throws(PlatformError) -> OperationRecord? {
    try database.one("WHERE id = ?", [id])
  }

  /// Newest first; of one resource or of all.
  public func operations(
    resource: String? = nil, after: String? = nil, limit: Int = 100
  ) throws(PlatformError) -> Page<OperationRecord> {
    let (limit, cursor) = (Cursor.limit(limit), try Cursor.sequence(after))
    let found: [OperationRecord] = try database.select(
      "WHERE (?1 IS NULL OR resource_id = ?1) AND sequence < ?2 ORDER BY sequence DESC LIMIT ?3",
      [resource, cursor, limit + 1])
    return Page(found, limit: limit) { String($0.sequence) }
  }

  /// Those not done, oldest first: what reconcilers finish.
  public func pendingOperations(resource: String? = nil) throws(PlatformError) -> [OperationRecord] {
    try database.select("WHERE done = 0 AND (?1 IS NULL OR resource_id = ?1) ORDER BY sequence", [resource])
  }

  /// Keeps only the newest operations that are done; the answer is the number of forgotten ones.
  @discardableResult
  public func trimOperations(keeping count: Int) throws(PlatformError) -> Int {
    try database.execute(
      """
      DELETE FROM operation WHERE done = 1 AND sequence <=
        (SELECT sequence FROM operation WHERE done = 1 ORDER BY sequence DESC LIMIT 1 OFFSET ?)
      """, [count])
  }

  public func addAudit(_ record: AuditRecord) throws(PlatformError) { try database.insert(record) }

  /// Newest first; of one resource or of all.
  public func audit(
    resource: String? = nil, after: String? = nil, limit: Int = 100
  ) throws(PlatformError) -> Page<AuditRecord> {
    let (limit, cursor) = (Cursor.limit(limit), try Cursor.sequence(after))
    let found: [AuditRecord] = try database.select(
      "WHERE (?1 IS NULL OR resource_id = ?1) AND sequence < ?2 ORDER BY sequence DESC LIMIT ?3",
      [resource, cursor, limit + 1])
    return Page(found, limit: limit) { String($0.sequence) }
  }
}
