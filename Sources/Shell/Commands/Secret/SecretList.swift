internal import ControlClient
internal import Domain

/// `roost secret list`
enum SecretList {
  static let command: Command = Command(
    "secret list", "names of secrets",
    purpose: "Lists the secrets of the folders where you have a role. Values are never shown.",
    flags: [
      Flag("folder", .text, value: "FOLDER", "of this folder only, id or name"), Context.watchFlag,
    ],
    examples: ["roost secret list"],
    run: { context in
      let client = try context.client()
      let folder = context.parsed.text("folder")
      try await context.list({ try client.secrets(folder: folder) }, name: \.name) { items in
        var table = Table("NAME", "VERSION", "FOLDER", "AGE", "CHANGED", "DESCRIPTION")
        for item in items {
          table.add(
            item.name, String(item.version), item.folderId.text, context.age(of: item.createdAt),
            context.age(of: item.updatedAt), Table.oneLine(item.description, width: 60))
        }
        return table.text
      }
    })
}
