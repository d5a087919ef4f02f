internal import ControlClient

/// `roost checkpoint delete`
enum CheckpointDelete {
  static let command: Command = Command(
    "checkpoint delete", "delete some",
    purpose: "Deletes checkpoints. One that a node runs is refused. Asks first on a terminal.",
    arguments: [Positional("CHECKPOINT", "ids or names", repeatable: true)],
    flags: [projectFlag, Confirmation.flag], examples: ["roost checkpoint delete my-checkpoint --yes"],
    run: { context in
      try Confirmation.ask("Delete the checkpoints \(context.positionals.joined(separator: ", "))?", context)
      let client = try context.client()
      for name in context.positionals {
        try client.deleteCheckpoint(name, project: context.parsed.text("project"))
        context.note("checkpoint \(name) is deleted")
      }
    })
}
