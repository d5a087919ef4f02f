internal import ControlClient

/// `roost service-account delete`
enum ServiceAccountDelete {
  static let command: Command = Command(
    "service-account delete", "delete some",
    purpose:
      "Deletes service accounts with their roles and keys; their tokens end. Asks first on a terminal.",
    arguments: [Positional("ACCOUNT", "ids or names", repeatable: true)],
    flags: [Confirmation.flag], examples: ["roost service-account delete caller --yes"],
    run: { context in
      try Confirmation.ask(
        "Delete the service accounts \(context.positionals.joined(separator: ", "))?", context)
      let client = try context.client()
      for name in context.positionals {
        try client.deleteServiceAccount(name)
        context.note("service account \(name) is deleted")
      }
    })
}
