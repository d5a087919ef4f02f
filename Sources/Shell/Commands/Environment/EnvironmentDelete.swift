internal import ControlClient

/// `roost environment delete`
enum EnvironmentDelete {
  static let command: Command = Command(
    "environment delete", "delete some",
    purpose:
      "Deletes environments. One that a node runs in, or could return to, is refused; one that is being made is given up. Asks first on a terminal.",
    arguments: [Positional("ENVIRONMENT", "ids or names", repeatable: true)],
    flags: [environmentFolderFlag, Confirmation.flag],
    examples: ["roost environment delete forecast --yes"],
    run: { context in
      try Confirmation.ask("Delete the environments \(context.positionals.joined(separator: ", "))?", context)
      let client = try context.client()
      for name in context.positionals {
        try client.deleteEnvironment(name, folder: context.parsed.text("folder"))
        context.note("environment \(name) is deleted")
      }
    })
}
