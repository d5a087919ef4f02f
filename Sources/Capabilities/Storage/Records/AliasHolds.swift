public import Domain

/// That requests of an alias wait.
public struct AliasHoldRecord: Sendable, Equatable {
  public var aliasID: AliasID
  public var startedAt: Timestamp
  public var startedBy: String
  /// It counts as ended from then on, whether or not the row is there.
  public var endsAt: Timestamp
  public var requestLimit: Int
  public var waitSeconds: Int
  public var reason: String

  public init(
    aliasID: AliasID, startedAt: Timestamp, startedBy: String, endsAt: Timestamp, requestLimit: Int,
    waitSeconds: Int, reason: String
  ) {
    self.aliasID = aliasID
    self.startedAt = startedAt
    self.startedBy = startedBy
    self.endsAt = endsAt
    self.requestLimit = requestLimit
    self.waitSeconds = waitSeconds
    self.reason = reason
  }
}

extension AliasHoldRecord: SQLiteRecord {
  static let table = "alias_hold"
  static let columns = [
    "alias_id", "started_at", "started_by", "ends_at", "request_limit", "wait_seconds", "reason",
  ]
  var values: [any SQLiteStorable] {
    [aliasID, startedAt, startedBy, endsAt, requestLimit, waitSeconds, reason]
  }
  init(row: inout SQLiteRow) throws(PlatformError) {
    aliasID = try row.next()
    startedAt = try row.next()
    startedBy = try row.next()
    endsAt = try row.next()
    requestLimit = try row.next()
    waitSeconds = try row.next()
    reason = try row.next()
  }
}
