import Domain
import Planning

/// What came of one recorded request that was sent again.
struct ReplayOutcome: Sendable {
  /// Nil: equal.
  var difference: AnswerDifference?
  var isFailure: Bool
  var onlyShape: Bool
  var expectedMicroseconds: Int
  var foundMicroseconds: Int?

  /// Sends the request and compares; waits for a place at the node.
  static func of(
    _ record: RecordedExchange, against node: NodeID, _ comparer: AnswerComparer, _ redactor: Redactor,
    _ sink: any RoutingSink, patience: Int
  ) async -> ReplayOutcome {
    let expected = record.compared
    let id = "replay-" + record.id.prefix(57)
    var outcome = ReplayOutcome(
      difference: nil, isFailure: false, onlyShape: record.isRedacted,
      expectedMicroseconds: expected.microseconds)
    var difference = AnswerDifference(
      requestId: record.id, at: record.at, target: nil, expectedStatus: expected.status, foundStatus: nil,
      expectedMilliseconds: Double(expected.microseconds) / 1000, foundMilliseconds: nil, count: 1, places: []
    )
    guard let content = record.request(requestID: id) else {
      outcome.isFailure = true
      outcome.difference = difference
      return outcome
    }
    difference.target = content.title
    switch await result(
      NodeCall(
        node: node, requestID: id, content: content, mayWait: true, timeoutMilliseconds: patience,
        mostAnswerBytes: MirrorValidation.mostBodyBytes), sink)
    {
    case .busy: return failure(outcome, difference, "no place was free for \(patience / 1000) s")
    case .failed(let reason): return failure(outcome, difference, reason)
    case .answered(let status, let contentType, let body, let microseconds, let byNode):
      var found = ComparedAnswer(
        status: status, contentType: contentType, body: body, microseconds: microseconds)
      if case .execute = content { found.wrapOutputs() }
      // What is not kept of one answer can't be compared with the other's.
      let isJSON = AnswerComparer.bare(contentType).hasSuffix("json")
      if let clean = redactor.body(found.body, isJSON: isJSON) { found.body = clean.bytes }
      (difference.count, difference.places) = comparer.compare(
        expected, found, onlyShape: record.isRedacted)
      difference.foundStatus = status
      difference.foundMilliseconds = Double(microseconds) / 1000
      outcome.isFailure = !byNode
      outcome.foundMicroseconds = byNode ? microseconds : nil
      outcome.difference = difference.count > 0 || !byNode ? difference : nil
      return outcome
    }
  }

  private static func failure(
    _ outcome: ReplayOutcome, _ difference: AnswerDifference, _ reason: String
  ) -> ReplayOutcome {
    var outcome = outcome
    outcome.isFailure = true
    outcome.difference = difference
    outcome.difference?.places = [
      AnswerPlaceDifference(
        path: "status", kind: "status", expected: "\(difference.expectedStatus)", found: reason)
    ]
    return outcome
  }

  /// Servers have no queue for it: it asks again until a place is free.
  private static func result(_ call: NodeCall, _ sink: any RoutingSink) async -> NodeCallResult {
    let deadline = ContinuousClock.now + .milliseconds(call.timeoutMilliseconds)
    var pause = Duration.milliseconds(5)
    while true {
      let result = await sink.call(call)
      guard result == .busy, ContinuousClock.now < deadline, !Task.isCancelled else { return result }
      try? await Task.sleep(for: pause)
      pause = min(pause * 2, .milliseconds(200))
    }
  }
}

/// All outcomes of a replay together.
struct ReplayTally {
  private(set) var requests = 0
  private(set) var different = 0
  private(set) var failed = 0
  private(set) var onlyShape = 0
  private(set) var latency = LatencyPairs(most: 100_000)
  private(set) var worst = WorstDifferences()

  var mismatches: Int { different + failed }
  var equal: Int { requests - mismatches }
  var mismatchPercent: Double { requests == 0 ? 0 : Double(mismatches) * 100 / Double(requests) }

  mutating func add(_ outcome: ReplayOutcome) {
    requests += 1
    if outcome.onlyShape { onlyShape += 1 }
    if outcome.isFailure { failed += 1 } else if outcome.difference != nil { different += 1 }
    if let difference = outcome.difference { worst.add(difference) }
    if let found = outcome.foundMicroseconds {
      latency.add(expectedMicroseconds: outcome.expectedMicroseconds, foundMicroseconds: found)
    }
  }

  /// Why the node did not pass; none: it did.
  func reasons(maxMismatchPercent: Double, maxLatencyRatio: Double?) -> [String] {
    guard requests > 0 else { return ["nothing was sent: there are no recorded requests"] }
    var reasons: [String] = []
    if mismatchPercent > maxMismatchPercent {
      reasons.append(
        "\(mismatches) of \(requests) answers did not match (\(Self.text(mismatchPercent)) %), \(Self.text(maxMismatchPercent)) % are allowed"
      )
    }
    if let limit = maxLatencyRatio, let ratio = latency.comparison?.ratioP50, ratio > limit {
      reasons.append(
        "its median time is \(Self.text(ratio)) times the recorded one, \(Self.text(limit)) are allowed")
    }
    return reasons
  }

  static func text(_ number: Double) -> String {
    let hundredths = Int((number * 100).rounded())
    return hundredths % 100 == 0
      ? "\(hundredths / 100)" : "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100)"
  }
}
