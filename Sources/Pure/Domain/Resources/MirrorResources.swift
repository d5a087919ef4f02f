/// What makes two answers the same.
public struct AnswerRules: Sendable, Codable, Equatable {
  /// How far numbers may be apart: as a part of the larger one, or of 1 where both are smaller.
  public var tolerance: Double
  /// Places in answers that are not compared: `output.at`, `items.*.id`, `**.time`, `/a.b/0`.
  public var ignore: [String]
  /// Lists that are equal in any order.
  public var unordered: [String]

  public init(tolerance: Double = 0, ignore: [String] = [], unordered: [String] = []) {
    self.tolerance = tolerance
    self.ignore = ignore
    self.unordered = unordered
  }
}

/// Sends copies of an alias' requests to a node that is not to serve yet.
public struct AliasMirrorSpec: Sendable, Codable, Equatable {
  public var nodeId: NodeID
  /// Of the alias' requests; two digits behind the point count.
  public var percent: Double
  /// Answers are compared; else thrown away.
  public var compare: Bool
  public var rules: AnswerRules
  /// Copies that the node has at once at most.
  public var maxConcurrent: Int
  /// Bytes of requests and answers together.
  public var maxBytesPerSecond: Int
  /// A request or an answer with a longer body is not copied.
  public var maxBodyBytes: Int
  /// An answer that took so many times as long is a difference; nil: none is.
  public var slower: Double?

  public init(
    nodeId: NodeID, percent: Double = 100, compare: Bool = true, rules: AnswerRules = AnswerRules(),
    maxConcurrent: Int = 4, maxBytesPerSecond: Int = 16 << 20, maxBodyBytes: Int = 1 << 20,
    slower: Double? = nil
  ) {
    self.nodeId = nodeId
    self.percent = percent
    self.compare = compare
    self.rules = rules
    self.maxConcurrent = maxConcurrent
    self.maxBytesPerSecond = maxBytesPerSecond
    self.maxBodyBytes = maxBodyBytes
    self.slower = slower
  }
}

/// Body of `PUT /v1/aliases/{alias}/mirror`; what is left out has its default.
public struct SetAliasMirrorRequest: Sendable, Codable, Equatable {
  /// Id or name.
  public var node: String
  public var percent: Double?
  public var compare: Bool?
  public var tolerance: Double?
  public var ignore: [String]?
  public var unordered: [String]?
  public var maxConcurrent: Int?
  public var maxBytesPerSecond: Int?
  public var maxBodyBytes: Int?
  public var slower: Double?

  public init(
    node: String, percent: Double? = nil, compare: Bool? = nil, tolerance: Double? = nil,
    ignore: [String]? = nil, unordered: [String]? = nil, maxConcurrent: Int? = nil,
    maxBytesPerSecond: Int? = nil, maxBodyBytes: Int? = nil, slower: Double? = nil
  ) {
    self.node = node
    self.percent = percent
    self.compare = compare
    self.tolerance = tolerance
    self.ignore = ignore
    self.unordered = unordered
    self.maxConcurrent = maxConcurrent
    self.maxBytesPerSecond = maxBytesPerSecond
    self.maxBodyBytes = maxBodyBytes
    self.slower = slower
  }
}

/// One place at which two answers differ.
public struct AnswerPlaceDifference: Sendable, Codable, Equatable {
  public var path: String
  /// `value`, `kind`, `missing`, `added`, `length`; `status`, `contentType`, `bytes`; `slower`.
  public var kind: String
  public var expected: String?
  public var found: String?

  public init(path: String, kind: String, expected: String? = nil, found: String? = nil) {
    self.path = path
    self.kind = kind
    self.expected = expected
    self.found = found
  }
}

/// A request that two nodes answered differently.
public struct AnswerDifference: Sendable, Codable, Equatable {
  public var requestId: String
  public var at: Timestamp
  /// `POST /some/path`; nil for a cell.
  public var target: String?
  /// The answer that its caller got, and the other node's (nil: none came).
  public var expectedStatus: Int
  public var foundStatus: Int?
  public var expectedMilliseconds: Double
  public var foundMilliseconds: Double?
  /// Places at which they differ; the first of them are in `places`.
  public var count: Int
  public var places: [AnswerPlaceDifference]

