public import Domain
public import Storage

/// What is kept with the operation of a replacement: all that a restart of the service needs to go on.
struct ReplaceMemo: Codable, Equatable {
  static let kind = "replaceNode"

  var successor: NodeID
  var phase: ReplacementResource.Phase
  var shares: [ReplacedShare]
  var holdSeconds: Int?
  /// Whether recorded requests are sent to the successor first; nil in operations of older versions of the server.
  var replay: Bool?
  /// How requests move step by step; nil: all at once.
  var ramp: ReplaceRamp?
  /// Replays that were begun.
  var replays: [ReplacedPart<OperationID>]?
  /// The number that the ramp of each alias has or will have.
  var ramps: [ReplacedPart<Int>]?
  /// The time at which the successor must be healthy.
  var healthyBy: Timestamp
  /// When the hold ends.
  var heldUntil: Timestamp?
  var drainSeconds: Int
  /// The end of the wait for requests under way.
  var drainedBy: Timestamp?
  var afterwards: ReplacedNode
  var allowBreaking: Bool
  var movedAt: Timestamp?
  var leftRequests: Int?
}

/// What belongs to one alias of a replacement.
struct ReplacedPart<Value: Codable & Equatable & Sendable>: Codable, Equatable, Sendable {
  var alias: AliasID
  var value: Value
}

extension OperationRecord {
  /// How far it is, if it replaces a node.
  public var replacement: ReplacementResource? {
    guard let memo = try? StoredJSON.value(OperationMemo.self, from: metadataJSON).replace,
      let node = NodeID(resourceID)
    else { return nil }
    return ReplacementResource(
      nodeId: node, successorId: memo.successor, phase: memo.phase, aliases: memo.shares,
      movedAt: memo.movedAt, afterwards: memo.afterwards, leftRequests: memo.leftRequests)
  }
}
