internal import ControlClient
internal import Domain
internal import YAMLText

/// `roost apply`
enum Apply {
  static let command: Command = Command(
    "apply", "create or change nodes and aliases as files say",
    purpose:
      "Makes nodes and aliases be as YAML files say: creates those that are not there, changes those that differ, and says which are so already. What a file leaves out gets its default. All documents are checked before anything is done; nodes come before the aliases in front of them.",
    arguments: [],
    flags: [NodeFile.flag, Flag("dry-run", .toggle, "check everything and change nothing")]
      + OperationWaiter.flags,
    examples: [
      "roost apply -f nodes.yaml --wait", "roost node get my-node | roost apply -f -",
      "roost apply -f nodes.yaml --dry-run",
    ],
    run: { context in
      let documents = try NodeFile.documents(context, Apply.command)
      let client = try context.client()
      // None is changed when one of them is wrong.
      let plans = try Apply.plans(documents, client)
      guard !context.parsed.toggle("dry-run") else {
        return try Apply.show(plans, context, prefix: "would be ")
      }
      var done: [ApplyResource] = []
      // An alias needs its nodes to be there.
      for (document, plan) in Array(zip(documents, plans)).filter({ !$0.0.isAlias })
        + Array(zip(documents, plans)).filter({ $0.0.isAlias })
      {
        guard plan.action != .unchanged else {
          done.append(plan)
          continue
        }
        done.append(try Apply.send(document, client, dryRun: false))
      }
      let waits = context.parsed.toggle("wait") || context.parsed.toggle("wait-timeout")
      if waits {
        for operation in done.compactMap(\.operation) {
          _ = try await OperationWaiter(client: client, context: context).end(of: operation)
        }
      }
      try Apply.show(done, context, prefix: "")
      if !waits, done.contains(where: { $0.operation != nil }) {
        context.note("it is being done; wait for it with: roost operation wait OPERATION")
      }
    })

  static func plans(_ documents: [NodeFile.Document], _ client: ControlClient) throws -> [ApplyResource] {
    let nodes = documents.filter { !$0.isAlias }.map(\.name)
    return try documents.map { try send($0, client, dryRun: true, newNodes: nodes) }
  }

  static func send(
    _ document: NodeFile.Document, _ client: ControlClient, dryRun: Bool, newNodes: [String] = []
  ) throws(CommandFailure) -> ApplyResource {
    do throws(ClientError) {
      let json = Array(document.json.utf8)
      return document.isAlias
        ? try client.applyAlias(json, dryRun: dryRun, newNodes: newNodes)
        : try client.applyNode(json, dryRun: dryRun)
    } catch { throw NodeFile.failure(error, document) }
  }

  private static func show(_ done: [ApplyResource], _ context: Context, prefix: String) throws {
    switch context.format {
    case .json: context.print(try Rendered.json(done).pretty)
    case .yaml: context.print(YAMLEmitter.text(try Rendered.json(done)))
    case .name: for one in done { context.print(one.name) }
    case .table:
      for one in done {
        let release = one.action == .changed && one.makesRelease ? ", a new release" : ""
        let operation = one.operation.map { " (operation \($0.id))" } ?? ""
        let word = one.action == .unchanged ? "unchanged" : prefix + one.action.rawValue
        context.print("\(one.resource) \(one.name): \(word)\(release)\(operation)")
      }
    }
  }
}
