internal import ControlClient
internal import Domain

/// `roost alias mirror`
enum AliasMirror {
  static let command: Command = Command(
    "alias mirror", "send copies of requests to a candidate and compare answers",
    purpose:
      "Sends copies of an alias' requests to a node that is not to serve yet, beside the requests themselves, and shows where its answers differ. Callers notice nothing of it. Without flags: how the mirror does.",
    arguments: [Positional("ALIAS", "id or name")],
    flags: [
      Flag("to", .text, value: "NODE", "the candidate: begins to mirror, or mirrors otherwise"),
      Flag("percent", .number, value: "PERCENT", "how many of the requests are copied (100)"),
      Flag("compare", .choice(["on", "off"]), "compare answers (on), or throw them away"),
    ] + AnswerFlags.flags + [
      Flag("max-concurrent", .integer, value: "N", "copies that the candidate has at once at most (4)"),
      Flag("max-rate", .size, "bytes of requests and answers in a second at most (16MiB)"),
      Flag("max-body", .size, "requests and answers with longer bodies are not copied (1MiB)"),
      Flag("slower", .number, value: "FACTOR", "an answer that took so many times as long is a difference"),
      Flag("off", .toggle, "mirror no more"), Flag("status", .toggle, "how the mirror does"),
    ],
    examples: [
      "roost alias mirror prod --to green --percent 10",
      "roost alias mirror prod --to green --tolerance 0.001 --ignore output.took --unordered output.items",
      "roost alias mirror prod", "roost alias mirror prod --off",
    ],
    run: { context in
      let (command, parsed) = (AliasMirror.command, context.parsed)
      let client = try context.client()
      let isOff = parsed.toggle("off")
      guard let node = parsed.text("to") else {
        let settings = command.flags.map(\.name).filter { !["off", "status", "to"].contains($0) }
        if let flag = settings.first(where: { name in AnswerFlags.isGiven(name, command, parsed) }) {
          throw CommandFailure.usage(
            "--\(flag): settings need the candidate too: give --to NODE (all settings are anew)", command)
        }
        guard isOff else {
          let status = try client.mirror(context.first)
          return try context.show(status, names: [status.alias]) { text(status, context) }
        }
        try client.deleteMirror(context.first)
        return context.note("alias \(context.first) mirrors no more")
      }
      guard !isOff, !parsed.toggle("status") else {
        throw CommandFailure.usage("--to can't be given with --off or --status", command)
      }
      let request = SetAliasMirrorRequest(
        node: node, percent: parsed.number("percent"), compare: parsed.text("compare").map { $0 == "on" },
        tolerance: try AnswerFlags.tolerance(context, command),
        ignore: AnswerFlags.list("ignore", parsed), unordered: AnswerFlags.list("unordered", parsed),
        maxConcurrent: parsed.integer("max-concurrent"),
        maxBytesPerSecond: parsed.size("max-rate").map { Int($0) },
        maxBodyBytes: parsed.size("max-body").map { Int($0) }, slower: parsed.number("slower"))
      let status = try client.setMirror(context.first, request)
      try context.show(status, names: [status.alias]) { text(status, context) }
    })

  static func text(_ status: AliasMirrorResource, _ context: Context) -> String {
    guard let spec = status.spec else {
      return
        "alias \(status.alias) has no mirror; begin with: roost alias mirror \(status.alias) --to NODE\n"
    }
    var facts = Facts()
    facts.add("Alias", status.alias)
    facts.add("Candidate", status.nodeName ?? "")
    facts.add("State", status.state.rawValue + (status.reason.map { ": \($0)" } ?? ""))
    facts.add("Copied", "\(AnswerFlags.short(spec.percent)) % of the requests")
    if let since = status.since { facts.add("Since", "\(since) (\(context.age(of: since)) ago)") }
    facts.add("Sent", "\(status.sent)")
    if spec.compare {
      facts.add("Answers", "\(status.equal) equal, \(status.different) different, \(status.failed) failed")
    } else {
      facts.add("Answers", "thrown away; \(status.failed) failed")
    }
    let dropped = status.dropped
    let reasons = [
      (dropped.overBudget, "over budget"), (dropped.busy, "candidate busy"), (dropped.tooLarge, "too large"),
      (dropped.overMemory, "no memory"), (dropped.notCopyable, "streams and calls"),
      (dropped.unanswered, "not answered by a node"),
    ]
    let list = reasons.filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }.joined(separator: ", ")
    facts.add("Not copied", list.isEmpty ? "0" : list)
    if let latency = status.latency { facts.add("Latency", AnswerFlags.text(latency)) }
    return facts.text + AnswerFlags.text(status.worst)
  }
}
