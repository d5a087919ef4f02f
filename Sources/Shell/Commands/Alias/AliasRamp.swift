internal import ControlClient
internal import Domain

/// `roost alias ramp`
enum AliasRamp {
  static let command: Command = Command(
    "alias ramp", "move requests to a node step by step, guarded",
    purpose:
      "Moves an alias' requests to a node step by step, compares its errors and times with those of the others in the same window, and brings the old shares back by itself when it is worse. Without --to it shows the newest ramp with its journal.",
    arguments: [Positional("ALIAS", "id or name")],
    flags: [
      Flag("to", .text, value: "NODE", "the candidate, id or name"),
      Flag("steps", .text, value: "PERCENT,...", "its percents, rising (1,5,25,50,100)"),
      Flag("every", .duration, "least time of a step (2m)"),
      Flag(
        "guard", .text, value: "GUARDS",
        "errors<1%: most of its answers that may be failures; p95<+20%: how much longer it may take than the others; both with a comma between (errors<1%,p95<+20%)"
      ),
      Flag(
        "min-requests", .integer, value: "N",
        "requests of the candidate in a step without which nothing is decided (100)"),
      Flag("generation", .integer, value: "N", "refuse when the alias was changed since this generation"),
      Flag(
        "allow-breaking", .toggle, "take a node whose API breaks what callers of the present ones rely on"),
      Flag("wait", .toggle, "wait for its end; fails when it was rolled back or aborted"),
      Flag("wait-timeout", .duration, "longest wait (without end)"),
    ],
    examples: [
      "roost alias ramp prod --to green",
      "roost alias ramp prod --to green --steps 1,5,25,50,100 --every 2m --guard 'errors<1%,p95<+20%'",
      "roost alias ramp prod",
    ],
    run: { context in
      let command = AliasRamp.command
      let client = try context.client()
      var ramp: RampResource
      if let request = try request(context, command) {
        ramp = try client.startRamp(context.first, request)
      } else {
        ramp = try client.ramp(context.first)
      }
      if context.parsed.toggle("wait") || context.parsed.duration("wait-timeout") != nil {
        ramp = try await end(of: ramp, client, context)
      }
      try context.show(ramp, names: [ramp.aliasName]) { text(ramp, context) }
      guard context.parsed.toggle("wait") || context.parsed.duration("wait-timeout") != nil,
        ramp.status == .rolledBack || ramp.status == .aborted
      else { return }
      throw CommandFailure(
        .failed, "the ramp of alias \(ramp.aliasName) ended \(ramp.status.rawValue): \(ramp.message)")
    })

  private static func request(
    _ context: Context, _ command: Command
  ) throws(CommandFailure) -> StartRampRequest? {
    let parsed = context.parsed
    guard let to = parsed.text("to") else {
      for name in ["steps", "every", "guard", "min-requests", "generation"] where parsed.text(name) != nil {
        throw .usage("--\(name): there is no candidate; name it with --to NODE", command)
      }
      guard !parsed.toggle("allow-breaking") else {
        throw .usage("--allow-breaking: there is no candidate; name it with --to NODE", command)
      }
      return nil
    }
    return StartRampRequest(
      to: to, steps: try steps(parsed, "steps", command),
      stepSeconds: parsed.duration("every").map { $0 / .seconds(1) },
      guards: try parsed.text("guard").map { (text) throws(CommandFailure) in try guards(text, command) },
      minimumRequests: parsed.integer("min-requests"), generation: parsed.integer("generation"),
      allowBreaking: parsed.toggle("allow-breaking") ? true : nil)
  }

