internal import ControlClient

/// `roost node resume`
enum NodeResume {
  static let command: Command = Command(
    "node resume", "start a suspended one",
    purpose: "Resumes a suspended node.",
    arguments: [Positional("NODE", "id or name")], flags: OperationWaiter.flags,
    examples: ["roost node resume my-node --wait"],
    run: { context in
      let client = try context.client()
      try await context.follow(try client.changeNode(context.first, "resume"), client, name: context.first)
    })
}
