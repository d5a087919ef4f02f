import Domain
import Planning
import Testing

@Suite struct MirroringTests {
  @Test func `no more copies are under way than allowed, and as many more as four times wait`() {
    var budget = MirrorBudget(mostAtOnce: 2, bytesPerSecond: 1_000_000, now: .zero)
    let first = (0..<12).map { _ in budget.came(bytes: 10, now: .zero) }
    #expect(first.prefix(2).allSatisfy { $0 == .send })
    #expect(first.dropFirst(2).prefix(8).allSatisfy { $0 == .wait })
    #expect(first.dropFirst(10).allSatisfy { $0 == .drop })
    let freed = (0..<8).map { _ in budget.ended() }
    #expect(freed.allSatisfy { $0 })
    #expect(budget.running == 2 && budget.waiting == 0)
    let more = [budget.ended(), budget.ended()]
    #expect(more == [false, false])
    #expect(budget.running == 0)
  }

  @Test func `bytes are limited by the second`() {
    var budget = MirrorBudget(mostAtOnce: 1000, bytesPerSecond: 1000, now: .zero)
    #expect(budget.came(bytes: 600, now: .zero) == .send)
    #expect(budget.came(bytes: 600, now: .zero) == .drop)
    #expect(budget.came(bytes: 600, now: .milliseconds(100)) == .drop)
    #expect(budget.came(bytes: 600, now: .milliseconds(200)) == .send)
    // A copy larger than a second's worth passes when nothing else has, and is paid for afterwards.
    #expect(budget.came(bytes: 5000, now: .seconds(2)) == .send)
    #expect(budget.came(bytes: 1, now: .seconds(4)) == .drop)
    #expect(budget.came(bytes: 1, now: .seconds(7)) == .send)
  }

  @Test func `over any time no more bytes pass than the limit and one burst`() {
    for seed in 0..<50 {
      var state = UInt64(seed) &+ 7
      func next(_ count: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int((state >> 33) % UInt64(count))
      }
      var budget = MirrorBudget(mostAtOnce: 8, bytesPerSecond: 10_000, now: .zero)
      var now = Duration.zero
      var passed = 0
      for _ in 0..<2000 {
        now += .milliseconds(next(20))
        let bytes = next(2000)
        if budget.came(bytes: bytes, now: now) != .drop { passed += bytes }
        #expect(budget.running <= 8 && budget.waiting <= 32)
        if next(3) > 0, budget.running > 0 { _ = budget.ended() }
      }
      #expect(Double(passed) <= 10_000 * (now / .seconds(1)) + 10_000, "seed \(seed)")
    }
  }

  private func difference(_ name: String, found: Int?, count: Int = 1, kind: String = "value")
    -> AnswerDifference
  {
    AnswerDifference(
      requestId: name, at: Timestamp(microseconds: 0), expectedStatus: 200, foundStatus: found,
      expectedMilliseconds: 1, foundMilliseconds: 2, count: count,
      places: [AnswerPlaceDifference(path: "a", kind: kind)])
  }

  @Test func `the worst differences stay, the worst first`() {
    var worst = WorstDifferences(most: 4)
    worst.add(difference("slower", found: 200, kind: "slower"))
    worst.add(difference("one", found: 200))
    worst.add(difference("many", found: 200, count: 9))
    worst.add(difference("refused", found: 404))
    #expect(worst.all.map(\.requestId) == ["refused", "many", "one", "slower"])
    worst.add(difference("failed", found: 500))
    worst.add(difference("silent", found: nil))
    worst.add(difference("two", found: 200, count: 2))
    #expect(worst.all.map(\.requestId) == ["silent", "failed", "refused", "many"])
  }

  @Test func `latencies are told of the last pairs`() {
    var pairs = LatencyPairs(most: 100)
    #expect(pairs.comparison == nil)
    for _ in 0..<100 { pairs.add(expectedMicroseconds: 1, foundMicroseconds: 1_000_000) }
    for index in 1...100 {
      pairs.add(expectedMicroseconds: index * 1000, foundMicroseconds: index * 2000)
    }
    let found = pairs.comparison
    #expect(found?.requests == 100)
    #expect(found?.expectedP50Milliseconds == 51 && found?.foundP50Milliseconds == 102)
    #expect(found?.expectedP95Milliseconds == 96 && found?.ratioP95 == 2)
  }
}
