public import Domain

extension Store {
  public func createFolder(_ record: FolderRecord) throws(PlatformError) {
    try naming("folder", record.name) { () throws(PlatformError) in try database.insert(record) }
  }

  public func folder(_ id: FolderID) throws(PlatformError) -> FolderRecord? {
    try database.one("WHERE id = ?", [id])
  }

  /// By id or by name; throws `notFound`.
  public func folder(named key: String) throws(PlatformError) -> FolderRecord {
    let record: FolderRecord? = try database.one(
      "WHERE id = ?1 OR name = ?1 ORDER BY id = ?1 DESC LIMIT 1", [key])
    return try found(record, "folder", key)
  }

  /// By name.
  public func folders(after: String? = nil, limit: Int = 100) throws(PlatformError) -> Page<FolderRecord> {
    let (limit, cursor) = (Cursor.limit(limit), try Cursor.name(after))
    let found: [FolderRecord] = try database.select(
      "WHERE (name, id) > (?, ?) ORDER BY name, id LIMIT ?", [cursor.name, cursor.id, limit + 1])
    return Page(found, limit: limit) { "\($0.name):\($0.id)" }
  }

  public func createProject(_ record: ProjectRecord) throws(PlatformError) {
    try naming("project", record.name) { () throws(PlatformError) in try database.insert(record) }
  }

  public func project(_ id: ProjectID) throws(PlatformError) -> ProjectRecord? {
    try database.one("WHERE id = ?", [id])
  }

  /// By id, or by name within a folder (any folder when nil; the oldest wins); throws `notFound`.
  public func project(named key: String, in folder: FolderID? = nil) throws(PlatformError) -> ProjectRecord {
    let record: ProjectRecord? = try database.one(
      "WHERE (id = ?1 OR name = ?1) AND (?2 IS NULL OR folder_id = ?2) ORDER BY id = ?1 DESC, rowid LIMIT 1",
      [key, folder])
    return try found(record, "project", key)
  }

  /// By name.
  public func projects(
    folder: FolderID? = nil, after: String? = nil, limit: Int = 100
  ) throws(PlatformError) -> Page<ProjectRecord> {
    let (limit, cursor) = (Cursor.limit(limit), try Cursor.name(after))
    let found: [ProjectRecord] = try database.select(
      "WHERE (?1 IS NULL OR folder_id = ?1) AND (name, id) > (?2, ?3) ORDER BY name, id LIMIT ?4",
      [folder, cursor.name, cursor.id, limit + 1])
    return Page(found, limit: limit) { "\($0.name):\($0.id)" }
  }

  /// Changes name and limits. A smaller unpinned limit drops the oldest unused unpinned checkpoints at once:
  /// their
  /// ids are the answer.
  @discardableResult
  public func updateProject(_ record: ProjectRecord) throws(PlatformError) -> [CheckpointID] {
    try checkLimits(record)
    return try database.transaction { () throws(PlatformError) in
      let changed = try naming("project", record.name) { () throws(PlatformError) in
        try database.update(record)
      }
      _ = try found(changed ? record : nil, "project", record.id.text)
      return try trimUnpinned(record)
    }
  }

  private func checkLimits(_ record: ProjectRecord) throws(PlatformError) {
    guard (1...1000).contains(record.unpinnedLimit) else {
      throw .invalid("unpinnedLimit", "unpinnedLimit: \(record.unpinnedLimit) is not within 1...1000")
    }
    guard (0...1000).contains(record.pinnedLimit) else {
      throw .invalid("pinnedLimit", "pinnedLimit: \(record.pinnedLimit) is not within 0...1000")
    }
  }
}
