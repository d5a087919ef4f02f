internal import ControlClient
internal import Domain

/// `roost node replace`
enum NodeReplace {
  static let command: Command = Command(
    "node replace", "let another node take a node's place in aliases",
    purpose:
      "Makes NEW where it is told how (--file, --image, --checkpoint), waits until it is healthy, compares the promises to callers, gives NEW all shares and rules of OLD at once (step by step with --ramp), waits until OLD has ended what it had, and suspends it. Goes on after a crash of the server.",
    arguments: [
      Positional("OLD", "id or name"),
      Positional("NEW", "id or name of a node that is there, or the name of the one to make"),
    ],
    flags: NodeSuccessor.flags + [
      Flag("alias", .text, value: "ALIAS", "only in this alias; else in every one in which OLD has a part"),
      Flag(
        "hold", .duration,
        "requests to the aliases wait until OLD has ended what it had, so long at most: the two never answer at the same time"
      ),
      Flag("replay", .toggle, "send recorded requests of the aliases to NEW first, and stop when that fails"),
      Flag(
        "ramp", .text, value: "PERCENT,...",
        "move requests by a ramp of these steps, like 1,5,25,50,100; OLD gets them back when NEW is worse"),
      Flag("every", .duration, "least time of a step of the ramp (2m)"),
      Flag(
        "guard", .text, value: "GUARDS", "what NEW must keep to in the ramp (errors<1%,p95<+20%)"),
      Flag(
        "min-requests", .integer, value: "N",
        "requests of NEW in a step of the ramp without which nothing is decided (100)"),
      Flag("healthy-timeout", .duration, "longest wait for NEW to be healthy (10m)"),
      Flag("drain-timeout", .duration, "longest wait for requests under way at OLD (5m)"),
      Flag("delete", .toggle, "delete OLD at the end"), Flag("keep", .toggle, "let OLD run on"),
      Flag("allow-breaking", .toggle, "take a NEW whose API breaks what callers rely on"),
      Flag("dry-run", .toggle, "only show what would be done"),
    ] + OperationWaiter.flags,
    examples: [
      "roost node replace blue green --dry-run", "roost node replace blue green --delete --wait",
      "roost node replace blue green --alias prod --keep --hold 30s",
      "roost node replace blue green --image shop/app:2 --ramp 1,10,50,100 --delete --wait",
      "roost node replace blue green --replay --ramp 1,5,25,50,100 --every 2m --delete",
    ],
    run: { context in
      let (command, parsed) = (NodeReplace.command, context.parsed)
      guard !(parsed.toggle("delete") && parsed.toggle("keep")) else {
        throw CommandFailure.usage("--delete and --keep exclude each other", command)
      }
      func seconds(_ name: String) -> Int? { parsed.duration(name).map { Int($0.components.seconds) } }
      let request = ReplaceNodeRequest(
        successor: context.positionals[1], alias: parsed.text("alias"), holdSeconds: seconds("hold"),
        replay: parsed.toggle("replay") ? true : nil, ramp: try ramp(parsed, command),
        healthySeconds: seconds("healthy-timeout"), drainSeconds: seconds("drain-timeout"),
        afterwards: parsed.toggle("delete") ? .delete : parsed.toggle("keep") ? .keep : nil,
        allowBreaking: parsed.toggle("allow-breaking") ? true : nil)
      let client = try context.client()
      let new = context.positionals[1]
      if let document = try NodeSuccessor.document(context, client, like: context.first, new, command) {
        let made = try Apply.send(document, client, dryRun: true)
        if parsed.toggle("dry-run"), made.action == .created {
          // What would follow can be said of a node that is there only.
          return context.print("1. node \(new) would be created; then it takes the place of \(context.first)")
        }
        if !parsed.toggle("dry-run"), made.action != .unchanged {
          _ = try Apply.send(document, client, dryRun: false)
          context.note("node \(new) \(made.action.rawValue)")
        }
      }
      guard parsed.toggle("dry-run") else {
        return try await context.follow(
          try client.replaceNode(context.first, request), client, name: context.first)
      }
      let plan = try client.planReplacement(context.first, request)
      try context.show(plan, names: plan.aliases.map(\.aliasName)) {
        plan.steps.enumerated().map { "\($0.offset + 1). \($0.element)\n" }.joined()
      }
    })

  private static func ramp(_ parsed: ParsedArguments, _ command: Command) throws(CommandFailure)
    -> ReplaceRamp?
  {
    guard let steps = try AliasRamp.steps(parsed, "ramp", command) else {
      for name in ["every", "guard", "min-requests"] where parsed.text(name) != nil {
        throw .usage("--\(name): there is no ramp; give its steps with --ramp 1,5,25,50,100", command)
      }
      return nil
    }
    return ReplaceRamp(
      steps: steps, stepSeconds: parsed.duration("every").map { $0 / .seconds(1) },
      guards: try parsed.text("guard").map { (text) throws(CommandFailure) in
        try AliasRamp.guards(text, command)
      },
      minimumRequests: parsed.integer("min-requests"))
  }
}
