internal import ControlClient
internal import Domain

/// `roost alias list`
enum AliasList {
  static let command: Command = Command(
    "alias list", "published names", purpose: "Lists the aliases you may see, with their shares.",
    flags: [Flag("folder", .text, value: "FOLDER", "only of this folder"), Context.watchFlag],
    examples: ["roost alias list"],
    run: { context in
      let client = try context.client()
      let folder = context.parsed.text("folder")
      try await context.list({ try client.aliases(folder: folder) }, name: \.name) { items in
        Table(
          "NAME", "STATUS", "SHARES", "ACCESS", "AGE",
          rows: items.map {
            [$0.name, $0.status.rawValue, shares($0), $0.spec.access.rawValue, context.age(of: $0.createdAt)]
          }
        ).text
      }
    })

  static func shares(_ alias: AliasResource) -> String {
    alias.shares.map { "\($0.nodeName)=\($0.weight)" }.joined(separator: " ")
  }
}
