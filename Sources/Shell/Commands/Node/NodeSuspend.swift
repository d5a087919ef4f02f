internal import ControlClient

/// `roost node suspend`
enum NodeSuspend {
  static let command: Command = Command(
    "node suspend", "stop its instances, keep the node",
    purpose: "Suspends a node: its instances stop, calls are refused, the node stays.",
    arguments: [Positional("NODE", "id or name")], flags: OperationWaiter.flags,
    examples: ["roost node suspend my-node --wait"],
    run: { context in
      let client = try context.client()
      try await context.follow(try client.changeNode(context.first, "suspend"), client, name: context.first)
    })
}
