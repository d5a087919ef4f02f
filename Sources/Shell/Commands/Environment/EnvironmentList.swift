internal import ControlClient
internal import Domain

/// `roost environment list`
enum EnvironmentList {
  static let command: Command = Command(
    "environment list", "what cell nodes can run in",
    purpose: "Lists environments, the server's own first.",
    flags: [environmentFolderFlag, Context.watchFlag],
    examples: ["roost environment list", "roost environment list -o json"],
    run: { context in
      let client = try context.client()
      let folder = context.parsed.text("folder")
      try await context.list({ try client.environments(folder: folder) }, name: \.name) { items in
        var table = Table("NAME", "STATUS", "PYTHON", "PACKAGES", "SIZE", "AGE", "USED BY", "ID")
        for item in items {
          table.add(
            item.name, item.status.rawValue, item.pythonVersion ?? "-", String(item.packageCount),
            item.sizeBytes.map(Quantity.bytes) ?? "-", item.createdAt.map(context.age) ?? "-",
            item.usedBy.isEmpty ? "-" : item.usedBy.joined(separator: ","), item.id.text)
        }
        return table.text
      }
    })
}
