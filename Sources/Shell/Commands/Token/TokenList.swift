internal import ControlClient
internal import Domain

/// `roost token list`
enum TokenList {
  static let command: Command = Command(
    "token list", "your tokens that are still good",
    purpose: "Lists your tokens that are still good. The tokens themselves are never shown again.",
    flags: [Context.watchFlag], examples: ["roost token list"],
    run: { context in
      let client = try context.client()
      try await context.list({ try client.tokens() }, name: \.id) { items in
        var table = Table("ID", "SUBJECT", "AGE", "EXPIRES", "DESCRIPTION")
        for item in items {
          table.add(
            item.id, item.subject, context.age(of: item.createdAt), item.expiresAt.description,
            item.description ?? "")
        }
        return table.text
      }
    })
}
