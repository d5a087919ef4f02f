internal import ControlClient

/// `roost token revoke`
enum TokenRevoke {
  static let command: Command = Command(
    "token revoke", "end tokens at once",
    purpose: "Revokes tokens by id: calls with them are refused from now on.",
    arguments: [Positional("TOKEN_ID", "as roost token list shows it", repeatable: true)],
    examples: ["roost token revoke TOKEN_ID"],
    run: { context in
      let client = try context.client()
      for id in context.positionals {
        try client.revokeToken(id)
        context.note("token \(id) is revoked")
      }
    })
}
