internal import ControlClient
internal import Domain

/// `roost project list`
enum ProjectList {
  static let command: Command = Command(
    "project list", "projects you may see",
    purpose: "Lists projects and how many checkpoints each keeps.", flags: [Context.watchFlag],
    examples: ["roost project list"],
    run: { context in
      let client = try context.client()
      try await context.list({ try client.projects() }, name: \.name) { items in
        var table = Table("NAME", "ID", "FOLDER", "UNPINNED KEPT", "PINNED KEPT", "AGE")
        for item in items {
          table.add(
            item.name, item.id.text, item.folderId.text, String(item.unpinnedLimit), String(item.pinnedLimit),
            context.age(of: item.createdAt))
        }
        return table.text
      }
    })
}
