internal import ControlClient

/// `roost node reset`
enum NodeReset {
  static let command: Command = Command(
    "node reset", "start its instances anew",
    purpose: "Starts every instance anew from the checkpoint, one after another.",
    arguments: [Positional("NODE", "id or name")], flags: OperationWaiter.flags,
    examples: ["roost node reset my-node --wait"],
    run: { context in
      let client = try context.client()
      try await context.follow(try client.changeNode(context.first, "reset"), client, name: context.first)
    })
}
