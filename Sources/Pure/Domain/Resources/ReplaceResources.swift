/// What becomes of a node when another one has taken its place.
public enum ReplacedNode: String, Sendable, Codable, CaseIterable {
  /// Its instances end; it can be resumed.
  case suspend
  case delete
  /// It runs on.
  case keep
}

/// How requests move to a successor step by step; what is left out is as `POST /v1/aliases/{alias}:ramp` has it.
public struct ReplaceRamp: Sendable, Codable, Equatable {
  /// Percents of the successor, rising, the last one 100; left out: 1, 5, 25, 50, 100.
  public var steps: [Int]?
  /// Least time of a step, 1 to 604800; left out: 120.
  public var stepSeconds: Double?
  /// Left out: 1 % of errors and 20 % more time.
  public var guards: RampGuards?
  /// Requests of the successor in a step without which nothing is decided, 1 to 1000000; left out: 100.
  public var minimumRequests: Int?

  public init(
    steps: [Int]? = nil, stepSeconds: Double? = nil, guards: RampGuards? = nil, minimumRequests: Int? = nil
  ) {
    self.steps = steps
    self.stepSeconds = stepSeconds
    self.guards = guards
    self.minimumRequests = minimumRequests
  }

  /// The ramp of one alias.
  public func request(to successor: NodeID, allowBreaking: Bool) -> StartRampRequest {
    StartRampRequest(
      to: successor.text, steps: steps, stepSeconds: stepSeconds, guards: guards,
      minimumRequests: minimumRequests, allowBreaking: allowBreaking)
  }
}

/// Body of `POST /v1/nodes/{node}:replace` and `:replacePlan`.
public struct ReplaceNodeRequest: Sendable, Codable, Equatable {
  /// The node that takes its place, id or name.
  public var successor: String
  /// Only in this alias, id or name; left out: in every alias in which it has a share or a rule.
  public var alias: String?
  /// Requests to the aliases wait while the former node ends what it has and the shares move, for so many seconds at most: 1 to 600.
  /// The two then never answer requests of an alias at the same time. Left out: nobody waits.
  public var holdSeconds: Int?
  /// Recorded requests of each alias are sent to the successor first: a replay that fails ends the replacement.
  public var replay: Bool?
  /// Requests move by a ramp of each alias; a rollback ends the replacement. Not with `holdSeconds`. Left out: all at once.
  public var ramp: ReplaceRamp?
  /// Longest wait for the successor to be healthy, in seconds: 1 to 86400; 600 when left out.
  public var healthySeconds: Int?
  /// Longest wait for requests under way at the former node, in seconds: 0 to 86400; 300 when left out.
  public var drainSeconds: Int?
  /// `suspend` when left out.
  public var afterwards: ReplacedNode?
  /// Takes a successor whose API breaks what callers of the present nodes rely on.
  public var allowBreaking: Bool?

  public init(
    successor: String, alias: String? = nil, holdSeconds: Int? = nil, replay: Bool? = nil,
    ramp: ReplaceRamp? = nil, healthySeconds: Int? = nil, drainSeconds: Int? = nil,
    afterwards: ReplacedNode? = nil, allowBreaking: Bool? = nil
  ) {
    self.successor = successor
    self.alias = alias
    self.holdSeconds = holdSeconds
    self.replay = replay
    self.ramp = ramp
    self.healthySeconds = healthySeconds
    self.drainSeconds = drainSeconds
    self.afterwards = afterwards
    self.allowBreaking = allowBreaking
  }
}

/// What a replacement does at an alias.
public struct ReplacedShare: Sendable, Codable, Equatable {
  public var aliasId: AliasID
  public var aliasName: String
  /// Percent of the former node, which the successor gets.
  public var weight: Int
  /// Percent of the successor afterwards.
  public var successorWeight: Int
  /// Rules that name the former node; they name the successor afterwards.
  public var rules: Int

  public init(aliasId: AliasID, aliasName: String, weight: Int, successorWeight: Int, rules: Int) {
    self.aliasId = aliasId
    self.aliasName = aliasName
    self.weight = weight
    self.successorWeight = successorWeight
    self.rules = rules
  }
}

/// What `:replace` would do.
public struct ReplacePlanResource: Sendable, Codable, Equatable {
  public var nodeId: NodeID
  public var successorId: NodeID
  public var aliases: [ReplacedShare]
  /// In words, in their order.
  public var steps: [String]

  public init(nodeId: NodeID, successorId: NodeID, aliases: [ReplacedShare], steps: [String]) {
    self.nodeId = nodeId
    self.successorId = successorId
    self.aliases = aliases
    self.steps = steps
  }
}

/// How far a replacement is.
public struct ReplacementResource: Sendable, Codable, Equatable {
  public enum Phase: String, Sendable, Codable {
    /// For the successor to be healthy.
    case waiting = "WAITING"
    /// Recorded requests are sent to the successor.
    case replaying = "REPLAYING"
    /// Requests move step by step.
    case ramping = "RAMPING"
    /// Requests to the aliases wait until the former node has ended what it has.
    case holding = "HOLDING"
    /// The shares have moved; requests under way at the former node end.
    case draining = "DRAINING"
    /// The former node is suspended or deleted.
    case removing = "REMOVING"
    case done = "DONE"
  }

  public var nodeId: NodeID
  public var successorId: NodeID
  public var phase: Phase
  public var aliases: [ReplacedShare]
  /// When the shares moved, of all aliases at once.
  public var movedAt: Timestamp?
  public var afterwards: ReplacedNode
  /// Requests that were still under way when the wait for them was over; nil before.
  public var leftRequests: Int?

  public init(
    nodeId: NodeID, successorId: NodeID, phase: Phase, aliases: [ReplacedShare], movedAt: Timestamp? = nil,
    afterwards: ReplacedNode, leftRequests: Int? = nil
  ) {
    self.nodeId = nodeId
    self.successorId = successorId
    self.phase = phase
    self.aliases = aliases
    self.movedAt = movedAt
    self.afterwards = afterwards
    self.leftRequests = leftRequests
  }
}
