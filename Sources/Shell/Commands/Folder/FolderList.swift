internal import ControlClient
internal import Domain

/// `roost folder list`
enum FolderList {
  static let command: Command = Command(
    "folder list", "folders you may see",
    purpose: "Lists the folders you have a role in.", flags: [Context.watchFlag],
    examples: ["roost folder list"],
    run: { context in
      let client = try context.client()
      try await context.list({ try client.folders() }, name: \.name) { items in
        Table("NAME", "ID", "AGE", rows: items.map { [$0.name, $0.id.text, context.age(of: $0.createdAt)] })
          .text
      }
    })
}
