internal import ControlClient

/// `roost alias delete`
enum AliasDelete {
  static let command: Command = Command(
    "alias delete", "delete some",
    purpose:
      "Deletes aliases; their nodes stay. Callers of the names are refused from then on. Asks first on a terminal.",
    arguments: [Positional("ALIAS", "ids or names", repeatable: true)],
    flags: [Confirmation.flag], examples: ["roost alias delete prod --yes"],
    run: { context in
      try Confirmation.ask("Delete the aliases \(context.positionals.joined(separator: ", "))?", context)
      let client = try context.client()
      for name in context.positionals {
        try client.deleteAlias(name)
        context.note("alias \(name) is deleted")
      }
    })
}