  public init(
    requestId: String, at: Timestamp, target: String? = nil, expectedStatus: Int, foundStatus: Int?,
    expectedMilliseconds: Double, foundMilliseconds: Double?, count: Int, places: [AnswerPlaceDifference]
  ) {
    self.requestId = requestId
    self.at = at
    self.target = target
    self.expectedStatus = expectedStatus
    self.foundStatus = foundStatus
    self.expectedMilliseconds = expectedMilliseconds
    self.foundMilliseconds = foundMilliseconds
    self.count = count
    self.places = places
  }
}

extension AnswerDifference {
  /// The places without what stands there.
  public var withoutValues: AnswerDifference {
    var copy = self
    for index in copy.places.indices {
      copy.places[index].expected = nil
      copy.places[index].found = nil
    }
    return copy
  }
}

/// How long two nodes took for the same requests.
public struct LatencyComparison: Sendable, Codable, Equatable {
  /// Requests that both answered.
  public var requests: Int
  public var expectedP50Milliseconds: Double
  public var expectedP95Milliseconds: Double
  public var foundP50Milliseconds: Double
  public var foundP95Milliseconds: Double
  /// Found by expected.
  public var ratioP50: Double
  public var ratioP95: Double

  public init(
    requests: Int, expectedP50Milliseconds: Double, expectedP95Milliseconds: Double,
    foundP50Milliseconds: Double, foundP95Milliseconds: Double, ratioP50: Double, ratioP95: Double
  ) {
    self.requests = requests
    self.expectedP50Milliseconds = expectedP50Milliseconds
    self.expectedP95Milliseconds = expectedP95Milliseconds
    self.foundP50Milliseconds = foundP50Milliseconds
    self.foundP95Milliseconds = foundP95Milliseconds
    self.ratioP50 = ratioP50
    self.ratioP95 = ratioP95
  }
}

/// Copies that were not made or not sent, by reason.
public struct MirrorDrops: Sendable, Codable, Equatable {
  /// More requests or bytes than the settings allow.
  public var overBudget: Int
  /// The candidate had no free place.
  public var busy: Int
  /// A body longer than `maxBodyBytes`.
  public var tooLarge: Int
  /// Too much was copied at once, over all aliases.
  public var overMemory: Int
  /// Streams, WebSockets, calls of gRPC to servers.
  public var notCopyable: Int
  /// The caller went away, or no node answered.
  public var unanswered: Int

  public init(
    overBudget: Int = 0, busy: Int = 0, tooLarge: Int = 0, overMemory: Int = 0, notCopyable: Int = 0,
    unanswered: Int = 0
  ) {
    self.overBudget = overBudget
    self.busy = busy
    self.tooLarge = tooLarge
    self.overMemory = overMemory
    self.notCopyable = notCopyable
    self.unanswered = unanswered
  }
}

/// Answer of `GET /v1/aliases/{alias}/mirror`. Counts begin with `since`: they are not kept over a restart of the server.
public struct AliasMirrorResource: Sendable, Codable, Equatable {
  public enum State: String, Sendable, Codable {
    case off = "OFF"
    case on = "ON"
    /// Set, but nothing is sent now: `reason` says why.
    case resting = "RESTING"
  }

  public var alias: String
  public var state: State
  public var reason: String?
  public var nodeName: String?
  public var spec: AliasMirrorSpec?
  public var since: Timestamp?
  /// Copies for which the candidate was asked: equal, different and failed ones.
  public var sent: Int
  public var equal: Int
  public var different: Int
  /// The candidate gave no whole answer.
  public var failed: Int
  public var dropped: MirrorDrops
  public var latency: LatencyComparison?
  /// The worst first.
  public var worst: [AnswerDifference]

  public init(
    alias: String, state: State, reason: String? = nil, nodeName: String? = nil, spec: AliasMirrorSpec? = nil,
    since: Timestamp? = nil, sent: Int = 0, equal: Int = 0, different: Int = 0, failed: Int = 0,
    dropped: MirrorDrops = MirrorDrops(), latency: LatencyComparison? = nil, worst: [AnswerDifference] = []
  ) {
    self.alias = alias
    self.state = state
    self.reason = reason
    self.nodeName = nodeName
    self.spec = spec
    self.since = since
    self.sent = sent
    self.equal = equal
    self.different = different
    self.failed = failed
    self.dropped = dropped
    self.latency = latency
    self.worst = worst
  }
}
