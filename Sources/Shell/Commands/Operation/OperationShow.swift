internal import ControlClient
internal import Domain

/// `roost operation show`
enum OperationShow {
  static let command: Command = Command(
    "operation show", "state of one",
    purpose: "Shows an operation: whether it is done, how far it is, what went wrong.",
    arguments: [Positional("OPERATION", "id")], examples: ["roost operation show OPERATION_ID"],
    run: { context in
      let item = try context.client().operation(context.first)
      try context.show(item, names: [item.id.text]) {
        var facts = Facts()
        facts.add("ID", item.id.text)
        facts.add("What", item.description)
        facts.add("State", item.state)
        facts.add("Progress", item.progress)
        facts.add("Error", item.error.map { "\(ClientError.word(forCode: $0.code) ?? "?"): \($0.message)" })
        facts.add("Resource", item.resourceId)
        facts.add("Started", "\(item.createdAt) by \(item.createdBy)")
        facts.add("Changed", "\(item.modifiedAt)")
        return facts.text
      }
    })
}
