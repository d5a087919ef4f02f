internal import ControlClient
internal import Domain

/// `roost model list`
enum ModelList {
  static let command: Command = Command(
    "model list", "newest first", purpose: "Lists the saved models of a project, newest first.",
    flags: [projectFlag, Flag("limit", .integer, value: "N", "at most so many"), Context.watchFlag],
    examples: ["roost model list", "roost model list -o json"],
    run: { context in
      let client = try context.client()
      let parsed = context.parsed
      try await context.list(
        { try client.models(project: parsed.text("project"), limit: parsed.integer("limit")) },
        name: \.name
      ) { items in
        var table = Table("NAME", "KIND", "SIZE", "INPUTS", "OUTPUTS", "AGE", "USED BY", "ID")
        for item in items {
          table.add(
            item.name, item.kind, Quantity.bytes(item.sizeBytes),
            Table.oneLine(item.inputs.map(\.text).joined(separator: " "), width: 40),
            Table.oneLine(item.outputs.map(\.text).joined(separator: " "), width: 40),
            context.age(of: item.createdAt), item.usedBy.isEmpty ? "-" : item.usedBy.joined(separator: ","),
            item.id.text)
        }
        return table.text
      }
    })
}
