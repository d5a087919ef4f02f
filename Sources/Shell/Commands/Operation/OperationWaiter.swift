internal import ControlClient
internal import Domain

/// Follows an operation to its end, with a line that says how far it is.
struct OperationWaiter {
  static let flags = [
    Flag("wait", .toggle, "wait until it has been done"),
    Flag("wait-timeout", .duration, "longest wait (5m)"),
  ]

  let client: ControlClient
  let context: Context

  /// The ended operation; throws when it failed or time is up.
  func end(of operation: OperationResource) async throws -> OperationResource {
    let limit = context.parsed.duration("wait-timeout") ?? .seconds(300)
    let start = context.surroundings.uptime()
    var line = ProgressLine(context)
    var seen = operation
    var pause = Duration.milliseconds(50)
    while !seen.done {
      let waited = context.surroundings.uptime() - start
      guard waited < limit else {
        line.clear()
        throw CommandFailure(
          .timeout,
          "\(seen.description): not done after \(Quantity.age(limit))\(seen.progress.map { ": \($0)" } ?? "")",
          details: ["go on waiting with: roost operation wait \(seen.id)"])
      }
      line.show("\(seen.description): \(seen.progress ?? "working")", age: Quantity.age(waited))
      try await context.surroundings.pause(pause)
      pause = min(pause * 2, .milliseconds(500))
      seen = try client.operation(seen.id.text)
    }
    line.clear()
    if let error = seen.error { throw try failure(error, of: seen) }
    return seen
  }

  private func failure(_ error: StatusResource, of operation: OperationResource) throws -> CommandFailure {
    var details: [String] = []
    if let id = operation.resourceId, NodeID(id) != nil, let node = try? client.node(id) {
      if let last = node.status.lastError, !last.traceback.isEmpty {
        details += [""] + NodeDescribe.traceback(last)
      }
      details += ["", "see: roost node describe \(node.name); roost node logs \(node.name)"]
    }
    return CommandFailure(.failed, error.message, details: details)
  }
}

/// One line that is written over on a terminal; a line per change elsewhere.
struct ProgressLine {
  private let context: Context
  private var last = ""

  init(_ context: Context) { self.context = context }

  mutating func show(_ text: String, age: String) {
    guard !context.isQuiet else { return }
    if context.surroundings.errorIsTerminal {
      context.surroundings.printError("\r\u{1b}[K\(text)  \(age)")
    } else if text != last {
      context.surroundings.printError(text + "\n")
    }
    last = text
  }

  func clear() {
    if !last.isEmpty, context.surroundings.errorIsTerminal { context.surroundings.printError("\r\u{1b}[K") }
  }
}

extension Context {
  /// What a change of a node prints: the operation, or with `--wait` its end.
  func follow(_ operation: OperationResource, _ client: ControlClient, name: String) async throws {
    guard parsed.toggle("wait") || parsed.toggle("wait-timeout") else {
      return try show(operation, names: [format == .name ? name : operation.id.text]) {
        "\(operation.description): operation \(operation.id)"
          + (isQuiet ? "\n" : "; wait for it with: roost operation wait \(operation.id)\n")
      }
    }
    let start = surroundings.uptime()
    let ended = try await OperationWaiter(client: client, context: self).end(of: operation)
    let took = Quantity.duration(surroundings.uptime() - start)
    guard let node = ended.response, node.status.status != .deleting else {
      return try show(ended, names: [name]) { "\(ended.description): done in \(took)\n" }
    }
    try show(node, names: [node.name]) {
      let status = node.status
      return "node \(node.name) is \(status.status.rawValue): \(status.healthyInstances) of "
        + "\(status.desiredInstances) instances healthy, \(took)\n"
    }
  }
}

extension Quantity {
  /// `0.4s`, `12s`, `3m`.
  static func duration(_ duration: Duration) -> String {
    let tenths = Int64((max(0, duration.fractionalSeconds) * 10).rounded())
    return tenths < 100 ? "\(tenths / 10).\(tenths % 10)s" : age(duration)
  }
}
