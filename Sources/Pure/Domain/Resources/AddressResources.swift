/// Most requests in a time. A caller may send `burst` at once and `requestsPerSecond` on average.
public struct RateLimit: Sendable, Codable, Equatable {
  public var requestsPerSecond: Double
  public var burst: Int

  public init(requestsPerSecond: Double, burst: Int) {
    self.requestsPerSecond = requestsPerSecond
    self.burst = burst
  }
}
