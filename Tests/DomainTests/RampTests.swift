import Domain
import FoundationEssentials
import Planning
import Testing

/// Ramps against scripted candidates on a clock of numbers: how often they are wrong is counted.
@Suite struct RampTests {
  typealias SplitMix = AliasTests.SplitMix
  /// Ramps that each case plays; docs/ramps.md has the rates of 5000.
  static let runs = 60

  /// How a node answers at a moment of the ramp.
  struct Behaviour: Sendable {
    var failureRate: @Sendable (_ second: Double) -> Double = { _ in 0.001 }
    /// Times the usual 10 ms, which spread evenly between half and one and a half.
    var slowness: @Sendable (_ second: Double) -> Double = { _ in 1 }
  }

  enum End: Equatable {
    case completed(seconds: Int)
    case rolledBack(seconds: Int, atPercent: Int)
    case unfinished
  }

  private func answer(
    _ behaviour: Behaviour, _ second: Double, _ window: inout RampWindow, _ random: inout SplitMix
  ) {
    window.requests += 1
    if Double.random(in: 0..<1, using: &random) < behaviour.failureRate(second) { window.failures += 1 }
    let time = Double.random(in: 5000...15000, using: &random) * behaviour.slowness(second)
    window.latencies.note(microseconds: Int(time))
  }

  /// Plays a ramp with `rate` requests per second for at most an hour.
  private func play(
    _ candidate: Behaviour, current: Behaviour = Behaviour(), rate: Int = 50,
    plan: RampPlan = RampPlan(stepSeconds: 60), seed: UInt64
  ) -> End {
    var random = SplitMix(state: seed)
    let machine = RampMachine(plan)
    var progress = RampProgress()
    for second in stride(from: 0, to: 3600, by: 5) {
      let percent = machine.percent(progress.step)
      var (ours, theirs) = (RampWindow(), RampWindow())
      for moment in second..<(second + 5) {
        for _ in 0..<rate {
          if Int.random(in: 0..<100, using: &random) < percent {
            answer(candidate, Double(moment), &ours, &random)
          } else {
            answer(current, Double(moment), &theirs, &random)
          }
        }
      }
      machine.note(
        &progress, seconds: 5, candidate: ours, others: theirs, isServing: true, isPaused: false)
      switch machine.decide(progress) {
      case .hold: break
      case .advance: progress.advance()
      case .complete: return .completed(seconds: second + 5)
      case .rollBack: return .rolledBack(seconds: second + 5, atPercent: percent)
      }
    }
    return .unfinished
  }

  private func count(_ runs: Int = Self.runs, _ play: (UInt64) -> End) -> (completed: Int, rolledBack: Int) {
    var found = (completed: 0, rolledBack: 0)
    for seed in 0..<runs {
      switch play(UInt64(seed) &* 7919) {
      case .completed: found.completed += 1
      case .rolledBack: found.rolledBack += 1
      case .unfinished: break
      }
    }
    return found
  }

  @Test func `a good candidate is promoted`() {
    let found = count { play(Behaviour(), seed: $0) }
    #expect(found.completed == Self.runs, "\(found)")
  }

  @Test func `false rollbacks are rarer than one in fifty at the very limit`() {
    // As bad as is just allowed, in failures and in time: five steps, two tests each.
    let candidate = Behaviour(failureRate: { _ in 0.01 }, slowness: { _ in 1.18 })
    let found = count { play(candidate, seed: $0) }
    #expect(found.rolledBack * 50 <= Self.runs * 2, "\(found)")
  }

  @Test func `two percent of errors are not promoted`() {
    let found = count { play(Behaviour(failureRate: { _ in 0.02 }), seed: $0) }
    #expect(found.completed * 50 <= Self.runs * 2 && found.rolledBack * 10 >= Self.runs * 9, "\(found)")
  }

  @Test func `thirty percent slower is not promoted`() {
    let found = count { play(Behaviour(slowness: { _ in 1.3 }), seed: $0) }
    #expect(found.completed * 50 <= Self.runs * 2 && found.rolledBack * 10 >= Self.runs * 9, "\(found)")
  }

  @Test func `a candidate that crashes is gone within seconds, at its first percent`() {
    for seed in 0..<20 {
      let end = play(Behaviour(failureRate: { _ in 1 }), seed: UInt64(seed))
      guard case .rolledBack(let seconds, 1) = end else {
        Issue.record("\(end)")
        continue
      }
      #expect(seconds < 90)
    }
  }

  @Test func `what is fine at first and then bad is rolled back`() {
    let found = count { play(Behaviour(failureRate: { $0 < 150 ? 0 : 0.05 }), seed: $0) }
    #expect(found.rolledBack >= Self.runs - Self.runs / 50, "\(found)")
  }

