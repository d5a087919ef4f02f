public import Domain

/// What a ramp does next, and why in words with the numbers.
public enum RampDecision: Sendable, Equatable {
  case hold(Hold, String)
  /// The candidate gets this percent.
  case advance(Int, String)
  /// The candidate has the last step's percent for good.
  case complete(String)
  case rollBack(String)

  public enum Hold: Sendable, Equatable {
    /// The step's time is not over.
    case time
    /// Too few requests came to decide from.
    case traffic
    /// The tests are not sure enough.
    case doubt
  }
}

/// Decides over one step of a ramp: a candidate with some of the requests beside those who have the rest, in the same window.
///
/// Failures: a sequential test of the candidate's rate against the larger of the limit and what the rate of the others may be
/// (two standard deviations above what was seen), doubled.
/// Latency: the time within which 95 of 100 requests of the others were done, plus the allowance, is exceeded by 5 of 100 when
/// the candidate is at the limit; a sequential test of that part against twice as much. A test that is sure of the worse rolls
/// back at once. A step ends when its time is over, enough requests came and no test leans to the worse; the last one ends
/// only when every test is sure of the better.
///
/// Beside the tests of the whole step run two that forget good times: their evidence never falls below what makes sure of the
/// better, so that what was fine for an hour and is bad now is found as fast as what was bad from the beginning (Page's CUSUM,
/// E. S. Page, Continuous Inspection Schemes, 1954).
public struct RampMachine: Sendable {
  public var plan: RampPlan

  public init(_ plan: RampPlan) { self.plan = plan }

  /// The candidate's percent in a step.
  public func percent(_ step: Int) -> Int { plan.steps[min(step, plan.steps.count - 1)] }

  /// Seconds without a candidate that takes requests after which a ramp rolls back.
  var patience: Double { min(max(plan.stepSeconds, 5), 30) }

  /// What `seconds` more brought. `isPaused`: the step's time does not count.
  public func note(
    _ progress: inout RampProgress, seconds: Double, candidate: RampWindow, others: RampWindow,
    isServing: Bool, isPaused: Bool
  ) {
    if !isPaused { progress.elapsed += seconds }
    progress.unavailable = isServing ? 0 : progress.unavailable + seconds
    progress.candidate = progress.candidate + candidate
    progress.others = progress.others + others
    guard candidate.requests > 0 else { return }
    let usual = compared(progress)
    if let limit = plan.maximumErrorRate {
      let test = failureTest(usual, limit: limit)
      progress.failureAlarm = max(
        test.calm,
        progress.failureAlarm + test.evidence(bad: candidate.failures, of: candidate.requests))
    }
    if let allowance = plan.maximumP95Increase, let limit = latencyLimit(usual, allowance) {
      progress.latencyAlarm = max(
        Self.latencyTest.calm,
        progress.latencyAlarm
          + Self.latencyTest.evidence(
            bad: candidate.latencies.above(microseconds: limit), of: candidate.latencies.total))
    }
  }

  /// At a step of 100 %, where nobody else is left, the others' window of the step before.
  public func compared(_ progress: RampProgress) -> RampWindow {
    percent(progress.step) == 100 ? progress.before : progress.others
  }

  /// `refusal`: why the candidate takes no requests, where it takes none.
  public func decide(_ progress: RampProgress, refusal: String? = nil) -> RampDecision {
    let (weight, candidate, others) = (percent(progress.step), progress.candidate, compared(progress))
    let isLast = progress.step + 1 >= plan.steps.count
    if progress.unavailable >= patience {
      return .rollBack(
        "the candidate has taken no requests for \(Int(progress.unavailable)) s: \(refusal ?? "not known why")"
      )
    }
    var clean = true
    var seen: [String] = []
    func isClean(_ verdict: SequentialTest.Verdict) -> Bool {
      verdict == .good || verdict == .leansGood && !isLast
    }
    if let limit = plan.maximumErrorRate {
      let test = failureTest(others, limit: limit)
      let words = failureWords(candidate, others, test)
      let verdict = test.verdict(bad: candidate.failures, of: candidate.requests)
      if verdict == .bad { return .rollBack(words) }
      if progress.failureAlarm >= test.alarm { return .rollBack("lately too many failures; \(words)") }
      if !isClean(verdict) { clean = false }
      seen.append(words)
    }
    if let allowance = plan.maximumP95Increase {
      if let (verdict, words) = latency(candidate, others, allowance) {
        if verdict == .bad { return .rollBack(words) }
        if progress.latencyAlarm >= Self.latencyTest.alarm {
          return .rollBack("lately too many slow answers; \(words)")
        }
        if !isClean(verdict) { clean = false }
        seen.append(words)
      } else {
        clean = false
        seen.append("p95: too few requests of the others to compare with")
      }
    }
    let facts = seen.isEmpty ? "" : "; " + seen.joined(separator: "; ")
    guard progress.elapsed >= plan.stepSeconds else {
      return .hold(
        .time,
        "step of \(weight) % has \(Int((plan.stepSeconds - progress.elapsed).rounded(.up))) s to go\(facts)")
    }
    guard candidate.requests >= plan.minimumRequests else {
      return .hold(
        .traffic,
        "\(candidate.requests) of at least \(plan.minimumRequests) requests came at \(weight) %\(facts)")
    }
    guard clean else { return .hold(.doubt, "not sure yet at \(weight) %\(facts)") }
    guard !isLast else {
      return .complete("\(candidate.requests) requests at \(weight) %\(facts)")
    }
    return .advance(plan.steps[progress.step + 1], "\(candidate.requests) requests at \(weight) %\(facts)")
  }

