public import Domain
import Planning

/// Runs the policy of a node over recorded requests.
public enum ScalingWhatIf {
  public static let mostRequests = 200_000
  public static let mostSeconds = 21_600.0

  /// May take seconds: not to be called on threads that all share. Throws what is wrong with the recording.
  public static func run(
    _ request: WhatIfRequest, over spec: NodeSpec
  ) throws(PlatformError) -> WhatIfResource {
    let arrivals = try arrivals(request)
    let range = spec.instances
    let least = request.minimum ?? range.min
    let most = request.maximum ?? max(range.max, least)
    try FieldCheck.within(Double(least), 0...100, "minimum", "instances")
    try FieldCheck.within(Double(most), Double(max(least, 1))...100, "maximum", "instances")
    var asked =
      try NodeSpecBuilder.scaling(
        RequestedInstances(min: least, max: max(most, least + 1)), request.scaling ?? spec.scaling)
      ?? ScalingSpec()
    // A recording of requests does not have them.
    asked.cpuPercent = nil
    asked.gauge = nil
    if asked.concurrency == nil, asked.requestsPerSecond == nil, spec.image != nil { asked.concurrency = 5 }
    let start = request.startSeconds ?? (spec.image == nil ? 0.05 : 1)
    let width = request.width ?? (spec.image == nil ? 1 : 100)
    try FieldCheck.within(start, 0...3600, "startSeconds", "seconds")
    try FieldCheck.within(Double(width), 1...100_000, "width", "requests")
    let policy = ScalingPolicy(asked, minimum: least, maximum: most)
    let last = arrivals.last?.seconds ?? 0
    // Long enough to see instances leave again.
    let rest = Double(
      policy.stableSeconds + policy.leaveSeconds + (least == 0 ? policy.lastLeaveSeconds : 0) + 15)
    let seconds = Int(min(last + rest, mostSeconds + 3600).rounded(.up))
    let report = ScalingSimulation(policy: policy, startSeconds: start, width: width).run(
      arrivals, seconds: seconds, count: max(least, 1))
    return WhatIfResource(
      requests: arrivals.count, seconds: seconds, peak: report.peak,
      instanceSeconds: (report.instanceSeconds * 10).rounded() / 10,
      p50WaitSeconds: report.wait(quantile: 0.5), p95WaitSeconds: report.wait(quantile: 0.95),
      p99WaitSeconds: report.wait(quantile: 0.99), longestWaitSeconds: report.waits.last ?? 0,
      unanswered: arrivals.count - report.waits.count,
      changes: report.changes.map {
        WhatIfChange(
          seconds: $0.seconds, from: $0.from, to: $0.decision.count, reason: $0.decision.reason.rawValue,
          message: $0.decision.message)
      }, counts: report.counts)
  }

  private static func arrivals(
    _ request: WhatIfRequest
  ) throws(PlatformError) -> [ScalingSimulation.Arrival] {
    guard (1...mostRequests).contains(request.seconds.count) else {
      throw .invalid(
        "seconds", "seconds: 1 to \(mostRequests) requests, there are \(request.seconds.count)")
    }
    let service = request.serviceSeconds ?? 0.1
    try FieldCheck.within(service, 0...3600, "serviceSeconds", "seconds")
    if let services = request.services, services.count != request.seconds.count {
      throw .invalid(
        "services",
        "services: \(services.count) numbers for \(request.seconds.count) requests; give one for each")
    }
    var result: [ScalingSimulation.Arrival] = []
    for (index, seconds) in request.seconds.enumerated() {
      let took = request.services?[index] ?? service
      guard (0...mostSeconds).contains(seconds) else {
        throw .invalid(
          "seconds[\(index)]",
          "seconds[\(index)]: \(seconds) must lie between 0 and \(Int(mostSeconds)) (six hours)")
      }
      guard (0...3600).contains(took) else {
        throw .invalid(
          "services[\(index)]", "services[\(index)]: \(took) must lie between 0 and 3600 seconds")
      }
      result.append(ScalingSimulation.Arrival(seconds: seconds, serviceSeconds: took))
    }
    return result.sorted { $0.seconds < $1.seconds }
  }
}
