internal import ControlClient

/// `roost node rollback`
enum NodeRollback {
  static let command: Command = Command(
    "node rollback", "go back to a former release",
    purpose:
      "Makes a former release serve again: without --to the one that serves while the newest is rolled out or failed, else the one that served before it. What instances are made of changes; how many there are, who may call and other settings stay.",
    arguments: [Positional("NODE", "id or name")],
    flags: [Flag("to", .integer, value: "N", "number of the release; see: roost node history NODE")]
      + OperationWaiter.flags,
    examples: ["roost node rollback my-node --wait", "roost node rollback my-node --to 3"],
    run: { context in
      let client = try context.client()
      let operation = try client.rollBack(context.first, to: context.parsed.integer("to"))
      try await context.follow(operation, client, name: context.first)
    })
}
