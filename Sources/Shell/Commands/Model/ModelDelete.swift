internal import ControlClient

/// `roost model delete`
enum ModelDelete {
  static let command: Command = Command(
    "model delete", "delete some",
    purpose: "Deletes saved models. One that a node serves is refused. Asks first on a terminal.",
    arguments: [Positional("MODEL", "ids or names", repeatable: true)],
    flags: [projectFlag, Confirmation.flag], examples: ["roost model delete iris --yes"],
    run: { context in
      try Confirmation.ask("Delete the models \(context.positionals.joined(separator: ", "))?", context)
      let client = try context.client()
      for name in context.positionals {
        try client.deleteModel(name, project: context.parsed.text("project"))
        context.note("model \(name) is deleted")
      }
    })
}
