internal import ControlClient
internal import Domain

/// `roost node list`
enum NodeList {
  static let command: Command = Command(
    "node list", "every node with its status",
    purpose: "Lists nodes with status, healthy and wanted instances.",
    flags: [
      Flag("folder", .text, value: "FOLDER", "only of this folder"),
      Flag("deleted", .toggle, "those that are gone and whose logs are kept, instead"), Context.watchFlag,
    ],
    examples: ["roost node list", "roost node list --watch", "roost node list --deleted"],
    run: { context in
      let client = try context.client()
      if context.parsed.toggle("deleted") { return try await listDeleted(context, client) }
      try await context.list({ try client.nodes(folder: context.parsed.text("folder")) }, name: \.name) {
        items in
        var table = Table("NAME", "STATUS", "INSTANCES", "CONFIGURATION", "RELEASE", "RESTARTS", "AGE", "ID")
        for item in items {
          let status = item.status
          table.add(
            item.name, status.status.rawValue, "\(status.healthyInstances)/\(status.desiredInstances)",
            item.kind == .address ? "address" : item.spec.configuration, String(status.release),
            String(status.restarts),
            context.age(of: item.createdAt), item.id.text)
        }
        return table.text
      }
    })

  private static func listDeleted(_ context: Context, _ client: ControlClient) async throws {
    let folder = context.parsed.text("folder")
    try await context.list(
      { try client.deletedNodes(folder: folder) }, name: \.id.text,
      table: { items in
        var table = Table("NAME", "DELETED", "LOG", "ID")
        for item in items {
          table.add(
            item.name, context.age(of: item.deletedAt), Quantity.bytes(item.logBytes), item.id.text)
        }
        return table.text
      })
  }
}