  // MARK: Tests

  private func failureTest(_ others: RampWindow, limit: Double) -> SequentialTest {
    // What the others' rate may well be: of few requests it is not known better.
    let many = Double(others.failures) + 2 * Double(others.failures).squareRoot()
    let good = min(max(limit, others.requests == 0 ? 0 : many / Double(others.requests)), 0.9)
    return SequentialTest(good: good, bad: min(good * 2, (1 + good) / 2))
  }

  private func failureWords(
    _ candidate: RampWindow, _ others: RampWindow, _ test: SequentialTest
  ) -> String {
    "errors: \(Self.percent(candidate.failureRate)) of \(candidate.requests), limit \(Self.percent(test.good)), the others \(Self.percent(others.failureRate)) of \(others.requests)"
  }

  private static let latencyTest = SequentialTest(good: 0.05, bad: 0.1)

  /// Microseconds that 5 of 100 requests may exceed; nil when the others answered too little to say what is usual.
  private func latencyLimit(_ others: RampWindow, _ allowance: Double) -> Int? {
    guard others.latencies.total >= max(plan.minimumRequests, 20),
      let usual = others.latencies.quantile(0.95)
    else { return nil }
    return Int((Double(usual) * (1 + allowance)).rounded(.up))
  }

  private func latency(
    _ candidate: RampWindow, _ others: RampWindow, _ allowance: Double
  ) -> (SequentialTest.Verdict, String)? {
    guard let limit = latencyLimit(others, allowance), let usual = others.latencies.quantile(0.95) else {
      return nil
    }
    let slow = candidate.latencies.above(microseconds: limit)
    let verdict = Self.latencyTest.verdict(bad: slow, of: candidate.latencies.total)
    let own = candidate.latencies.quantile(0.95).map { Self.milliseconds($0) } ?? "-"
    let words =
      "p95: \(own), limit \(Self.milliseconds(limit)), the others \(Self.milliseconds(usual)); \(slow) of \(candidate.latencies.total) above the limit"
    return (verdict, words)
  }

  private static func percent(_ rate: Double) -> String {
    let hundredths = Int((rate * 10000).rounded())
    return "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100) %"
  }

  private static func milliseconds(_ microseconds: Int) -> String {
    "\(microseconds / 1000).\(microseconds % 1000 / 100) ms"
  }

  // MARK: Weights

  /// The shares with `percent` for the candidate and the rest for the others in their proportions of `base`, which sum
  /// to 100 with the candidate's. A candidate without a share comes last.
  public static func weights(_ base: [AliasShare], candidate: NodeID, percent: Int) -> [AliasShare] {
    let sum = base.reduce(0) { $0 + ($1.nodeId == candidate ? 0 : $1.weight) }
    let rest = sum == 0 ? 0 : 100 - percent
    var shares = base
    if !shares.contains(where: { $0.nodeId == candidate }) {
      shares.append(AliasShare(nodeId: candidate, weight: 0))
    }
    // What rounding left goes to those who lost most by it, in order.
    var lost: [(index: Int, part: Int)] = []
    var left = rest
    for index in shares.indices {
      guard shares[index].nodeId != candidate else {
        shares[index].weight = 100 - rest
        continue
      }
      lost.append((index, shares[index].weight * rest % max(sum, 1)))
      shares[index].weight = shares[index].weight * rest / max(sum, 1)
      left -= shares[index].weight
    }
    for entry in lost.sorted(by: { $0.part > $1.part }) where left > 0 {
      shares[entry.index].weight += 1
      left -= 1
    }
    return shares
  }
}
