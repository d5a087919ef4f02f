/// How a node's new release takes the place of the former one. What is left out has its default.
public struct RollOutSpec: Sendable, Codable, Equatable {
  /// `surge` (the default): new instances beside the old ones, each of which leaves when a new one is healthy; `recreate`: old ones
  /// leave first, as many at once as the maintenance limit allows.
  public var strategy: String?
  /// Most instances above the wanted number under `surge`, 1 to 100; 1 when left out.
  public var surge: Int?
  /// Failed instances of a new release after which it is given up, 1 to 100; 3 when left out.
  public var failures: Int?
  /// A new release of which no instance became healthy for this long is given up; 600 when left out.
  public var deadlineSeconds: Int?

  public init(
    strategy: String? = nil, surge: Int? = nil, failures: Int? = nil, deadlineSeconds: Int? = nil
  ) {
    self.strategy = strategy
    self.surge = surge
    self.failures = failures
    self.deadlineSeconds = deadlineSeconds
  }
}

/// A change of one field, as text. Left out: it had, or has, no value.
public struct FieldChange: Sendable, Codable, Equatable {
  /// Path of the field, like `image.reference`.
  public var field: String
  public var before: String?
  public var after: String?

  public init(field: String, before: String? = nil, after: String? = nil) {
    self.field = field
    self.before = before
    self.after = after
  }
}

/// What became of a release.
public enum ReleaseState: String, Sendable, Codable, CaseIterable {
  /// Its instances are being started; it has not served alone yet.
  case rollingOut
  /// The release that served last: it is in rotation, or is what a roll-out that fails falls back to.
  case serving
  /// It was given up; see the message.
  case failed
  /// Another one took its place.
  case superseded
}

/// An immutable numbered snapshot of what a node's instances are made of.
public struct ReleaseResource: Sendable, Codable, Equatable {
  public var number: Int
  public var state: ReleaseState
  /// Why it has this state, where there is something to say.
  public var message: String?
  public var createdAt: Timestamp
  public var createdBy: String
  /// When it came into this state.
  public var stateAt: Timestamp
  /// The release before it, which `changes` compares it to; left out for the first.
  public var former: Int?
  public var changes: [FieldChange]
  /// Instances of it that there are now.
  public var instances: Int

  public init(
    number: Int, state: ReleaseState, message: String? = nil, createdAt: Timestamp, createdBy: String,
    stateAt: Timestamp, former: Int? = nil, changes: [FieldChange] = [], instances: Int = 0
  ) {
    self.number = number
    self.state = state
    self.message = message
    self.createdAt = createdAt
    self.createdBy = createdBy
    self.stateAt = stateAt
    self.former = former
    self.changes = changes
    self.instances = instances
  }
}

extension ReleaseResource {
  /// Its number as text.
  public var name: String { String(number) }
}

/// Body of `POST /v1/nodes/{id}:rollback`.
public struct RollbackRequest: Sendable, Codable, Equatable {
  /// Number of the release; left out: the one that served before the newest.
  public var release: Int?

  public init(release: Int? = nil) {
    self.release = release
  }
}

/// How far the newest release of a node has come.
public struct RollOutResource: Sendable, Codable, Equatable {
  public var release: Int
  public var state: ReleaseState
  /// The release that served last; left out while none has.
  public var serving: Int?
  /// Healthy instances of the newest release.
  public var updated: Int
  /// Failures of it during this roll-out.
  public var failures: Int
  public var message: String

  public init(
    release: Int, state: ReleaseState, serving: Int? = nil, updated: Int = 0, failures: Int = 0,
    message: String
  ) {
    self.release = release
    self.state = state
    self.serving = serving
    self.updated = updated
    self.failures = failures
    self.message = message
  }
}
