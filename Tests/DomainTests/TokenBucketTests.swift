import Domain
import Planning
import Testing

@Suite struct TokenBucketTests {
  static let second: Int64 = 1_000_000_000

  /// Offers requests at times; gives which of them passed.
  private func offer(_ limit: RateLimit, at times: [Int64]) -> [Bool] {
    var fullAt: Int64 = 0
    return times.map { now in
      guard case .taken(let next) = TokenBucket.take(limit, fullAt: fullAt, now: now) else { return false }
      fullAt = next
      return true
    }
  }

  @Test func `a burst passes at once, then one at a time`() {
    let limit = RateLimit(requestsPerSecond: 2, burst: 3)
    let start = 100 * Self.second
    #expect(offer(limit, at: [start, start, start, start]) == [true, true, true, false])
    #expect(
      offer(limit, at: [start, start, start, start + Self.second / 2, start + Self.second / 2])
        == [true, true, true, true, false])
  }

  @Test func `an idle bucket fills up to its burst and no further`() {
    let limit = RateLimit(requestsPerSecond: 10, burst: 2)
    let later = 1000 * Self.second
    #expect(offer(limit, at: [0, 0, 0, later, later, later]) == [true, true, false, true, true, false])
  }

  @Test func `the wait says when the next one passes`() {
    let limit = RateLimit(requestsPerSecond: 0.5, burst: 1)
    guard case .taken(let fullAt) = TokenBucket.take(limit, fullAt: 0, now: 10) else {
      Issue.record("a full bucket refused")
      return
    }
    #expect(TokenBucket.take(limit, fullAt: fullAt, now: 10) == .refused(wait: 2 * Self.second))
    #expect(TokenBucket.seconds(2 * Self.second) == 2 && TokenBucket.seconds(1) == 1)
    if case .refused = TokenBucket.take(limit, fullAt: fullAt, now: 10 + 2 * Self.second) {
      Issue.record("the wait was too short")
    }
  }

  /// However requests come, no window sees more than its share and the burst.
  @Test(arguments: 0..<40) func `no more pass than rate and burst allow`(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let limit = RateLimit(
      requestsPerSecond: [0.001, 0.5, 3, 1000, 1_000_000].randomElement(using: &random) ?? 1,
      burst: [1, 2, 50, 1_000_000].randomElement(using: &random) ?? 1)
    var now: Int64 = 5
    let times = (0..<2000).map { _ in
      now += Int64.random(in: 0...(Self.second / 100), using: &random)
      return now
    }
    let passed = offer(limit, at: times)
    let seconds = Double((times.last ?? 0) - (times.first ?? 0)) / Double(Self.second)
    let allowed = seconds * limit.requestsPerSecond * 1.001 + Double(limit.burst)
    #expect(Double(passed.count { $0 }) <= allowed.rounded(.up))
    #expect(passed[0])
  }
}
