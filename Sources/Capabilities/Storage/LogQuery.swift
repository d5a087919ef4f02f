public import Domain

/// Which lines of a log are asked for.
public struct LogQuery: Sendable {
  /// A cursor; nil: the newest lines.
  public var after: String?
  /// So many of the newest lines; only without a cursor.
  public var tail: Int
  /// No older ones, and no newer ones.
  public var since: Timestamp?
  public var until: Timestamp?
  /// What else must hold for a line. Nil: nothing. Made anew for each reading, so that it may remember things.
  public var filter: (@Sendable () -> (LogLine) -> Bool)?

  public init(
    after: String? = nil, tail: Int = 100, since: Timestamp? = nil, until: Timestamp? = nil,
    filter: (@Sendable () -> (LogLine) -> Bool)? = nil
  ) {
    self.after = after
    self.tail = tail
    self.since = since
    self.until = until
    self.filter = filter
  }

  var isPlain: Bool { since == nil && until == nil && filter == nil }

  /// Whether a line is asked for.
  func predicate() -> (LogLine) -> Bool {
    let filter = filter?()
    let (low, high) = (since.map(LogTime.key), until.map(LogTime.key))
    return { line in
      if low != nil || high != nil {
        let time = LogTime.key(line.time)
        if let low, time < low { return false }
        if let high, time > high { return false }
      }
      return filter?(line) ?? true
    }
  }
}

/// Times of lines have any number of digits behind the point: without their `Z` they are in order as texts are.
enum LogTime {
  static func key(_ text: String) -> Substring { text.hasSuffix("Z") ? text.dropLast() : text[...] }
  static func key(_ time: Timestamp) -> Substring { key(time.precise) }
}
