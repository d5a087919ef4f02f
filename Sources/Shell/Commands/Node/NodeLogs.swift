internal import ControlClient
internal import Domain

/// `roost node logs`
enum NodeLogs {
  static let command: Command = Command(
    "node logs", "what its cell printed",
    purpose:
      "Prints the log of a node: what the cell printed, with the request, and what happened to instances.",
    arguments: [Positional("NODE", "id or name")],
    flags: [
      Flag("follow", short: "f", .toggle, "go on with new lines, until stopped"),
      Flag("tail", .integer, value: "N", "so many last lines first (100)"),
      Flag("instance", .text, value: "ID", "only of this instance"),
      Flag("request", .text, value: "ID", "only of this request"),
      Flag("grep", .text, value: "TEXT", "only lines with this text"),
    ], examples: ["roost node logs my-node -f", "roost node logs my-node --tail 1000 --request REQUEST_ID"],
    run: { context in
      let client = try context.client()
      var tail: Int? = context.parsed.integer("tail") ?? 100
      var cursor: String?
      let follows = context.parsed.toggle("follow")
      repeat {
        let wait = cursor == nil ? 0 : 20
        let page = try client.logs(of: context.first, after: cursor, tail: tail, waitSeconds: wait)
        for line in page.lines where matches(line, context.parsed) {
          context.print(try text(line, context.format))
        }
        if follows, cursor != nil, page.lines.isEmpty {
          try await context.surroundings.pause(.milliseconds(100))
        }
        cursor = page.cursor
        tail = nil
      } while follows
    })

  private static func matches(_ line: LogLine, _ parsed: ParsedArguments) -> Bool {
    if let instance = parsed.text("instance"), line.instance != instance { return false }
    if let request = parsed.text("request"), line.requestId != request { return false }
    if let text = parsed.text("grep"), !line.message.contains(text) { return false }
    return true
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
