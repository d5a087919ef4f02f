internal import ControlClient
internal import Domain

/// `roost operation list`
enum OperationList {
  static let command: Command = Command(
    "operation list", "newest first",
    purpose: "Lists long-running changes, newest first.",
    flags: [
      Flag("resource", .text, value: "ID", "only those of this node"),
      Flag("limit", .integer, value: "N", "at most so many (20)"), Context.watchFlag,
    ], examples: ["roost operation list", "roost operation list --limit 5 -o json"],
    run: { context in
      let client = try context.client()
      let limit = context.parsed.integer("limit") ?? 20
      try await context.list(
        { try client.operations(resource: context.parsed.text("resource"), limit: limit) }, name: \.id.text
      ) { items in
        var table = Table("ID", "WHAT", "STATE", "AGE", "MESSAGE")
        for item in items {
          table.add(
            item.id.text, item.description, item.state, context.age(of: item.createdAt),
            Table.oneLine(item.error?.message ?? item.progress ?? "", width: 60))
        }
        return table.text
      }
    })
}