  /// `1,5,25,50,100`, also with signs of percent.
  static func steps(
    _ parsed: ParsedArguments, _ flag: String, _ command: Command
  ) throws(CommandFailure) -> [Int]? {
    guard let text = parsed.text(flag) else { return nil }
    var found: [Int] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let digits = part.hasSuffix("%") ? part.dropLast() : part
      guard let percent = Int(digits) else {
        throw .usage("--\(flag): '\(text)' must be percents with commas between, like 1,5,25,50,100", command)
      }
      found.append(percent)
    }
    return found
  }

  /// `errors<1%,p95<+20%`.
  static func guards(_ text: String, _ command: Command) throws(CommandFailure) -> RampGuards {
    var guards = RampGuards()
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let sides = part.filter { $0 != " " }.split(separator: "<", maxSplits: 1)
      let isErrors = sides.first == "errors"
      let prefix = isErrors ? "" : "+"
      guard sides.count == 2, isErrors || sides[0] == "p95", sides[1].hasPrefix(prefix),
        sides[1].hasSuffix("%"), let percent = Double(sides[1].dropFirst(prefix.count).dropLast())
      else {
        throw .usage(
          "--guard: '\(part)' must be errors<PERCENT% or p95<+PERCENT%, like errors<1%,p95<+20%", command)
      }
      guard isErrors ? guards.errorRate == nil : guards.p95Increase == nil else {
        throw .usage("--guard: '\(text)' names \(isErrors ? "errors" : "p95") twice", command)
      }
      if isErrors { guards.errorRate = percent / 100 } else { guards.p95Increase = percent / 100 }
    }
    return guards
  }

  private static func end(
    of started: RampResource, _ client: ControlClient, _ context: Context
  ) async throws -> RampResource {
    let start = context.surroundings.uptime()
    var line = ProgressLine(context)
    var ramp = started
    while ramp.status.isUnderWay {
      let waited = context.surroundings.uptime() - start
      if let limit = context.parsed.duration("wait-timeout"), waited >= limit {
        line.clear()
        throw CommandFailure(
          .timeout, "the ramp of alias \(ramp.aliasName) is still \(ramp.status.rawValue): \(ramp.message)",
          details: ["look at it with: roost alias ramp \(ramp.aliasName)"])
      }
      line.show(
        "\(ramp.percent) % at \(ramp.nodeName): \(ramp.journal?.last?.message ?? ramp.message)",
        age: Quantity.age(waited))
      try await context.surroundings.pause(.milliseconds(500))
      ramp = try client.ramp(ramp.aliasName)
    }
    line.clear()
    return ramp
  }

  // MARK: Text

  static func text(_ ramp: RampResource, _ context: Context) -> String {
    var text = facts(ramp, context).text + "\n" + numbers(ramp).text
    guard let journal = ramp.journal, !journal.isEmpty else { return text }
    var table = Table("WHEN", "RAMP", "WHAT", "PERCENT", "BY", "SEEN")
    for event in journal {
      table.add(
        "\(context.age(of: event.at)) ago", "\(event.ramp)", event.kind.rawValue, "\(event.percent) %",
        event.by,
        event.message)
    }
    text += "\n" + table.text
    return text
  }

  private static func facts(_ ramp: RampResource, _ context: Context) -> Facts {
    var facts = Facts()
    facts.add("Alias", ramp.aliasName)
    facts.add("Candidate", ramp.nodeName)
    facts.add("Status", ramp.status.rawValue)
    facts.add(
      "Step",
      "\(ramp.step) of \(ramp.plan.steps.count), \(ramp.percent) %, \(Int(ramp.stepElapsedSeconds)) s of it")
    facts.add("Plan", plan(ramp.plan))
    facts.add("Found", ramp.message)
    facts.add("Started", "\(ramp.startedAt) (\(context.age(of: ramp.startedAt)) ago) by \(ramp.startedBy)")
    if let ended = ramp.endedAt { facts.add("Ended", "\(ended) (\(context.age(of: ended)) ago)") }
    return facts
  }

  private static func plan(_ plan: RampPlan) -> String {
    func percent(_ part: Double) -> String {
      let hundredths = Int((part * 10000).rounded())
      return hundredths % 100 == 0 ? "\(hundredths / 100)" : "\(Double(hundredths) / 100)"
    }
    let guards = [
      plan.maximumErrorRate.map { "errors<\(percent($0))%" },
      plan.maximumP95Increase.map { "p95<+\(percent($0))%" },
    ].compactMap { $0 }.joined(separator: ",")
    return
      "\(plan.steps.map(String.init).joined(separator: ",")) % every \(plan.stepSeconds) s, \(guards), at least \(plan.minimumRequests) requests"
  }

  private static func numbers(_ ramp: RampResource) -> Table {
    var table = Table("SIDE", "REQUESTS", "FAILED", "P95")
    for (side, numbers) in [(ramp.nodeName, ramp.candidate), ("the others", ramp.others)] {
      table.add(
        side, "\(numbers.requests)", AliasDescribe.percent(numbers.failures, of: numbers.requests),
        AliasDescribe.time(numbers.p95Milliseconds))
    }
    return table
  }

  /// The lines of `alias describe`.
  static func summary(_ ramp: RampResource) -> String {
    var facts = Facts()
    facts.add("Ramp", "\(ramp.status.rawValue) to \(ramp.nodeName), \(ramp.percent) %: \(ramp.message)")
    guard ramp.status.isUnderWay else { return facts.text }
    return facts.text + "\n" + numbers(ramp).text
  }
}
