import Domain
import Planning
import Testing

/// Requests at random times, at a rate that changes with time.
func arrivals(_ seed: UInt64, seconds: Int, service: Double, rate: (Double) -> Double)
  -> [ScalingSimulation.Arrival]
{
  var generator = SeededGenerator(seed: seed)
  var found: [ScalingSimulation.Arrival] = []
  for step in 0..<(seconds * 100) {
    let time = Double(step) / 100
    // At most one in 10 ms of each of 32 sources: near enough to Poisson at the rates used here.
    let chance = rate(time) / 3200
    for _ in 0..<32 where Double.random(in: 0..<1, using: &generator) < chance {
      let length = service * Double.random(in: 0.5..<1.5, using: &generator)
      found.append(.init(seconds: time, serviceSeconds: length))
    }
  }
  return found
}

@Suite struct ScalingTests {
  static let seeds: [UInt64] = [1, 2, 3]
  static let policy = ScalingPolicy(minimum: 1, maximum: 20)

  func sample(_ second: Double, running: Int = 0, queued: Int = 0, requests: Int = 0, ready: Int)
    -> ScalingSample
  {
    ScalingSample(
      at: .milliseconds(Int64(second * 1000)), running: running, queued: queued, requests: requests,
      ready: ready)
  }

  @Test(arguments: seeds) func `a steady load leads to a number that stays`(seed: UInt64) {
    let requests = arrivals(seed, seconds: 500, service: 0.1) { _ in 50 }
    let report = ScalingSimulation(policy: Self.policy, startSeconds: 0.02).run(
      requests, seconds: 500, count: 1)
    // 5 busy instances at 0.7 each: 8. Chance may ask for one or two more.
    let settled = report.counts[200...]
    #expect(settled.allSatisfy { (7...11).contains($0) }, "\(report.changes)")
    #expect(Set(settled).count <= 3, "\(report.changes)")
    #expect(report.wait(quantile: 0.99) < 1)
  }

  @Test(arguments: seeds) func `a step is followed in two seconds, without going far beyond`(seed: UInt64) {
    let requests = arrivals(seed, seconds: 600, service: 0.1) { $0 < 120 ? 2 : 80 }
    let report = ScalingSimulation(policy: Self.policy, startSeconds: 0.02).run(
      requests, seconds: 600, count: 1)
    // 8 are busy all the time: fewer can't keep up.
    #expect(report.counts[122] >= 8, "\(report.changes)")
    #expect(report.peak <= 18, "at 0.7 each, 12 are meant: \(report.changes)")
    #expect(report.wait(quantile: 0.999) < 2.5)
  }

  @Test(arguments: seeds) func `after a spike instances leave in time and in few steps`(seed: UInt64) {
    let requests = arrivals(seed, seconds: 500, service: 0.1) { (100..<130).contains($0) ? 100 : 3 }
    let report = ScalingSimulation(policy: Self.policy, startSeconds: 0.02).run(
      requests, seconds: 500, count: 1)
    #expect(report.peak >= 10)
    #expect(report.counts[99] <= 2 && report.counts[400] <= 2, "\(report.changes)")
    #expect(report.turns <= 3, "\(report.changes)")
  }

  @Test(arguments: seeds) func `load that comes and goes finds its instances still there`(seed: UInt64) {
    let requests = arrivals(seed, seconds: 600, service: 0.1) { Int($0 / 20) % 2 == 0 ? 60 : 4 }
    let report = ScalingSimulation(policy: Self.policy, startSeconds: 0.02).run(
      requests, seconds: 600, count: 1)
    let settled = report.counts[120...]
    #expect((settled.max() ?? 0) - (settled.min() ?? 0) <= 5, "\(report.changes)")
    #expect(report.changes.count { $0.seconds > 120 } <= 8, "\(report.changes)")
  }

  @Test(arguments: seeds) func `a day's slow wave is followed`(seed: UInt64) {
    // Forty minutes for a day; from 5 to 65 requests per second and back.
    let requests = arrivals(seed, seconds: 2400, service: 0.1) { time in
      let phase = time / 2400
      return 5 + 240 * phase * (1 - phase)
    }
    let report = ScalingSimulation(policy: Self.policy, startSeconds: 0.5).run(
      requests, seconds: 2400, count: 1)
    let noon = report.counts[1180...1240]
    #expect(noon.allSatisfy { (9...14).contains($0) }, "\(noon)")
    #expect((report.counts.last ?? 0) <= 4)
    #expect(report.turns <= 20, "\(report.turns) of \(report.changes.count)")
    #expect(report.wait(quantile: 0.99) < 1)
    // No more than the load needs at these aims, with a third for chance and for waiting to leave.
    let ideal = requests.map(\.serviceSeconds).reduce(0, +) / 0.7
    #expect(report.instanceSeconds < ideal * 1.5, "\(report.instanceSeconds) of \(ideal)")
  }

  @Test(arguments: seeds) func `a slow start doesn't make it run away`(seed: UInt64) {
    let requests = arrivals(seed, seconds: 600, service: 0.2) { $0 < 60 ? 1 : 20 }
    let policy = ScalingPolicy(minimum: 1, maximum: 100, panicSeconds: 6)
    let report = ScalingSimulation(policy: policy, startSeconds: 15).run(requests, seconds: 600, count: 1)
    // 4 busy, 6 meant; while 15 s pass 300 requests wait. Steps are bounded, and so is what they come to.
    #expect(report.counts[500] <= 9, "\(report.changes)")
    #expect(report.turns <= 3, "\(report.changes)")
  }

