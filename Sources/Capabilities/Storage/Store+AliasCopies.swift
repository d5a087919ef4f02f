public import Domain

/// What an alias does with copies of its requests.
public struct AliasSettingRecord: Sendable, Equatable {
  public enum Kind: String, Sendable { case mirror, record }

  public var aliasID: AliasID
  public var kind: Kind
  public var settingsJSON: String
  public var updatedAt: Timestamp
  public var updatedBy: String

  public init(
    aliasID: AliasID, kind: Kind, settingsJSON: String, updatedAt: Timestamp, updatedBy: String
  ) {
    self.aliasID = aliasID
    self.kind = kind
    self.settingsJSON = settingsJSON
    self.updatedAt = updatedAt
    self.updatedBy = updatedBy
  }
}

extension AliasSettingRecord: SQLiteRecord {
  static let table = "alias_setting"
  static let columns = ["alias_id", "kind", "settings_json", "updated_at", "updated_by"]
  var values: [any SQLiteStorable] { [aliasID, kind.rawValue, settingsJSON, updatedAt, updatedBy] }
  init(row: inout SQLiteRow) throws(PlatformError) {
    aliasID = try row.next()
    let word: String = try row.next()
    guard let kind = Kind(rawValue: word) else {
      throw PlatformError(.dataLoss, "the setting '\(word)' of an alias is not known: restore the database")
    }
    self.kind = kind
    settingsJSON = try row.next()
    updatedAt = try row.next()
    updatedBy = try row.next()
  }
}

extension Store {
  public func aliasSettings() throws(PlatformError) -> [AliasSettingRecord] {
    try database.select("ORDER BY alias_id, kind")
  }

  public func aliasSetting(
    _ alias: AliasID, _ kind: AliasSettingRecord.Kind
  ) throws(PlatformError) -> AliasSettingRecord? {
    try database.one("WHERE alias_id = ? AND kind = ?", [alias, kind.rawValue])
  }

  public func setAliasSetting(_ record: AliasSettingRecord) throws(PlatformError) {
    try database.transaction { () throws(PlatformError) in
      try removeAliasSetting(record.aliasID, record.kind)
      try database.insert(record)
    }
  }

  public func removeAliasSetting(
    _ alias: AliasID, _ kind: AliasSettingRecord.Kind
  ) throws(PlatformError) {
    try database.execute(
      "DELETE FROM alias_setting WHERE alias_id = ? AND kind = ?", [alias, kind.rawValue])
  }
}
