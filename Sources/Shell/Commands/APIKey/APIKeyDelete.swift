internal import ControlClient

/// `roost api-key delete`
enum APIKeyDelete {
  static let command: Command = Command(
    "api-key delete", "end API keys at once",
    purpose: "Deletes API keys: calls with them are refused from now on.",
    arguments: [Positional("KEY_ID", "as roost api-key list shows it", repeatable: true)],
    flags: [KeyCreate.accountFlag],
    examples: ["roost api-key delete KEY_ID --service-account caller"],
    run: { context in
      let client = try context.client()
      for id in context.positionals {
        try client.deleteAPIKey(id, of: context.parsed.text("service-account") ?? "")
        context.note("API key \(id) is deleted")
      }
    })
}
