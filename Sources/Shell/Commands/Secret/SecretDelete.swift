internal import ControlClient
internal import Domain

/// `roost secret delete`
enum SecretDelete {
  static let command: Command = Command(
    "secret delete", "forget secrets for good",
    purpose: "Deletes secrets. One that a node uses is kept; the message says which.",
    arguments: [Positional("SECRET", "id or name", repeatable: true)], flags: [Confirmation.flag],
    examples: ["roost secret delete api-key --yes"],
    run: { context in
      let names = context.positionals
      try Confirmation.ask("delete \(names.joined(separator: ", ")) for good?", context)
      let client = try context.client()
      for name in names {
        try client.deleteSecret(name)
        context.note("secret \(name) is deleted")
      }
    })
}
