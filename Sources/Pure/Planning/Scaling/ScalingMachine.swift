/// Decides how many instances a node should have. Pure: samples and time come in.
///
/// Two windows look at the load. The stable one decides in quiet times; when the short one needs `panicFactor` times what is there, it
/// decides until it has been calm for a stable window, and until then nothing leaves. Upward a step is bounded by `growth`; downward
/// an instance leaves when neither window needed it at any time of `leaveSeconds`, so that load that comes and goes finds it
/// still there.
///
/// The load in requests at a time is taken by Little's law: what arrives per second times the time that one takes. Requests that wait
/// count by the instances that would be done with them in `drainSeconds`, so that a queue makes nothing run away; one that does
/// not get shorter doubles the load that is assumed.
public struct ScalingMachine: Sendable, Equatable {
  /// How far samples should be apart, in milliseconds.
  public static let sampleMilliseconds = 250

  public var policy: ScalingPolicy
  /// The number that was decided last.
  public private(set) var count: Int
  private var history = ScalingHistory()
  private var panicUntil: Duration?
  private var busyAt: Duration
  private var grewAt: Duration?
  private var lastSample: ScalingSample?

  /// `count`: how many instances there are now.
  public init(_ policy: ScalingPolicy, count: Int, at now: Duration) {
    self.policy = policy
    self.count = min(max(count, policy.minimum), policy.maximum)
    busyAt = now
    history.need(self.count, at: now)
  }

  /// Whether the short window decides at present.
  public func isPanicking(at now: Duration) -> Bool { panicUntil.map { now < $0 } ?? false }

  /// Takes what was seen and decides. Samples come every `sampleMilliseconds`, and at once when somebody waits in vain.
  public mutating func decide(_ sample: ScalingSample) -> ScalingDecision {
    record(sample)
    let decision = bounded(wanted(sample))
    if decision.count > count { grewAt = sample.at }
    count = decision.count
    return decision
  }

  // MARK: Load

  private mutating func record(_ sample: ScalingSample) {
    var entry = ScalingHistory.Entry()
    entry.running = Double(sample.running)
    entry.queued = Double(sample.queued)
    entry.gauge = sample.gauge
    if let last = lastSample {
      let started = sample.requests < last.requests
      let arrived = started ? sample.requests : sample.requests - last.requests
      entry.arrived = Double(arrived)
      // What came and is no longer here was answered.
      let before = started ? 0 : last.running + last.queued
      entry.answered = Double(max(before + arrived - sample.running - sample.queued, 0))
      entry.seconds = max((sample.at - last.at).inSeconds, 0)
      if let before = last.cpuSeconds, let after = sample.cpuSeconds, after >= before {
        entry.cpuSeconds = after - before
      }
      if arrived > 0 { busyAt = sample.at }
    }
    if sample.running + sample.queued > 0 { busyAt = sample.at }
    history.add(entry, at: sample.at)
    lastSample = sample
  }

  /// The instances that a window needs, exactly (2.3 of them), and by which signal.
  private struct Need {
    var exact = 0.0
    var signal: ScalingSignal?
    var load = 0.0
    var aim = 0.0

    /// Enough whole instances; a hair over a whole number needs no further one.
    func whole(filledTo part: Double = 1) -> Int {
      Int(min(max((exact / part - 0.001).rounded(.up), 0), 1_000_000))
    }
  }

  private func need(_ window: Int, _ now: Duration) -> Need {
    var most = Need()
    let sum = history.sum(seconds: window, until: now)
    guard sum.samples > 0 else { return most }
    for signal in ScalingSignal.allCases {
      guard let aim = signal.aim(policy), aim > 0, let load = load(signal, sum) else { continue }
      if load / aim > most.exact { most = Need(exact: load / aim, signal: signal, load: load, aim: aim) }
    }
    return most
  }

