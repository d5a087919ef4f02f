internal import ControlClient
internal import Domain

/// `roost key list`
enum KeyList {
  static let command: Command = Command(
    "key list", "authorized keys of a service account",
    purpose: "Lists authorized keys of a service account. Private keys are never shown again.",
    flags: [KeyCreate.accountFlag, Context.watchFlag],
    examples: ["roost key list --service-account caller"],
    run: { context in
      let client = try context.client()
      let account = context.parsed.text("service-account") ?? ""
      try await context.list({ try client.keys(of: account) }, name: \.id.text) { items in
        var table = Table("ID", "ALGORITHM", "AGE", "LAST USED", "DESCRIPTION")
        for item in items {
          table.add(
            item.id.text, item.keyAlgorithm, context.age(of: item.createdAt),
            item.lastUsedAt.map { context.age(of: $0) + " ago" } ?? "never", item.description ?? "")
        }
        return table.text
      }
    })
}
