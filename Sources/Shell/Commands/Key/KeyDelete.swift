internal import ControlClient

/// `roost key delete`
enum KeyDelete {
  static let command: Command = Command(
    "key delete", "end keys at once",
    purpose: "Deletes authorized keys: they and the tokens they were exchanged for are refused from now on.",
    arguments: [Positional("KEY_ID", "as roost key list shows it", repeatable: true)],
    flags: [KeyCreate.accountFlag],
    examples: ["roost key delete KEY_ID --service-account caller"],
    run: { context in
      let client = try context.client()
      for id in context.positionals {
        try client.deleteKey(id, of: context.parsed.text("service-account") ?? "")
        context.note("key \(id) is deleted")
      }
    })
}
