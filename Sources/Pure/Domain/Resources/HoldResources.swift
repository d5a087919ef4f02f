/// Body of `POST /v1/aliases/{alias}:hold`.
public struct HoldAliasRequest: Sendable, Codable, Equatable {
  /// How long requests wait at most, in seconds: 1 to 600.
  public var durationSeconds: Int
  /// Most requests that wait at once: 1 to 10000; 1000 when left out. Others are refused with 429.
  public var requestLimit: Int?
  /// Longest that one request waits, in seconds: 1 to `durationSeconds`, which it is when left out. Then it is refused with 503.
  public var waitSeconds: Int?
  /// What callers are told who are refused.
  public var reason: String?

  public init(
    durationSeconds: Int, requestLimit: Int? = nil, waitSeconds: Int? = nil, reason: String? = nil
  ) {
    self.durationSeconds = durationSeconds
    self.requestLimit = requestLimit
    self.waitSeconds = waitSeconds
    self.reason = reason
  }
}

/// An alias whose requests wait.
public struct AliasHoldStatus: Sendable, Codable, Equatable {
  public var startedAt: Timestamp
  public var startedBy: String
  /// When it ends by itself.
  public var endsAt: Timestamp
  public var requestLimit: Int
  public var waitSeconds: Int
  public var reason: String
  /// Requests that wait now.
  public var waiting: Int

  public init(
    startedAt: Timestamp, startedBy: String, endsAt: Timestamp, requestLimit: Int, waitSeconds: Int,
    reason: String, waiting: Int
  ) {
    self.startedAt = startedAt
    self.startedBy = startedBy
    self.endsAt = endsAt
    self.requestLimit = requestLimit
    self.waitSeconds = waitSeconds
    self.reason = reason
    self.waiting = waiting
  }
}
