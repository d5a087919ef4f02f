internal import ControlClient
internal import Domain

/// `roost operation wait`
enum OperationWait {
  static let command: Command = Command(
    "operation wait", "wait for one",
    purpose: "Waits until an operation has ended; fails with its error.",
    arguments: [Positional("OPERATION", "id")],
    flags: [Flag("wait-timeout", .duration, "longest wait (5m)")],
    examples: ["roost operation wait OPERATION_ID --wait-timeout 10m"],
    run: { context in
      let client = try context.client()
      let seen = try client.operation(context.first)
      let ended = try await OperationWaiter(client: client, context: context).end(of: seen)
      try context.show(ended, names: [ended.id.text]) { "\(ended.description): done\n" }
    })
}
