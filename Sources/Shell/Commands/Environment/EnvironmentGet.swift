internal import ControlClient
internal import Domain

/// `roost environment get`
enum EnvironmentGet {
  static let command: Command = Command(
    "environment get", "status, packages and lock of one",
    purpose:
      "Shows an environment with its packages. 'default' is the server's own Python, in which nodes run that name none.",
    arguments: [Positional("ENVIRONMENT", "id or name")], flags: [environmentFolderFlag],
    examples: ["roost environment get default", "roost environment get forecast -o json"],
    run: { context in
      let found = try context.client().environment(context.first, folder: context.parsed.text("folder"))
      try context.show(found, names: [found.name]) { text(found, context) }
    })

  static func text(_ item: EnvironmentResource, _ context: Context) -> String {
    var facts = Facts()
    facts.add("ID", item.id.text)
    facts.add("Name", item.name)
    facts.add("Status", item.status.rawValue)
    facts.add("For", item.description.isEmpty ? nil : item.description)
    facts.add("Made", item.createdAt.map { "\($0) (\(context.age(of: $0)) ago) by \(item.createdBy ?? "?")" })
    facts.add("Python", item.pythonVersion)
    facts.add("Image", item.image)
    facts.add("Lock", item.lockDigest)
    facts.add("Size", item.sizeBytes.map(Quantity.bytes))
    facts.add("Used by", item.usedBy.joined(separator: ", "))
    facts.add("Error", item.error)
    guard !item.packages.isEmpty else { return facts.text }
    return facts.text + "\nPackages:\n" + item.packages.map { "  \($0.name)==\($0.version)\n" }.joined()
  }
}