  @Test func `errors that everybody has are not the candidate's fault`() {
    let storm = Behaviour(failureRate: { _ in 0.1 })
    let found = count { play(storm, current: storm, seed: $0) }
    #expect(found.rolledBack * 50 <= Self.runs * 2, "\(found)")
  }

  @Test func `without traffic nothing is decided`() {
    let machine = RampMachine(RampPlan())
    var progress = RampProgress()
    progress.elapsed = 100_000
    let decision = machine.decide(progress)
    guard case .hold(.traffic, let why) = decision else { return #expect(Bool(false), "\(decision)") }
    #expect(why.contains("0 of at least 100 requests"))
  }

  @Test func `what turns bad in a long step is found as fast as in a new one`() {
    let machine = RampMachine(RampPlan(stepSeconds: 1_000_000))
    for seed in 0..<6 {
      var random = SplitMix(state: UInt64(seed))
      var progress = RampProgress()
      var found: Int?
      for second in stride(from: 0, to: 2000, by: 5) where found == nil {
        let bad = second >= 1800
        let candidate =
          seed % 2 == 0
          ? Behaviour(failureRate: { _ in bad ? 0.05 : 0.001 }) : Behaviour(slowness: { _ in bad ? 1.3 : 1 })
        var (ours, theirs) = (RampWindow(), RampWindow())
        for _ in 0..<50 { answer(candidate, 0, &ours, &random) }
        for _ in 0..<50 { answer(Behaviour(), 0, &theirs, &random) }
        machine.note(
          &progress, seconds: 5, candidate: ours, others: theirs, isServing: true, isPaused: true)
        if case .rollBack = machine.decide(progress) { found = second }
      }
      // Ten requests a second: some hundred of them are enough.
      #expect(found.map { (1800..<1920).contains($0) } == true, "\(seed): \(String(describing: found))")
    }
  }

  @Test func `a candidate that takes no requests is given up after a while`() {
    let machine = RampMachine(RampPlan(stepSeconds: 600))
    var progress = RampProgress()
    for second in 0..<60 {
      machine.note(
        &progress, seconds: 1, candidate: RampWindow(), others: RampWindow(), isServing: second < 20,
        isPaused: false)
      let decision = machine.decide(progress, refusal: "no healthy instance")
      if case .rollBack(let why) = decision {
        #expect(second == 49 && why.contains("no healthy instance"))
        return
      }
    }
    Issue.record("it was never given up")
  }

  @Test func `what a ramp has seen outlives its process`() throws {
    var random = SplitMix(state: 1)
    var progress = RampProgress()
    for _ in 0..<100 { answer(Behaviour(), 0, &progress.candidate, &random) }
    progress.elapsed = 12.5
    progress.advance()
    progress.before = progress.candidate
    let text = try JSONEncoder().encode(progress)
    #expect(try JSONDecoder().decode(RampProgress.self, from: text) == progress)
  }

  @Test func `weights keep the others' proportions and sum to 100`() {
    var random = SplitMix(state: 5)
    for _ in 0..<500 {
      let nodes = (0..<4).map { _ in NodeID(using: &random) }
      var base = [AliasShare(nodeId: nodes[0], weight: 0)]
      var left = 100
      for node in nodes[1..<3] {
        let weight = Int.random(in: 0...left, using: &random)
        base.append(AliasShare(nodeId: node, weight: weight))
        left -= weight
      }
      base.append(AliasShare(nodeId: nodes[3], weight: left))
      for percent in [0, 1, 5, 33, 50, 99, 100] {
        let shares = RampMachine.weights(base, candidate: nodes[0], percent: percent)
        #expect(shares.reduce(0) { $0 + $1.weight } == 100)
        #expect(shares.first { $0.nodeId == nodes[0] }?.weight == percent)
        for share in shares where share.nodeId != nodes[0] {
          let was = base.first { $0.nodeId == share.nodeId }?.weight ?? 0
          #expect(abs(Double(share.weight) - Double(was * (100 - percent)) / 100) < 1)
        }
      }
    }
  }

  @Test func `buckets are a twentieth wide and hold what belongs to them`() {
    for time in [0, 1, 2, 3, 10, 999, 1000, 12_345, 1_000_000, 99_000_000, Int.max] {
      let bucket = LatencyScale.bucket(microseconds: time)
      #expect(bucket == LatencyScale.bucketCount - 1 || LatencyScale.bounds[bucket] >= time)
      if time >= 100, bucket < LatencyScale.bucketCount - 1 {
        #expect(LatencyScale.bounds[bucket - 1] < time)
        #expect(Double(LatencyScale.bounds[bucket]) <= Double(time) * 1.06)
      }
    }
  }
}
