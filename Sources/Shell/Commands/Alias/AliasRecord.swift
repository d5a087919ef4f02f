internal import ControlClient
internal import Domain

/// `roost alias record`
enum AliasRecord {
  static let command: Command = Command(
    "alias record", "keep recent requests and answers, to be sent again",
    purpose:
      "Keeps some of an alias' requests with their answers, encrypted and without credentials, so that they can be sent to another node before it serves (roost alias replay). Without flags: what is kept.",
    arguments: [Positional("ALIAS", "id or name")],
    flags: [
      Flag("on", .toggle, "begin to record, or record otherwise: all settings are anew"),
      Flag("off", .toggle, "record no more; what is kept stays until it is too old"),
      Flag("clear", .toggle, "record no more, and forget settings and everything that is kept"),
      Flag("percent", .number, value: "PERCENT", "how many of the requests are kept (10)"),
      Flag("max-bytes", .size, "of all that is kept; the oldest goes first (16MiB)"),
      Flag("max-age", .duration, "what is older goes (24h)"),
      Flag("max-body", .size, "requests and answers with longer bodies are not kept (256KiB)"),
      Flag(
        "redact", .text, value: "PLACE",
        "a place in requests and answers whose value is taken out: input.card.number, **.pin; instead of the usual ones (**.password, **.token...)",
        repeatable: true),
      Flag(
        "redact-header", .text, value: "NAME",
        "a header or parameter that is taken out, beside those with credentials", repeatable: true),
      Flag("opaque", .choice(["on", "off"]), "keep bodies that are not JSON too (off)"),
    ] + AnswerFlags.flags + [
      Flag(
        "require-replay", .toggle, "a node gets its first share only after it has passed a replay"),
      Flag(
        "max-mismatch", .text, value: "PART",
        "answers that may differ in a replay that passes: 0.01 or 1% (0)"),
      Flag("max-slower", .number, value: "FACTOR", "how many times as long a node that passes may take"),
      Flag("min-requests", .integer, value: "N", "so many requests a replay that passes has sent (1)"),
    ],
    examples: [
      "roost alias record prod --on --percent 5 --redact input.card --redact '**.email'",
      "roost alias record prod --on --require-replay --max-mismatch 1%", "roost alias record prod",
      "roost alias record prod --off",
    ],
    run: { context in
      let (command, parsed) = (AliasRecord.command, context.parsed)
      let client = try context.client()
      let given = ["on", "off", "clear"].filter { parsed.toggle($0) }
      guard given.count <= 1 else {
        throw CommandFailure.usage("--\(given.joined(separator: " and --")) exclude each other", command)
      }
      let settings = command.flags.map(\.name).filter { !["on", "off", "clear"].contains($0) }
      if given != ["on"], let flag = settings.first(where: { AnswerFlags.isGiven($0, command, parsed) }) {
        throw CommandFailure.usage(
          "--\(flag): settings are given together with --on (all settings are anew)", command)
      }
      let alias = context.first
      switch given.first {
      case "clear":
        try client.deleteRecording(alias)
        return context.note("alias \(alias) records no more, and what was kept is gone")
      case "off":
        guard var request = try client.recording(alias).spec.map(request) else {
          return context.note("alias \(alias) records nothing")
        }
        request.enabled = false
        let status = try client.setRecording(alias, request)
        try context.show(status, names: [status.alias]) { text(status, context) }
      case "on":
        let status = try client.setRecording(alias, try request(context, command))
        try context.show(status, names: [status.alias]) { text(status, context) }
      default:
        let status = try client.recording(alias)
        try context.show(status, names: [status.alias]) { text(status, context) }
      }
    })

  /// The same settings.
  private static func request(_ spec: AliasRecordSpec) -> SetAliasRecordingRequest {
    SetAliasRecordingRequest(
      enabled: spec.enabled, percent: spec.percent, maxBytes: spec.maxBytes,
      maxAgeSeconds: spec.maxAgeSeconds, maxBodyBytes: spec.maxBodyBytes, redact: spec.redact,
      redactHeaders: spec.redactHeaders, opaque: spec.opaque, rules: spec.rules, gate: spec.gate)
  }

  private static func request(_ context: Context, _ command: Command) throws -> SetAliasRecordingRequest {
    let parsed = context.parsed
    var request = SetAliasRecordingRequest(
      percent: parsed.number("percent"), maxBytes: parsed.size("max-bytes").map { Int($0) },
      maxAgeSeconds: parsed.duration("max-age").map { Int($0.components.seconds) },
      maxBodyBytes: parsed.size("max-body").map { Int($0) }, redact: AnswerFlags.list("redact", parsed),
      redactHeaders: AnswerFlags.list("redact-header", parsed),
      opaque: parsed.text("opaque").map { $0 == "on" }, rules: try AnswerFlags.rules(context, command))
    let mismatch = try AnswerFlags.part("max-mismatch", context, command)
    guard parsed.toggle("require-replay") else {
      guard mismatch == nil, parsed.number("max-slower") == nil, parsed.integer("min-requests") == nil else {
        throw CommandFailure.usage(
          "--max-mismatch, --max-slower and --min-requests need --require-replay", command)
      }
      return request
    }
    request.gate = AliasReplayGate(
      maxMismatchPercent: (mismatch ?? 0) * 100, maxLatencyRatio: parsed.number("max-slower"),
      minRequests: parsed.integer("min-requests") ?? 1)
    return request
  }

  static func text(_ status: AliasRecordingResource, _ context: Context) -> String {
    guard let spec = status.spec else {
      return
        "alias \(status.alias) records nothing; begin with: roost alias record \(status.alias) --on\n"
    }
    var facts = Facts()
    facts.add("Alias", status.alias)
    facts.add("State", status.state.rawValue)
    facts.add("Recorded", "\(AnswerFlags.short(spec.percent)) % of the requests")
    facts.add("Kept", "\(status.requests) requests, \(status.bytes / 1024) KiB of \(spec.maxBytes / 1024)")
    if let oldest = status.oldest { facts.add("Oldest", "\(oldest) (\(context.age(of: oldest)) ago)") }
    facts.add("Longest", "\(spec.maxAgeSeconds / 60) minutes")
    facts.add("Redacted", spec.redact.joined(separator: ", "))
    facts.add("Headers", spec.redactHeaders.joined(separator: ", "))
    if let gate = spec.gate {
      let slower = gate.maxLatencyRatio.map { ", at most \(AnswerFlags.short($0)) times as long" } ?? ""
      facts.add(
        "Gate",
        "a replay of at least \(gate.minRequests) requests, at most \(AnswerFlags.short(gate.maxMismatchPercent)) % different\(slower)"
      )
    }
    let dropped = status.dropped
    let reasons = [
      (dropped.overBudget, "too many at once"), (dropped.tooLarge, "too large"),
      (dropped.overMemory, "no memory"), (dropped.notCopyable, "streams, calls, or nothing to redact in"),
      (dropped.unanswered, "not answered by a node"), (dropped.failed, "not written"),
    ]
    let list = reasons.filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }.joined(separator: ", ")
    facts.add("Not kept", list.isEmpty ? "0" : list)
    return facts.text
  }
}
