internal import ControlClient
internal import Domain

/// `roost node logs`
enum NodeLogs {
  static let command: Command = Command(
    "node logs", "what its instances wrote, and what happened to them",
    purpose:
      "Prints the log of a node: what the cell or the container wrote, with instance and request, and what happened to instances. Lines are chosen by the server; those of instances that are gone are kept, and for a while those of deleted nodes (roost node list --deleted).",
    arguments: [Positional("NODE", "id or name")],
    flags: [
      Flag("follow", short: "f", .toggle, "go on with new lines, until stopped"),
      Flag("tail", .integer, value: "N", "so many last lines first (100; with --since 10000)"),
      Flag("since", .text, value: "DURATION|TIME", "no older lines: 15m, 2h30m, 2026-05-01T12:00:00Z"),
      Flag("until", .text, value: "DURATION|TIME", "no newer lines"),
      Flag("previous", short: "p", .toggle, "only of instances that are gone"),
      Flag("instance", .text, value: "ID", "only of this instance"),
      Flag("release", .integer, value: "N", "only of this release"),
      Flag("stream", .text, value: "NAME", "only of this stream: stdout, stderr, output, system"),
      Flag("request", .text, value: "ID", "only of this request"),
      Flag(
        "grep", .text, value: "REGEX", "only lines that match; (?i) at its beginning: letters of either case"),
    ],
    examples: [
      "roost node logs my-node -f", "roost node logs my-node --since 1h --grep 'error|status=5[0-9]{2}'",
      "roost node logs my-node --previous --tail 50", "roost node logs my-node --request REQUEST_ID -o json",
    ],
    run: { context in
      let client = try context.client()
      let follows = context.parsed.toggle("follow")
      let filter = try filter(context, NodeLogs.command)
      guard !follows || context.parsed.text("until") == nil else {
        throw CommandFailure.usage(
          "--until: following has no end; leave one of the two out", NodeLogs.command)
      }
      var tail: Int? =
        context.parsed.integer("tail") ?? (context.parsed.text("since") == nil ? 100 : 10_000)
      var cursor: String?
      repeat {
        let wait = cursor == nil ? 0 : 20
        let page = try client.logs(
          of: context.first, after: cursor, tail: tail, waitSeconds: wait, filter: filter)
        for line in page.lines { context.print(try text(line, context.format)) }
        if follows, cursor != nil, page.lines.isEmpty {
          try await context.surroundings.pause(.milliseconds(100))
        }
        cursor = page.cursor
        tail = nil
      } while follows
    })

  private static func filter(_ context: Context, _ command: Command) throws(CommandFailure) -> [(
    String, String
  )] {
    let parsed = context.parsed
    var filter: [(String, String)] = []
    for name in ["since", "until"] {
      guard let text = parsed.text(name) else { continue }
      filter.append((name, try moment(text, name, command)))
    }
    for name in ["instance", "stream", "request", "grep"] {
      if let text = parsed.text(name) { filter.append((name, text)) }
    }
    if let release = parsed.integer("release") { filter.append(("release", String(release))) }
    if parsed.toggle("previous") { filter.append(("previous", "true")) }
    return filter
  }

  /// As the server takes it: a time, or seconds back from its own now.
  private static func moment(
    _ text: String, _ flag: String, _ command: Command
  ) throws(CommandFailure) -> String {
    if Timestamp(text) != nil { return text }
    guard let duration = Quantity.duration(text) else {
      throw .usage(
        "--\(flag): '\(text)' must be a duration like 15m or a time like 2026-05-01T12:00:00Z", command)
    }
    return String(Int(duration.fractionalSeconds.rounded(.up)))
  }

  private static func text(_ line: LogLine, _ format: OutputFormat) throws(CommandFailure) -> String {
    switch format {
    case .json: return try Rendered.json(line).compact
    case .yaml: return "---\n" + YAMLEmitter.text(try Rendered.json(line))
    case .name: return line.message
    case .table:
      let parts = [line.time, line.instance ?? "-", line.requestId ?? "-", line.stream, line.message]
      return parts.joined(separator: " ")
    }
  }
}
