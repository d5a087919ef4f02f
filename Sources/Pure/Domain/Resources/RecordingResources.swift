/// What a node must show before it gets a share of the alias.
public struct AliasReplayGate: Sendable, Codable, Equatable {
  /// Of the requests that were sent again.
  public var maxMismatchPercent: Double
  /// Its median time by the recorded one; nil: any.
  public var maxLatencyRatio: Double?
  /// So many must have been sent.
  public var minRequests: Int

  public init(maxMismatchPercent: Double = 0, maxLatencyRatio: Double? = nil, minRequests: Int = 1) {
    self.maxMismatchPercent = maxMismatchPercent
    self.maxLatencyRatio = maxLatencyRatio
    self.minRequests = minRequests
  }
}

/// Which of an alias' requests are recorded, and what of them.
public struct AliasRecordSpec: Sendable, Codable, Equatable {
  /// False: what was recorded stays until it is too old or cleared.
  public var enabled: Bool
  public var percent: Double
  /// Of all that is kept; the oldest goes first.
  public var maxBytes: Int
  public var maxAgeSeconds: Int
  public var maxBodyBytes: Int
  /// Places in requests and answers whose values are taken out before anything is written.
  public var redact: [String]
  /// Further headers and parameters of the query that are taken out; those with credentials always are.
  public var redactHeaders: [String]
  /// Bodies that are not JSON, in which nothing can be redacted, are recorded too.
  public var opaque: Bool
  /// How replays compare answers.
  public var rules: AnswerRules
  public var gate: AliasReplayGate?

  /// Names of members that hold credentials more often than not.
  public static let redactedByDefault = [
    "password", "passwd", "secret", "token", "access_token", "refresh_token", "id_token", "api_key", "apikey",
    "apiKey", "accessToken", "authorization", "credentials", "private_key", "privateKey",
  ].map { "**.\($0)" }

  public init(
    enabled: Bool = true, percent: Double = 10, maxBytes: Int = 16 << 20, maxAgeSeconds: Int = 86_400,
    maxBodyBytes: Int = 256 << 10, redact: [String] = AliasRecordSpec.redactedByDefault,
    redactHeaders: [String] = [], opaque: Bool = false, rules: AnswerRules = AnswerRules(),
    gate: AliasReplayGate? = nil
  ) {
    self.enabled = enabled
    self.percent = percent
    self.maxBytes = maxBytes
    self.maxAgeSeconds = maxAgeSeconds
    self.maxBodyBytes = maxBodyBytes
    self.redact = redact
    self.redactHeaders = redactHeaders
    self.opaque = opaque
    self.rules = rules
    self.gate = gate
  }
}

/// Body of `PUT /v1/aliases/{alias}/recording`; what is left out has its default.
public struct SetAliasRecordingRequest: Sendable, Codable, Equatable {
  public var enabled: Bool?
  public var percent: Double?
  public var maxBytes: Int?
  public var maxAgeSeconds: Int?
  public var maxBodyBytes: Int?
  public var redact: [String]?
  public var redactHeaders: [String]?
  public var opaque: Bool?
  public var rules: AnswerRules?
  public var gate: AliasReplayGate?

  public init(
    enabled: Bool? = nil, percent: Double? = nil, maxBytes: Int? = nil, maxAgeSeconds: Int? = nil,
    maxBodyBytes: Int? = nil, redact: [String]? = nil, redactHeaders: [String]? = nil, opaque: Bool? = nil,
    rules: AnswerRules? = nil, gate: AliasReplayGate? = nil
  ) {
    self.enabled = enabled
    self.percent = percent
    self.maxBytes = maxBytes
    self.maxAgeSeconds = maxAgeSeconds
    self.maxBodyBytes = maxBodyBytes
    self.redact = redact
    self.redactHeaders = redactHeaders
    self.opaque = opaque
    self.rules = rules
    self.gate = gate
  }
}

/// Requests that were to be recorded and were not, by reason, since the server started.
public struct RecordingDrops: Sendable, Codable, Equatable {
  /// More requests in a second than are recorded.
  public var overBudget: Int
  public var tooLarge: Int
  public var overMemory: Int
  /// Streams, WebSockets, calls of gRPC to servers; bodies in which nothing can be redacted.
  public var notCopyable: Int
  public var unanswered: Int
  /// The disk did not take them.
  public var failed: Int

