internal import ControlClient
internal import Domain

/// `roost node scaling`, and the flags that say how a node scales.
enum NodeScaling {
  static let flags: [Flag] = [
    Flag(
      "scale-concurrency", .number, value: "N",
      "requests that one instance has at a time (0.7; of image nodes 5)"),
    Flag("scale-rate", .number, value: "N", "requests per second of one instance (not looked at)"),
    Flag(
      "scale-cpu", .number, value: "PERCENT", "percent of one vCPU that one instance uses (not looked at)"),
    Flag(
      "scale-gauge", .text, value: "NAME=TARGET",
      "a metric of --telemetry, and how much of it one instance may have (not looked at)"),
    Flag("scale-leave", .duration, "an instance leaves when it wasn't needed for this long (60s)"),
    Flag(
      "scale-rest", .duration, "with --min 0: the last one leaves when nobody called for this long (300s)"),
  ]

  /// What the flags say; nil when none was given.
  static func spec(_ parsed: ParsedArguments, _ command: Command) throws(CommandFailure) -> ScalingSpec? {
    func seconds(_ flag: String) -> Int? {
      parsed.duration(flag).map { Int($0.fractionalSeconds.rounded(.up)) }
    }
    var gauge: ScalingGauge?
    if let text = parsed.text("scale-gauge") {
      let sides = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard sides.count == 2, !sides[0].isEmpty, let target = Double(sides[1]) else {
        throw .usage("--scale-gauge: '\(text)' must be NAME=TARGET, like queue_depth=10", command)
      }
      gauge = ScalingGauge(name: String(sides[0]), target: target)
    }
    let spec = ScalingSpec(
      concurrency: parsed.number("scale-concurrency"), requestsPerSecond: parsed.number("scale-rate"),
      cpuPercent: parsed.number("scale-cpu"), gauge: gauge,
      leaveSeconds: seconds("scale-leave"), lastLeaveSeconds: seconds("scale-rest"))
    return spec == ScalingSpec() ? nil : spec
  }

  static let command: Command = Command(
    "node scaling", "how many instances it has, and why",
    purpose:
      "Shows how the number of a node's instances follows its load: the number now, why it is that, and the last changes. A node scales when --min and a larger --max were given without --instances.",
    arguments: [Positional("NODE", "id or name")],
    flags: [
      Flag(
        "what-if", .text, value: "FILE",
        "what it would have done with recorded requests (CSV or JSON lines; docs/scaling.md)"),
      Flag("service", .duration, "how long a request takes whose line does not say so (100ms)"),
      Flag("start", .duration, "how long an instance takes to start (50ms; of containers 1s)"),
      Flag("width", .integer, value: "N", "requests that an instance takes at once (1; of containers 100)"),
      Flag("min", .integer, value: "N", "least instances (the node's)"),
      Flag("max", .integer, value: "N", "most instances (the node's)"),
    ] + flags,
    examples: ["roost node scaling my-node", "roost node update my-node --min 0 --max 8 --scale-rest 10m"],
    run: { context in
      if let file = context.parsed.text("what-if") {
        return try await NodeWhatIf.run(context, file, NodeScaling.command)
      }
      let scaling = try context.client().scaling(of: context.first)
      try context.show(scaling, names: [context.first]) { text(scaling, context) }
    })

  static func text(_ scaling: ScalingResource, _ context: Context) -> String {
    var facts = Facts()
    facts.add("Instances", "\(scaling.count)" + (scaling.automatic ? "" : ", fixed"))
    facts.add("Range", "\(scaling.minimum) to \(scaling.maximum)")
    facts.add("Why", scaling.message)
    if scaling.automatic { facts.add("Requests", "\(scaling.running) running, \(scaling.queued) waiting") }
    guard !scaling.events.isEmpty else { return facts.text }
    var table = Table("WHEN", "FROM", "TO", "REASON", "SEEN")
    for event in scaling.events {
      table.add(
        "\(context.age(of: event.at)) ago", String(event.from), String(event.to), event.reason, event.message)
    }
    return facts.text + "\n" + table.text
  }
}
