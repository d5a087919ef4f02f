internal import ControlClient

/// `roost checkpoint unpin`
enum CheckpointUnpin {
  static let command: Command = Command(
    "checkpoint unpin", "let go of a pinned one",
    purpose: "Unpins a checkpoint. It loses its name, and goes when newer ones push it out.",
    arguments: [Positional("CHECKPOINT", "id or name")], flags: [projectFlag],
    examples: ["roost checkpoint unpin my-checkpoint"],
    run: { context in
      try context.client().unpin(context.first, project: context.parsed.text("project"))
      context.note("checkpoint \(context.first) is not pinned any more")
    })
}
