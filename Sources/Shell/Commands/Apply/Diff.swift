internal import ControlClient
internal import Domain

/// `roost diff`
enum Diff {
  static let command: Command = Command(
    "diff", "what apply would change",
    purpose: "Shows what roost apply would create and change, field by field, and changes nothing.",
    arguments: [], flags: [NodeFile.flag], examples: ["roost diff -f nodes.yaml"],
    run: { context in
      let documents = try NodeFile.documents(context, Diff.command)
      let plans = try Apply.plans(documents, try context.client())
      switch context.format {
      case .json: context.print(try Rendered.json(plans).pretty)
      case .yaml: context.print(YAMLEmitter.text(try Rendered.json(plans)))
      case .name: for plan in plans where plan.action != .unchanged { context.print(plan.name) }
      case .table: for plan in plans { context.print(Diff.text(plan)) }
      }
    })

  static func text(_ plan: ApplyResource) -> String {
    let head =
      switch plan.action {
      case .created: "\(plan.resource) \(plan.name): would be created"
      case .unchanged: "\(plan.resource) \(plan.name): unchanged"
      case .changed:
        "\(plan.resource) \(plan.name): would be changed\(plan.makesRelease ? ", a new release" : "")"
      }
    let lines = plan.changes.flatMap { change in
      [change.before.map { "- \(change.field): \($0)" }, change.after.map { "+ \(change.field): \($0)" }]
        .compactMap { $0 }
    }
    return ([head] + lines.map { "  " + $0 }).joined(separator: "\n")
  }
}
