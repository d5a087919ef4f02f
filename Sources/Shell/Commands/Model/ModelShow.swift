internal import ControlClient
internal import Domain

/// `roost model show`
enum ModelShow {
  static let command: Command = Command(
    "model show", "kind, inputs, outputs and where it came from",
    purpose: "Shows a saved model: its kind and size, what goes in and out, who made it and where.",
    arguments: [Positional("MODEL", "id or name")], flags: [projectFlag],
    examples: ["roost model show iris", "roost model show iris -o json"],
    run: { context in
      let found = try context.client().model(context.first, project: context.parsed.text("project"))
      try context.show(found, names: [found.name]) { text(found, context) }
    })

  static func text(_ item: ModelResource, _ context: Context) -> String {
    var facts = Facts()
    facts.add("Name", item.name)
    facts.add("ID", item.id.text)
    facts.add("Kind", item.kind)
    facts.add("Size", Quantity.bytes(item.sizeBytes))
    facts.add("Inputs", item.inputs.map(\.text).joined(separator: ", "))
    facts.add("Outputs", item.outputs.map(\.text).joined(separator: ", "))
    facts.add("Labels", item.labels?.joined(separator: ", "))
    facts.add("Made", "\(item.createdAt) (\(context.age(of: item.createdAt)) ago) by \(item.createdBy)")
    facts.add("Notebook", item.notebook)
    facts.add("Variable", item.variable)
    facts.add("Digest", item.digest)
    facts.add("Used by", item.usedBy.joined(separator: ", "))
    return facts.text
  }
}
