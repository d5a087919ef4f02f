internal import Domain

/// What commands take that compare answers, and how they show what they found.
enum AnswerFlags {
  static let flags: [Flag] = [
    Flag(
      "tolerance", .text, value: "PART",
      "how far numbers may be apart, as a part of the larger one: 0.01 or 1% (0)"),
    Flag(
      "ignore", .text, value: "PLACE", "a place in answers that is not compared: output.at, **.time",
      repeatable: true),
    Flag("unordered", .text, value: "PLACE", "a list that is equal in any order", repeatable: true),
  ]

  static func list(_ name: String, _ parsed: ParsedArguments) -> [String]? {
    let texts = parsed.texts(name)
    return texts.isEmpty ? nil : texts
  }

  /// `0.01` or `1%`.
  static func tolerance(_ context: Context, _ command: Command) throws -> Double? {
    try part("tolerance", context, command)
  }

  /// Nil: none was given.
  static func rules(_ context: Context, _ command: Command) throws -> AnswerRules? {
    let (ignore, unordered) = (context.parsed.texts("ignore"), context.parsed.texts("unordered"))
    let tolerance = try tolerance(context, command)
    guard tolerance != nil || !ignore.isEmpty || !unordered.isEmpty else { return nil }
    return AnswerRules(tolerance: tolerance ?? 0, ignore: ignore, unordered: unordered)
  }

  static func part(_ name: String, _ context: Context, _ command: Command) throws -> Double? {
    guard let text = context.parsed.text(name) else { return nil }
    let isPercent = text.hasSuffix("%")
    guard let number = Double(isPercent ? String(text.dropLast()) : text), number >= 0 else {
      throw CommandFailure.usage("--\(name): '\(text)' must be a part like 0.01 or 1%", command)
    }
    return isPercent ? number / 100 : number
  }

  static func isGiven(_ name: String, _ command: Command, _ parsed: ParsedArguments) -> Bool {
    guard let flag = command.flags.first(where: { $0.name == name }) else { return false }
    switch flag.kind {
    case .toggle: return parsed.toggle(name)
    case .integer: return parsed.integer(name) != nil
    case .number: return parsed.number(name) != nil
    case .size: return parsed.size(name) != nil
    case .duration: return parsed.duration(name) != nil
    case .text, .choice: return !parsed.texts(name).isEmpty
    }
  }

  /// At most two digits behind the point.
  static func short(_ number: Double) -> String {
    let hundredths = Int((number * 100).rounded())
    guard hundredths % 100 != 0 else { return "\(hundredths / 100)" }
    let rest = hundredths % 100
    return "\(hundredths / 100)." + (rest < 10 ? "0\(rest)" : rest % 10 == 0 ? "\(rest / 10)" : "\(rest)")
  }

  static func time(_ milliseconds: Double?) -> String {
    guard let milliseconds else { return "-" }
    let tenths = Int((milliseconds * 10).rounded())
    return "\(tenths / 10).\(tenths % 10) ms"
  }

  static func text(_ latency: LatencyComparison) -> String {
    "p50 \(time(latency.foundP50Milliseconds)) against \(time(latency.expectedP50Milliseconds)) (\(short(latency.ratioP50)) times), "
      + "p95 \(time(latency.foundP95Milliseconds)) against \(time(latency.expectedP95Milliseconds)) (\(short(latency.ratioP95)) times), of \(latency.requests) requests"
  }

  /// The worst differences as a table; empty without any.
  static func text(_ worst: [AnswerDifference]) -> String {
    guard !worst.isEmpty else { return "" }
    var table = Table("REQUEST", "STATUS", "TIME", "PLACE", "EXPECTED", "FOUND")
    for difference in worst {
      let first = difference.places.first
      let more = difference.count > 1 ? " (+\(difference.count - 1))" : ""
      table.add(
        difference.requestId,
        "\(difference.expectedStatus) > \(difference.foundStatus.map(String.init) ?? "none")",
        "\(time(difference.expectedMilliseconds)) > \(time(difference.foundMilliseconds))",
        Table.oneLine((first?.path ?? "") + more, width: 40),
        Table.oneLine(first?.expected ?? "-", width: 40), Table.oneLine(first?.found ?? "-", width: 60))
    }
    return "\nWorst differences:\n" + table.text
  }
}
