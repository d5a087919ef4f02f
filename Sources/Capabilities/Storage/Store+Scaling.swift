public import Domain

extension Store {
  /// Keeps a change of a node's number of instances, and of the former ones so many that there are `most`.
  public func addScalingEvent(_ event: ScalingEvent, of node: NodeID, keeping most: Int) throws(PlatformError)
  {
    try database.transaction { () throws(PlatformError) in
      try database.insert(ScalingEventRecord(nodeID: node, event: event))
      try database.execute(
        """
        DELETE FROM scaling_event WHERE node_id = ?1 AND rowid <= (
          SELECT rowid FROM scaling_event WHERE node_id = ?1 ORDER BY rowid DESC LIMIT 1 OFFSET ?2)
        """, [node, most])
    }
  }

  /// The last changes, the oldest first.
  public func scalingEvents(of node: NodeID) throws(PlatformError) -> [ScalingEvent] {
    let records: [ScalingEventRecord] = try database.select("WHERE node_id = ? ORDER BY rowid", [node])
    return records.map(\.event)
  }
}

/// A change of a node's number of instances.
struct ScalingEventRecord {
  var nodeID: NodeID
  var event: ScalingEvent
}

extension ScalingEventRecord: SQLiteRecord {
  static let table = "scaling_event"
  static let columns = ["node_id", "at", "from_count", "to_count", "reason", "message"]
  var values: [any SQLiteStorable] {
    [nodeID, event.at, event.from, event.to, event.reason, event.message]
  }
  init(row: inout SQLiteRow) throws(PlatformError) {
    nodeID = try row.next()
    event = ScalingEvent(
      at: try row.next(), from: try row.next(), to: try row.next(), reason: try row.next(),
      message: try row.next())
  }
}
