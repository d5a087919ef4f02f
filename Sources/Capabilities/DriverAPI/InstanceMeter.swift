/// What an instance has used since its start, and uses now. What a driver does not know is nil.
public struct InstanceMeter: Sendable, Equatable {
  public var cpuSeconds: Double
  /// What can't be given back at once: without page cache that nobody looks at.
  public var memoryBytes: Int64
  public var memoryLimitBytes: Int64?
  public var receivedBytes: Int64?
  public var sentBytes: Int64?
  public var processes: Int?
  /// Periods in which it could have been held by its limit of vCPU, those in which it was, and for how long.
  public var periods: Int?
  public var throttledPeriods: Int?
  public var throttledSeconds: Double?

  public init(
    cpuSeconds: Double, memoryBytes: Int64, memoryLimitBytes: Int64? = nil, receivedBytes: Int64? = nil,
    sentBytes: Int64? = nil, processes: Int? = nil, periods: Int? = nil, throttledPeriods: Int? = nil,
    throttledSeconds: Double? = nil
  ) {
    self.cpuSeconds = cpuSeconds
    self.memoryBytes = memoryBytes
    self.memoryLimitBytes = memoryLimitBytes
    self.receivedBytes = receivedBytes
    self.sentBytes = sentBytes
    self.processes = processes
    self.periods = periods
    self.throttledPeriods = throttledPeriods
    self.throttledSeconds = throttledSeconds
  }
}
