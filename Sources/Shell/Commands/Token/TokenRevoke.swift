internal import ControlClient
internal import Domain

/// `roost token revoke`
enum TokenRevoke {
  static let command: Command = Command(
    "token revoke", "end tokens at once",
    purpose: "Revokes tokens by id, or one that is at hand: calls with them are refused from now on.",
    arguments: [
      Positional("TOKEN_ID", "as roost token list shows it; - reads a token from stdin", repeatable: true)
    ],
    examples: ["roost token revoke TOKEN_ID", "roost token revoke - < leaked.token"],
    run: { context in
      let client = try context.client()
      for id in context.positionals {
        if id == "-" {
          let text = String(decoding: context.surroundings.readAll(), as: UTF8.self)
          let revoked = try client.revoke(
            token: text.split(whereSeparator: \.isWhitespace).first.map(String.init) ?? "")
          context.note("the token of \(revoked.subjectId) is revoked")
          continue
        }
        try client.revokeToken(id)
        context.note("token \(id) is revoked")
      }
    })
}
