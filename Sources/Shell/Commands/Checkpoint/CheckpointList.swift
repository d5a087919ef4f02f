internal import ControlClient
internal import Domain

let projectFlag = Flag("project", .text, value: "PROJECT", "id or name of the project (default)")

/// `roost checkpoint list`
enum CheckpointList {
  static let command: Command = Command(
    "checkpoint list", "newest first, one per executed cell",
    purpose: "Lists the checkpoints of a project, newest first: one for every executed cell.",
    flags: [
      projectFlag, Flag("pinned", .toggle, "only the pinned ones"),
      Flag("limit", .integer, value: "N", "at most so many"), Context.watchFlag,
    ], examples: ["roost checkpoint list", "roost checkpoint list --pinned -o json"],
    run: { context in
      let client = try context.client()
      let parsed = context.parsed
      try await context.list(
        {
          try client.checkpoints(
            project: parsed.text("project"), pinned: parsed.toggle("pinned") ? true : nil,
            limit: parsed.integer("limit"))
        }, name: \.id.text
      ) { items in
        var table = Table("ID", "NAME", "AGE", "SIZE", "NEW", "ERRORS", "USED BY", "RUN", "NOTEBOOK", "CELL")
        for item in items {
          table.add(
            item.id.text, item.name ?? "-", context.age(of: item.createdAt), Quantity.bytes(item.sizeBytes),
            Quantity.bytes(item.newBytes), String(item.errorCount),
            item.usedBy.isEmpty ? "-" : item.usedBy.joined(separator: ","),
            item.cell.executionCount.map { "[\($0)]" } ?? "-",
            item.cell.notebook.map { String($0.split(separator: "/").last ?? "") } ?? "-",
            Table.oneLine(item.cell.source, width: 44))
        }
        return table.text
      }
    })
}
