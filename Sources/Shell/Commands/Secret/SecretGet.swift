internal import ControlClient
internal import Domain

/// `roost secret get`
enum SecretGet {
  static let command: Command = Command(
    "secret get", "what is known of a secret, and who uses it",
    purpose: "Shows a secret without its value: version, times, and the nodes that use it.",
    arguments: [Positional("SECRET", "id or name")], examples: ["roost secret get api-key"],
    run: { context in
      let secret = try context.client().secret(context.first)
      try context.show(secret, names: [secret.name]) {
        var table = Table("FIELD", "VALUE")
        table.add("name", secret.name)
        table.add("id", secret.id.text)
        table.add("folder", secret.folderId.text)
        table.add("description", secret.description)
        table.add("value", "*** (version \(secret.version))")
        table.add("created", "\(secret.createdAt) by \(secret.createdBy)")
        table.add("changed", "\(secret.updatedAt)")
        let users = secret.usedBy ?? []
        table.add("used by", users.isEmpty ? "no node" : users.joined(separator: ", "))
        return table.text
      }
    })
}