  public init(
    overBudget: Int = 0, tooLarge: Int = 0, overMemory: Int = 0, notCopyable: Int = 0, unanswered: Int = 0,
    failed: Int = 0
  ) {
    self.overBudget = overBudget
    self.tooLarge = tooLarge
    self.overMemory = overMemory
    self.notCopyable = notCopyable
    self.unanswered = unanswered
    self.failed = failed
  }
}

/// Answer of `GET /v1/aliases/{alias}/recording`.
public struct AliasRecordingResource: Sendable, Codable, Equatable {
  public enum State: String, Sendable, Codable {
    case off = "OFF"
    case on = "ON"
  }

  public var alias: String
  public var state: State
  public var spec: AliasRecordSpec?
  /// What can be sent again now.
  public var requests: Int
  public var bytes: Int
  public var oldest: Timestamp?
  public var newest: Timestamp?
  public var dropped: RecordingDrops

  public init(
    alias: String, state: State, spec: AliasRecordSpec? = nil, requests: Int = 0, bytes: Int = 0,
    oldest: Timestamp? = nil, newest: Timestamp? = nil, dropped: RecordingDrops = RecordingDrops()
  ) {
    self.alias = alias
    self.state = state
    self.spec = spec
    self.requests = requests
    self.bytes = bytes
    self.oldest = oldest
    self.newest = newest
    self.dropped = dropped
  }
}

/// Body of `POST /v1/aliases/{alias}:replay`.
public struct ReplayAliasRequest: Sendable, Codable, Equatable {
  /// Who is to answer the recorded requests: id or name.
  public var node: String
  /// The newest so many; left out: all.
  public var limit: Int?
  /// Requests that the node has at once; 1.
  public var concurrency: Int?
  /// Beyond it the replay fails; the gate's, else 0.
  public var maxMismatchPercent: Double?
  /// Beyond it the replay fails; the gate's, else none.
  public var maxLatencyRatio: Double?
  /// How answers are compared; the recording's rules.
  public var rules: AnswerRules?

  public init(
    node: String, limit: Int? = nil, concurrency: Int? = nil, maxMismatchPercent: Double? = nil,
    maxLatencyRatio: Double? = nil, rules: AnswerRules? = nil
  ) {
    self.node = node
    self.limit = limit
    self.concurrency = concurrency
    self.maxMismatchPercent = maxMismatchPercent
    self.maxLatencyRatio = maxLatencyRatio
    self.rules = rules
  }
}

/// What came of a replay; `id` is its operation's.
public struct ReplayResource: Sendable, Codable, Equatable {
  public enum Verdict: String, Sendable, Codable {
    case passed = "PASSED"
    case failed = "FAILED"
  }

  public var id: OperationID
  public var alias: String
  public var nodeId: NodeID
  public var nodeName: String
  public var release: Int
  public var startedAt: Timestamp
  public var endedAt: Timestamp
  public var verdict: Verdict
  /// Why it failed.
  public var reasons: [String]
  /// Recorded requests that were sent.
  public var requests: Int
  public var equal: Int
  public var different: Int
  /// No whole answer came.
  public var failed: Int
  /// Of all of them those whose request had been redacted: only kinds and names of their answers were compared.
  public var onlyShape: Int
  /// Different and failed ones, of a hundred.
  public var mismatchPercent: Double
  public var maxMismatchPercent: Double
  public var maxLatencyRatio: Double?
  public var latency: LatencyComparison?
  public var rules: AnswerRules
  /// The worst first.
  public var worst: [AnswerDifference]

  public init(
    id: OperationID, alias: String, nodeId: NodeID, nodeName: String, release: Int, startedAt: Timestamp,
    endedAt: Timestamp, verdict: Verdict, reasons: [String], requests: Int, equal: Int, different: Int,
    failed: Int, onlyShape: Int, mismatchPercent: Double, maxMismatchPercent: Double,
    maxLatencyRatio: Double?, latency: LatencyComparison?, rules: AnswerRules, worst: [AnswerDifference]
  ) {
    self.id = id
    self.alias = alias
    self.nodeId = nodeId
    self.nodeName = nodeName
    self.release = release
    self.startedAt = startedAt
    self.endedAt = endedAt
    self.verdict = verdict
    self.reasons = reasons
    self.requests = requests
    self.equal = equal
    self.different = different
    self.failed = failed
    self.onlyShape = onlyShape
    self.mismatchPercent = mismatchPercent
    self.maxMismatchPercent = maxMismatchPercent
    self.maxLatencyRatio = maxLatencyRatio
    self.latency = latency
    self.rules = rules
    self.worst = worst
  }
}
