internal import ControlClient

/// `roost node delete`
enum NodeDelete {
  static let command: Command = Command(
    "node delete", "delete some",
    purpose: "Deletes nodes: requests in flight end, instances stop. Asks first on a terminal.",
    arguments: [Positional("NODE", "ids or names", repeatable: true)],
    flags: [Confirmation.flag] + OperationWaiter.flags, examples: ["roost node delete my-node --yes --wait"],
    run: { context in
      try Confirmation.ask("Delete the nodes \(context.positionals.joined(separator: ", "))?", context)
      let client = try context.client()
      for name in context.positionals {
        try await context.follow(try client.deleteNode(name), client, name: name)
      }
    })
}
