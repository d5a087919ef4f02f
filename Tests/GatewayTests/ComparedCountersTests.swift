import Domain
import Planning
import Testing

@testable import Gateway

@Suite struct ComparedCountersTests {
  @Test func `answers of any time have a place`() {
    let counters = ComparedCounters()
    for time in [0, 1, 12_345, 3_600_000_000, Int.max] {
      counters.answered(isFailure: time == 0, microseconds: time)
    }
    counters.answered(isFailure: false, microseconds: nil)
    let seen = counters.current
    #expect(seen.requests == 6 && seen.failures == 1 && seen.latencies.total == 5)
    #expect(seen.numbers.p95Milliseconds.map { $0 > 100_000 } == true)
  }
}
