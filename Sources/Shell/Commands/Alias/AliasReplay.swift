internal import ControlClient
internal import Domain

/// `roost alias replay`
enum AliasReplay {
  static let command: Command = Command(
    "alias replay", "send recorded requests to a node and compare answers",
    purpose:
      "Sends the recorded requests of an alias to a node, before any caller is sent there, and reports mismatches and times. Exits with 1 when it did not pass.",
    arguments: [Positional("ALIAS", "id or name")],
    flags: [
      Flag("against", .text, value: "NODE", "who is to answer them", required: true),
      Flag("limit", .integer, value: "N", "only the newest so many requests"),
      Flag("concurrency", .integer, value: "N", "requests that the node has at once (1)"),
      Flag(
        "max-mismatch", .text, value: "PART",
        "answers that may differ: 0.01 or 1% (what the recording demands, else 0)"),
      Flag(
        "max-slower", .number, value: "FACTOR", "how many times as long the node may take (any)"),
    ] + AnswerFlags.flags + [Flag("wait-timeout", .duration, "longest wait (5m)")],
    examples: [
      "roost alias replay prod --against green",
      "roost alias replay prod --against green --max-mismatch 1% --max-slower 1.5 -o json",
    ],
    run: { context in
      let (command, parsed) = (AliasReplay.command, context.parsed)
      let request = ReplayAliasRequest(
        node: parsed.text("against") ?? "", limit: parsed.integer("limit"),
        concurrency: parsed.integer("concurrency"),
        maxMismatchPercent: try AnswerFlags.part("max-mismatch", context, command).map { $0 * 100 },
        maxLatencyRatio: parsed.number("max-slower"), rules: try AnswerFlags.rules(context, command))
      let client = try context.client()
      let operation = try client.replay(context.first, request)
      _ = try await OperationWaiter(client: client, context: context).end(of: operation)
      let report = try client.replayReport(context.first, operation.id.text)
      try context.show(report, names: [report.id.text]) { text(report) }
      guard report.verdict == .failed else { return }
      throw CommandFailure(
        .failed, "\(report.nodeName) did not pass: \(report.reasons.joined(separator: "; "))")
    })

  static func text(_ report: ReplayResource) -> String {
    var facts = Facts()
    facts.add("Alias", report.alias)
    facts.add("Node", "\(report.nodeName), release \(report.release)")
    facts.add("Verdict", report.verdict.rawValue)
    facts.add("Reasons", report.reasons.joined(separator: "; "))
    facts.add(
      "Answers",
      "\(report.requests): \(report.equal) equal, \(report.different) different, \(report.failed) failed (\(AnswerFlags.short(report.mismatchPercent)) % mismatches)"
    )
    if report.onlyShape > 0 {
      facts.add("Shapes only", "\(report.onlyShape), whose requests were redacted")
    }
    if let latency = report.latency { facts.add("Latency", AnswerFlags.text(latency)) }
    return facts.text + AnswerFlags.text(report.worst)
  }
}
