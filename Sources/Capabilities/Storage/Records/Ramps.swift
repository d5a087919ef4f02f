public import Domain

/// The newest ramp of an alias.
public struct RampRecord: Sendable, Equatable {
  public var aliasID: AliasID
  /// Which of the alias' ramps, counted from 1.
  public var number: Int
  /// The candidate.
  public var nodeID: NodeID
  public var status: RampStatus
  /// A `RampPlan`.
  public var planJSON: String
  /// The shares before it: a list of `AliasShare`.
  public var baseJSON: String
  /// How far it is and what it has seen.
  public var progressJSON: String
  /// What was found last.
  public var message: String
  public var startedAt: Timestamp
  public var startedBy: String
  public var endedAt: Timestamp?

  public init(
    aliasID: AliasID, number: Int, nodeID: NodeID, status: RampStatus, planJSON: String, baseJSON: String,
    progressJSON: String, message: String, startedAt: Timestamp, startedBy: String,
    endedAt: Timestamp? = nil
  ) {
    self.aliasID = aliasID
    self.number = number
    self.nodeID = nodeID
    self.status = status
    self.planJSON = planJSON
    self.baseJSON = baseJSON
    self.progressJSON = progressJSON
    self.message = message
    self.startedAt = startedAt
    self.startedBy = startedBy
    self.endedAt = endedAt
  }
}

extension RampRecord: SQLiteRecord {
  static let table = "ramp"
  static let columns = [
    "alias_id", "number", "node_id", "status", "plan_json", "base_json", "progress_json", "message",
    "started_at", "started_by", "ended_at",
  ]
  var values: [any SQLiteStorable] {
    [
      aliasID, number, nodeID, status.rawValue, planJSON, baseJSON, progressJSON, message, startedAt,
      startedBy, endedAt,
    ]
  }
  init(row: inout SQLiteRow) throws(PlatformError) {
    aliasID = try row.next()
    number = try row.next()
    nodeID = try row.next()
    let word: String = try row.next()
    guard let known = RampStatus(rawValue: word) else {
      throw PlatformError(.dataLoss, "the database holds the unknown status '\(word)' of a ramp")
    }
    status = known
    planJSON = try row.next()
    baseJSON = try row.next()
    progressJSON = try row.next()
    message = try row.next()
    startedAt = try row.next()
    startedBy = try row.next()
    endedAt = try row.next()
  }
}
