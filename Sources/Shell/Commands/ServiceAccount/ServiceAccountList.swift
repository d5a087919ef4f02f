internal import ControlClient
internal import Domain

/// `roost service-account list`
enum ServiceAccountList {
  static let command: Command = Command(
    "service-account list", "principals that are not people",
    purpose: "Lists service accounts with their roles.", flags: [Context.watchFlag],
    examples: ["roost service-account list"],
    run: { context in
      let client = try context.client()
      try await context.list({ try client.serviceAccounts() }, name: \.name) { items in
        var table = Table("NAME", "ID", "FOLDER", "AGE", "ROLES")
        for item in items {
          table.add(
            item.name, item.id.text, item.folderId.text, context.age(of: item.createdAt),
            item.roles.joined(separator: ", "))
        }
        return table.text
      }
    })
}
