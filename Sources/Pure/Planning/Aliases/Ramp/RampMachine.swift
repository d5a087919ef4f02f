public import Domain

/// What the nodes of one side of a ramp answered in one window of time.
public struct RampWindow: Sendable, Equatable {
  public var requests: Int
  /// Those of them with a status of 500 or above.
  public var failures: Int
  public var latencies: LatencyCounts

  public init(requests: Int = 0, failures: Int = 0, latencies: LatencyCounts = LatencyCounts()) {
    self.requests = requests
    self.failures = failures
    self.latencies = latencies
  }

  public static func - (left: RampWindow, right: RampWindow) -> RampWindow {
    RampWindow(
      requests: max(left.requests - right.requests, 0), failures: max(left.failures - right.failures, 0),
      latencies: left.latencies - right.latencies)
  }

  public static func + (left: RampWindow, right: RampWindow) -> RampWindow {
    RampWindow(
      requests: left.requests + right.requests, failures: left.failures + right.failures,
      latencies: left.latencies + right.latencies)
  }

  var failureRate: Double { requests == 0 ? 0 : Double(failures) / Double(requests) }
}

/// What a ramp does next, and why in words with the numbers.
public enum RampDecision: Sendable, Equatable {
  case hold(String)
  /// The candidate gets this percent.
  case advance(Int, String)
  /// The candidate has all.
  case complete(String)
  case rollBack(String)
}

/// Decides over one step of a ramp: a candidate with some of the requests beside those who have the rest, in the same window.
///
/// Failures: a sequential test of the candidate's rate against the larger of the limit and the rate of the others, doubled.
/// Latency: the time within which 95 of 100 requests of the others were done, plus the allowance, is exceeded by 5 of 100 when
/// the candidate is at the limit; a sequential test of that part against twice as much. A test that is sure of the worse rolls
/// back at once. A step ends when its time is over, enough requests came and no test leans to the worse; the last one ends
/// only when every test is sure of the better.
public struct RampMachine: Sendable {
  public var plan: RampPlan

  public init(_ plan: RampPlan) { self.plan = plan }

  /// `elapsed` seconds of the step's time have passed, without pauses. At a step of 100 %, where nobody else is left, `others`
  /// is their window of the step before.
  public func decide(
    step: Int, elapsed: Double, candidate: RampWindow, others: RampWindow
  ) -> RampDecision {
    let weight = plan.steps[min(step, plan.steps.count - 1)]
    let isLast = step + 1 >= plan.steps.count
    var clean = true
    var seen: [String] = []
    func isClean(_ verdict: SequentialTest.Verdict) -> Bool {
      verdict == .good || verdict == .leansGood && !isLast
    }
    if let limit = plan.maximumErrorRate {
      let (verdict, words) = failures(candidate, others, limit: limit)
      if verdict == .bad { return .rollBack(words) }
      if !isClean(verdict) { clean = false }
      seen.append(words)
    }
    if let allowance = plan.maximumP95Increase, let (verdict, words) = latency(candidate, others, allowance) {
      if verdict == .bad { return .rollBack(words) }
      if !isClean(verdict) { clean = false }
      seen.append(words)
    } else if plan.maximumP95Increase != nil {
      clean = false
      seen.append("latency: too few requests of the others to compare with")
    }
    let facts = seen.isEmpty ? "" : "; " + seen.joined(separator: "; ")
    guard elapsed >= plan.stepSeconds else {
      return .hold(
        "step of \(weight) % has \(Int((plan.stepSeconds - elapsed).rounded(.up))) s to go\(facts)")
    }
    guard candidate.requests >= plan.minimumRequests else {
      return .hold(
        "\(candidate.requests) of at least \(plan.minimumRequests) requests came at \(weight) %\(facts)")
    }
    guard clean else { return .hold("not sure yet at \(weight) %\(facts)") }
    guard !isLast else {
      return .complete("\(candidate.requests) requests at \(weight) %\(facts)")
    }
    return .advance(plan.steps[step + 1], "\(candidate.requests) requests at \(weight) %\(facts)")
  }

  private func failures(
    _ candidate: RampWindow, _ others: RampWindow, limit: Double
  ) -> (SequentialTest.Verdict, String) {
    let good = max(limit, others.failureRate)
    let test = SequentialTest(good: good, bad: min(good * 2, (1 + good) / 2))
    let words =
      "errors: \(Self.percent(candidate.failureRate)) of \(candidate.requests), limit \(Self.percent(good)), the others \(Self.percent(others.failureRate)) of \(others.requests)"
    return (test.verdict(bad: candidate.failures, of: candidate.requests), words)
  }

  /// Nil when the others answered too little to say what is usual.
  private func latency(
    _ candidate: RampWindow, _ others: RampWindow, _ allowance: Double
  ) -> (SequentialTest.Verdict, String)? {
    guard others.requests >= max(plan.minimumRequests, 20), let usual = others.latencies.quantile(0.95) else {
      return nil
    }
    let limit = Int((Double(usual) * (1 + allowance)).rounded(.up))
    let slow = candidate.latencies.above(microseconds: limit)
    let verdict = SequentialTest(good: 0.05, bad: 0.1).verdict(bad: slow, of: candidate.latencies.total)
    let own = candidate.latencies.quantile(0.95).map { Self.milliseconds($0) } ?? "-"
    let words =
      "p95: \(own), limit \(Self.milliseconds(limit)), the others \(Self.milliseconds(usual)); \(slow) of \(candidate.requests) above the limit"
    return (verdict, words)
  }

  private static func percent(_ rate: Double) -> String {
    let hundredths = Int((rate * 10000).rounded())
    return "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100) %"
  }

  private static func milliseconds(_ microseconds: Int) -> String {
    "\(microseconds / 1000).\(microseconds % 1000 / 100) ms"
  }

  /// The weights with `percent` for the candidate and the rest for the others in their proportions of `base`, which sum
  /// to 100 with the candidate's.
  public static func weights(_ base: [AliasShare], candidate: NodeID, percent: Int) -> [AliasShare] {
    let others = base.filter { $0.nodeId != candidate }
    let sum = others.reduce(0) { $0 + $1.weight }
    let rest = 100 - percent
    var shares = others.map { AliasShare(nodeId: $0.nodeId, weight: sum == 0 ? 0 : $0.weight * rest / sum) }
    // What rounding left goes to those who lost most by it, in order.
    var left = (sum == 0 ? 0 : rest) - shares.reduce(0) { $0 + $1.weight }
    let order = others.indices.sorted {
      others[$0].weight * rest % max(sum, 1) > others[$1].weight * rest % max(sum, 1)
    }
    for index in order where left > 0 {
      shares[index].weight += 1
      left -= 1
    }
    return shares + [AliasShare(nodeId: candidate, weight: sum == 0 ? 100 : percent)]
  }
}
