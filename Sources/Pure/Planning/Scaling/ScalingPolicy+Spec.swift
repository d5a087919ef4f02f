public import Domain

extension ScalingPolicy {
  /// The policy that a spec asks for.
  public init(_ spec: ScalingSpec, minimum: Int, maximum: Int) {
    self.init(
      minimum: minimum, maximum: maximum,
      concurrency: spec.concurrency
        ?? (spec.requestsPerSecond == nil && spec.cpuPercent == nil && spec.gauge == nil ? 0.7 : nil),
      requestsPerSecond: spec.requestsPerSecond, cpus: spec.cpuPercent.map { $0 / 100 },
      gauge: spec.gauge?.target, stableSeconds: spec.stableSeconds ?? 60,
      panicSeconds: spec.panicSeconds ?? 2, leaveSeconds: spec.leaveSeconds ?? 60,
      lastLeaveSeconds: spec.lastLeaveSeconds ?? 300)
  }
}

extension ScalingDecision {
  /// For people: what was seen, and what follows.
  public var message: String {
    let figures =
      signal.map { signal in
        "\(Self.short(load)) \(signal.words) over the last \(window) s, \(Self.short(aim)) meant for each instance"
      } ?? "no requests over the last \(window) s"
    return switch reason {
    case .load, .steady: figures
    case .panic: "sudden load: \(figures)"
    case .wake: "a request waits and there was no instance"
    case .waiting: "fewer would do (\(figures)), but not for long enough yet"
    case .slack: "fewer would do, but would be nearly full: \(figures)"
    case .idle: "nothing was asked for long enough"
    case .minimum: "the least instances that are allowed; \(figures)"
    case .maximum: "the most instances that are allowed; \(figures)"
    }
  }

  private static func short(_ value: Double) -> String {
    let hundredths = Int((min(value, 1e9) * 100).rounded())
    return hundredths % 100 == 0
      ? "\(hundredths / 100)" : "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100)"
  }
}

extension ScalingSignal {
  var words: String {
    switch self {
    case .concurrency: "requests at a time"
    case .requestsPerSecond: "requests per second"
    case .cpus: "cores busy"
    case .gauge: "by the node's gauge"
    }
  }
}