  @Test func `it never leaves its range`() {
    for seed in Self.seeds {
      let policy = ScalingPolicy(minimum: 2, maximum: 5)
      let requests = arrivals(seed, seconds: 300, service: 0.1) { $0 < 100 ? 200 : 0 }
      let report = ScalingSimulation(policy: policy, startSeconds: 0.02).run(requests, seconds: 700, count: 2)
      #expect(report.counts.allSatisfy { (2...5).contains($0) })
      #expect(report.counts[90] == 5 && report.counts.last == 2)
    }
  }

  @Test func `a node that nobody calls rests, and wakes at the first request`() {
    var policy = ScalingPolicy(minimum: 0, maximum: 4, lastLeaveSeconds: 120)
    let simulation = ScalingSimulation(policy: policy, startSeconds: 0.05)
    let calls: [ScalingSimulation.Arrival] = [
      .init(seconds: 1, serviceSeconds: 0.1), .init(seconds: 400.237, serviceSeconds: 0.1),
    ]
    let report = simulation.run(calls, seconds: 700, count: 1)
    #expect(report.counts[60] == 1 && report.counts[118] == 1, "the last one stays for longer")
    #expect(report.counts[130] == 0 && report.counts[399] == 0)
    #expect(report.counts[401] == 1 && report.counts[600] == 0)
    #expect(report.changes.map(\.decision.reason) == [.idle, .wake, .idle])
    #expect(report.wait(quantile: 1) < 0.1, "the request that woke it waited for one start")
    policy.minimum = 1
    let kept = ScalingSimulation(policy: policy, startSeconds: 0.05).run(calls, seconds: 700, count: 1)
    #expect(kept.changes.isEmpty)
  }

  @Test func `a burst on a resting node gets more than one instance`() {
    var machine = ScalingMachine(ScalingPolicy(minimum: 0, maximum: 10), count: 0, at: .zero)
    let decision = machine.decide(sample(5, queued: 30, requests: 30, ready: 0))
    #expect(decision.reason == .wake && decision.count == 4)
    #expect(machine.decide(sample(5.5, running: 4, queued: 26, requests: 30, ready: 4)).count == 10)
  }

  @Test func `the signal that needs most decides, and the decision names it`() {
    var policy = ScalingPolicy(minimum: 1, maximum: 50, concurrency: 10)
    policy.requestsPerSecond = 100
    policy.cpus = 0.5
    policy.gauge = 8
    var machine = ScalingMachine(policy, count: 1, at: .zero)
    func at(_ second: Int) -> ScalingSample {
      ScalingSample(
        at: .seconds(second), running: 5, requests: second * 150, cpuSeconds: Double(second) * 1.6,
        gauge: 10, ready: 4)
    }
    for second in 1..<100 { _ = machine.decide(at(second)) }
    let decision = machine.decide(at(100))
    #expect(decision.count == 4 && decision.signal == .cpus)
    #expect(abs(decision.load - 1.6) < 0.01 && decision.aim == 0.5)
  }

  @Test func `a counter that starts again is no burst`() {
    var policy = ScalingPolicy(minimum: 1, maximum: 50, concurrency: nil)
    policy.requestsPerSecond = 10
    var machine = ScalingMachine(policy, count: 1, at: .zero)
    for second in 1...60 {
      _ = machine.decide(sample(Double(second), requests: 1_000_000 + second * 5, ready: 1))
    }
    #expect(machine.count == 1)
    for second in 61...120 {
      _ = machine.decide(sample(Double(second), requests: (second - 60) * 5, ready: 1))
    }
    #expect(machine.count == 1)
  }

  @Test func `one instance too many stays while the others would be nearly full`() {
    var policy = ScalingPolicy(minimum: 1, maximum: 10, concurrency: nil, leaveSeconds: 10)
    policy.requestsPerSecond = 10
    var machine = ScalingMachine(policy, count: 3, at: .zero)
    var requests = 0
    func run(_ seconds: Int, from start: Int, rate: Int) -> ScalingDecision? {
      var decision: ScalingDecision?
      for second in start..<(start + seconds) {
        requests += rate
        decision = machine.decide(sample(Double(second), requests: requests, ready: 3))
      }
      return decision
    }
    let nearlyFull = run(200, from: 1, rate: 19)
    #expect(nearlyFull?.count == 3 && nearlyFull?.reason == .slack)
    #expect(run(200, from: 201, rate: 17)?.count == 2)
  }

  @Test func `callers that wait for their answers get as many instances as they could use`() {
    var machine = ScalingMachine(ScalingPolicy(minimum: 0, maximum: 20), count: 1, at: .zero)
    var (requests, most) = (0, 0)
    for quarter in 1...240 {
      // 8 callers, 20 answers per second from each instance.
      let running = min(machine.count, 8)
      requests += running * 5
      _ = machine.decide(
        sample(
          Double(quarter) / 4, running: running, queued: 8 - running, requests: requests, ready: machine.count
        ))
      if quarter == 40 { #expect(machine.count >= 8, "after ten seconds") }
      most = max(most, machine.count)
    }
    #expect((11...13).contains(machine.count) && most <= 13)
  }

  @Test func `long requests that never end are counted as they stand`() {
    var machine = ScalingMachine(Self.policy, count: 1, at: .zero)
    for second in 1...10 {
      _ = machine.decide(sample(Double(second), running: 1, queued: 6, requests: 7, ready: 1))
    }
    #expect(machine.count == 10)
  }
}
