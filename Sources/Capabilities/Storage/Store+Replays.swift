public import Domain

/// The key of an alias' recordings, sealed with a master key.
public struct SealedRecordingKey: Sendable, Equatable {
  public var aliasID: AliasID
  public var masterKey: Int
  public var sealed: [UInt8]

  public init(aliasID: AliasID, masterKey: Int, sealed: [UInt8]) {
    self.aliasID = aliasID
    self.masterKey = masterKey
    self.sealed = sealed
  }
}

extension SealedRecordingKey: SQLiteRecord {
  static let table = "recording_key"
  static let columns = ["alias_id", "master_key", "sealed"]
  var values: [any SQLiteStorable] { [aliasID, masterKey, Blob(bytes: sealed)] }
  init(row: inout SQLiteRow) throws(PlatformError) {
    aliasID = try row.next()
    masterKey = try row.next()
    sealed = try row.next(Blob.self).bytes
  }
}

/// What came of sending recorded requests to a node.
public struct ReplayRecord: Sendable, Equatable {
  public var id: OperationID
  public var aliasID: AliasID
  public var nodeID: NodeID
  public var release: Int
  public var endedAt: Timestamp
  public var passed: Bool
  public var reportJSON: String

  public init(
    id: OperationID, aliasID: AliasID, nodeID: NodeID, release: Int, endedAt: Timestamp, passed: Bool,
    reportJSON: String
  ) {
    self.id = id
    self.aliasID = aliasID
    self.nodeID = nodeID
    self.release = release
    self.endedAt = endedAt
    self.passed = passed
    self.reportJSON = reportJSON
  }
}

extension ReplayRecord: SQLiteRecord {
  static let table = "alias_replay"
  static let columns = ["id", "alias_id", "node_id", "release", "ended_at", "passed", "report_json"]
  var values: [any SQLiteStorable] { [id, aliasID, nodeID, release, endedAt, passed, reportJSON] }
  init(row: inout SQLiteRow) throws(PlatformError) {
    id = try row.next()
    aliasID = try row.next()
    nodeID = try row.next()
    release = try row.next()
    endedAt = try row.next()
    passed = try row.next()
    reportJSON = try row.next()
  }
}

extension Store {
  public func recordingKey(of alias: AliasID) throws(PlatformError) -> SealedRecordingKey? {
    try database.one("WHERE alias_id = ?", [alias])
  }

  public func recordingKeys(sealedOtherThan key: Int) throws(PlatformError) -> [SealedRecordingKey] {
    try database.select("WHERE master_key <> ? ORDER BY alias_id", [key])
  }

  public func setRecordingKey(_ key: SealedRecordingKey) throws(PlatformError) {
    try database.transaction { () throws(PlatformError) in
      try removeRecordingKey(of: key.aliasID)
      try database.insert(key)
    }
  }

  /// Without its key nobody can read a recording any more.
  public func removeRecordingKey(of alias: AliasID) throws(PlatformError) {
    try database.script("PRAGMA secure_delete = ON")
    try database.execute("DELETE FROM recording_key WHERE alias_id = ?", [alias])
  }

  /// Numbers of the master keys that anything is sealed with.
  public func allMasterKeysInUse() throws(PlatformError) -> Set<Int> {
    Set(
      try database.rows("SELECT master_key FROM secret_value UNION SELECT master_key FROM recording_key") {
        (row) throws(PlatformError) in try row.next(Int.self)
      })
  }

  /// Keeps what came of a replay, and of the alias' former ones so many that there are `most`.
  public func addReplay(_ record: ReplayRecord, keeping most: Int) throws(PlatformError) {
    try database.transaction { () throws(PlatformError) in
      try database.insert(record)
      try database.execute(
        """
        DELETE FROM alias_replay WHERE alias_id = ?1 AND rowid <= (
          SELECT rowid FROM alias_replay WHERE alias_id = ?1 ORDER BY rowid DESC LIMIT 1 OFFSET ?2)
        """, [record.aliasID, most])
    }
  }

  /// The newest first.
  public func replays(of alias: AliasID) throws(PlatformError) -> [ReplayRecord] {
    try database.select("WHERE alias_id = ? ORDER BY rowid DESC", [alias])
  }
}
