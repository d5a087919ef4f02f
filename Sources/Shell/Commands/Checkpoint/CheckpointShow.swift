internal import ControlClient
internal import Domain

/// `roost checkpoint show`
enum CheckpointShow {
  static let command: Command = Command(
    "checkpoint show", "cell, variables, errors and packages of one",
    purpose:
      "Shows a checkpoint: the cell, the variables with type and size, what could not be saved, the packages.",
    arguments: [Positional("CHECKPOINT", "id, or the name it is pinned with")], flags: [projectFlag],
    examples: ["roost checkpoint show my-checkpoint", "roost checkpoint show my-checkpoint -o yaml"],
    run: { context in
      let found = try context.client().checkpoint(context.first, project: context.parsed.text("project"))
      try context.show(found, names: [found.id.text]) { text(found, context) }
    })

  static func text(_ item: CheckpointResource, _ context: Context) -> String {
    var facts = Facts()
    facts.add("ID", item.id.text)
    facts.add("Name", item.name ?? "- (not pinned)")
    facts.add("Made", "\(item.createdAt) (\(context.age(of: item.createdAt)) ago), \(item.operation)")
    if let pinnedAt = item.pinnedAt { facts.add("Pinned", "\(pinnedAt) by \(item.pinnedBy ?? "?")") }
    facts.add("Notebook", item.cell.notebook)
    facts.add("Run", item.cell.executionCount.map { "[\($0)]" })
    facts.add("Size", "\(Quantity.bytes(item.sizeBytes)), new \(Quantity.bytes(item.newBytes))")
    facts.add("Python", item.pythonVersion)
    facts.add("Used by", item.usedBy.joined(separator: ", "))
    facts.add("Example", item.example)
    var text = facts.text + "\nCell:\n" + indented(item.cell.source)
    if !item.variables.isEmpty {
      var table = Table("VARIABLE", "TYPE", "SIZE", "PREVIEW")
      for variable in item.variables {
        table.add(
          variable.name, variable.type, Quantity.bytes(variable.size),
          Table.oneLine(variable.preview ?? "", width: 60))
      }
      text += "\n" + table.text
    }
    if !item.errors.isEmpty { text += "\nNot saved:\n" }
    for error in item.errors {
      text += "  \(error.at) (\(error.culprit)): \(error.reason)\n"
      if let hint = error.hint { text += "    \(hint)\n" }
    }
    if !item.packages.isEmpty {
      let packages = item.packages.sorted { $0.key < $1.key }.map { "\($0.key)==\($0.value)" }
      text += "\nPackages:\n" + packages.map { "  \($0)\n" }.joined()
    }
    return text
  }

  static func indented(_ text: String) -> String {
    text.split(separator: "\n", omittingEmptySubsequences: false).map { "  \($0)\n" }.joined()
  }
}
