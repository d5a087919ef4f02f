internal import ControlClient
internal import Domain

/// `roost checkpoint rename`
enum CheckpointRename {
  static let command: Command = Command(
    "checkpoint rename", "another name for a pinned one",
    purpose: "Gives a pinned checkpoint another name. Nodes made from it are not touched.",
    arguments: [
      Positional("CHECKPOINT", "id or name"), Positional("NEW_NAME", "3 to 63 characters a-z, 0-9 and -"),
    ],
    flags: [projectFlag], examples: ["roost checkpoint rename my-checkpoint better-name"],
    run: { context in
      let client = try context.client()
      // The name is looked up in its project first: a rename goes by id.
      let found = try client.checkpoint(context.first, project: context.parsed.text("project"))
      let renamed = try client.rename(found.id, name: context.positionals[1])
      try context.show(renamed, names: [renamed.id.text]) {
        "checkpoint \(renamed.id) is now \(renamed.name ?? context.positionals[1])\n"
      }
    })
}
