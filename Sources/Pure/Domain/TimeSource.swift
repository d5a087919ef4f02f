/// What time it is, by two clocks. Nothing else asks for the time where times are compared.
///
/// Wall-clock time is for people, for records and for what others compare with their own clocks (tokens, ages of files).
/// It may jump. Deadlines, back-off and health go by `uptime`, which does not.
public struct TimeSource: Sendable {
  /// Wall-clock time.
  public let wall: @Sendable () -> Timestamp
  /// Time since some moment before the start; never goes back, and does not follow the wall clock.
  public let uptime: @Sendable () -> Duration
  private let start: Timestamp
  private let startUptime: Duration

  public init(wall: @escaping @Sendable () -> Timestamp, uptime: @escaping @Sendable () -> Duration) {
    self.wall = wall
    self.uptime = uptime
    start = wall()
    startUptime = uptime()
  }

  /// The wall clock, but never ahead of how much time has really passed since the start: by it, nothing is old only because
  /// the clock was set forward. For what removes things for good.
  public func cautious() -> Timestamp { min(wall(), start + (uptime() - startUptime)) }
}
