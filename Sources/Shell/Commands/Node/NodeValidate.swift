internal import ControlClient
internal import Domain

/// `roost node validate`
enum NodeValidate {
  static let command: Command = Command(
    "node validate", "the checks of create, without making it",
    purpose: "Runs the checks of node create and makes nothing. Takes the same flags.",
    arguments: [Positional("NAME", "3 to 63 characters a-z, 0-9 and -")], flags: NodeRequest.flags,
    examples: ["roost node validate my-node --checkpoint my-checkpoint --input x:int --output y:int"],
    run: { context in
      let request = try NodeRequest.request(context, NodeValidate.command)
      let answer = try context.client().validateNode(request)
      switch context.format {
      case .json: context.print(try Rendered.json(answer).pretty)
      case .yaml: context.surroundings.print(YAMLEmitter.text(try Rendered.json(answer)))
      case .name: context.print(request.name)
      case .table:
        for warning in answer.warnings { context.note("warning: \(warning)") }
        context.print("node \(request.name) is valid")
      }
    })
}