  private func load(_ signal: ScalingSignal, _ sum: ScalingHistory.Sum) -> Double? {
    switch signal {
    case .concurrency:
      let samples = Double(sum.samples)
      let (running, queued) = (sum.running / samples, sum.queued / samples)
      guard sum.answered > 0, sum.seconds > 0 else { return running + queued }
      let service = running * sum.seconds / sum.answered
      let offered = max(running, sum.arrived / sum.seconds * service) + queued * service / policy.drainSeconds
      // Who waits for answers before they ask again is not seen in what arrives. When a queue isn't on its way out, twice as
      // many at a time are tried, as far as there are so many.
      let leaving = (sum.answered - sum.arrived) / sum.seconds * policy.drainSeconds
      guard queued >= 1, leaving < queued, !justGrew else { return offered }
      return max(offered, min(running + queued, 2 * running))
    case .requestsPerSecond: return sum.seconds > 0 ? sum.arrived / sum.seconds : nil
    case .cpus: return sum.cpuKnownSeconds > 0 ? sum.cpuSeconds / sum.cpuKnownSeconds : nil
    case .gauge: return sum.gauges > 0 ? sum.gauge / Double(sum.gauges) : nil
    }
  }

  /// Whether what the newest instances do is not in the short window yet.
  private var justGrew: Bool {
    guard let grewAt, let lastSample else { return false }
    return lastSample.at - grewAt < .seconds(policy.panicSeconds)
  }

  // MARK: The decision

  private mutating func wanted(_ sample: ScalingSample) -> ScalingDecision {
    let now = sample.at
    let stable = need(policy.stableSeconds, now)
    let short = need(policy.panicSeconds, now)
    let sudden = short.whole()
    // One instance that is merely full is no panic: two of them must be missing.
    let base = max(sample.ready, 1)
    if Double(sudden) >= policy.panicFactor * Double(base), sudden > base + 1 {
      panicUntil = now + .seconds(policy.stableSeconds)
    }
    let panicking = isPanicking(at: now)
    if !panicking { panicUntil = nil }
    let byShort = panicking && sudden > stable.whole()
    let chosen = byShort ? short : stable
    let someone = sample.running + sample.queued > 0
    let target = max(chosen.whole(), someone ? 1 : 0)
    history.need(max(target, sudden), at: now)
    func decision(_ count: Int, _ reason: ScalingDecision.Reason) -> ScalingDecision {
      ScalingDecision(
        count: count, reason: reason, signal: chosen.signal, load: chosen.load, aim: chosen.aim,
        window: byShort ? policy.panicSeconds : policy.stableSeconds)
    }
    if count == 0 {
      return someone ? decision(min(max(target, 1), Self.firstStep), .wake) : decision(0, .steady)
    }
    if target > count {
      let most = max(Int(Double(count) * policy.growth), Self.firstStep)
      return decision(min(target, most), panicking ? .panic : .load)
    }
    if target == count { return decision(count, .steady) }
    if panicking { return decision(count, .panic) }
    let held = history.mostNeeded(seconds: policy.leaveSeconds, until: now)
    let next = max(held, stable.whole(filledTo: max(policy.slack, 0.1)))
    if next >= count { return decision(count, held >= count ? .waiting : .slack) }
    guard next == 0 else { return decision(next, .load) }
    if policy.minimum == 0, now - busyAt >= .seconds(policy.lastLeaveSeconds) { return decision(0, .idle) }
    return count > 1 ? decision(1, .load) : decision(1, policy.minimum == 0 ? .waiting : .steady)
  }

  /// From one instance or none a step may always reach this many.
  private static let firstStep = 4

  private func bounded(_ decision: ScalingDecision) -> ScalingDecision {
    var decision = decision
    if decision.count > policy.maximum {
      decision.count = policy.maximum
      decision.reason = .maximum
    } else if decision.count < policy.minimum {
      decision.count = policy.minimum
      decision.reason = .minimum
    }
    return decision
  }
}

extension Duration {
  /// Whole and parts, as a number.
  var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
