internal import ControlClient
internal import Domain

/// `roost api-key list`
enum APIKeyList {
  static let command: Command = Command(
    "api-key list", "API keys of a service account",
    purpose: "Lists API keys of a service account. The keys themselves are never shown again.",
    flags: [KeyCreate.accountFlag, Context.watchFlag],
    examples: ["roost api-key list --service-account caller"],
    run: { context in
      let client = try context.client()
      let account = context.parsed.text("service-account") ?? ""
      try await context.list({ try client.apiKeys(of: account) }, name: \.id.text) { items in
        var table = Table("ID", "SCOPE", "AGE", "EXPIRES", "DESCRIPTION")
        for item in items {
          table.add(
            item.id.text, item.scope, context.age(of: item.createdAt),
            item.expiresAt?.description ?? "never", item.description ?? "")
        }
        return table.text
      }
    })
}
