internal import ControlClient
internal import Domain

/// `roost checkpoint pin`
enum CheckpointPin {
  static let command: Command = Command(
    "checkpoint pin", "keep one under a name",
    purpose: "Pins a checkpoint under a name: it is kept, and nodes can be made from it.",
    arguments: [Positional("CHECKPOINT", "id of the checkpoint")],
    flags: [
      Flag("name", .text, value: "NAME", "3 to 63 characters a-z, 0-9 and -", required: true), projectFlag,
    ], examples: ["roost checkpoint pin CHECKPOINT_ID --name my-checkpoint"],
    run: { context in
      let name = context.parsed.text("name") ?? ""
      let pinned = try context.client().pin(
        context.first, name: name, project: context.parsed.text("project"))
      try context.show(pinned, names: [pinned.id.text]) { "checkpoint \(pinned.id) is pinned as \(name)\n" }
    })
}
