internal import ControlClient
internal import Domain

/// `roost operation cancel`
enum OperationCancel {
  static let command: Command = Command(
    "operation cancel", "take a change back",
    purpose:
      "Takes a change back that is not done yet: a node whose creation is cancelled is deleted, an update, suspend or resume gives way to what was before, an environment that is being made is removed. Resets and deletions can't be cancelled.",
    arguments: [Positional("OPERATION", "id")], examples: ["roost operation cancel OPERATION_ID"],
    run: { context in
      let seen = try context.client().cancelOperation(context.first)
      guard seen.state == "CANCELLED" else {
        throw CommandFailure(
          .failed, "\(seen.description): it had ended before it could be cancelled (\(seen.state))",
          details: ["see: roost operation show \(seen.id)"])
      }
      try context.show(seen, names: [seen.id.text]) {
        "\(seen.description): \(seen.error?.message ?? "cancelled")\n"
      }
    })
}

extension OperationResource {
  /// One word for people.
  var state: String {
    guard done else { return "RUNNING" }
    guard let error else { return "DONE" }
    return error.code == 1 ? "CANCELLED" : "FAILED"
  }
}
