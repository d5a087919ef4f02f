internal import ControlClient
internal import Domain

/// `roost alias get`
enum AliasGet {
  static let command: Command = Command(
    "alias get", "the file that it could be made of",
    purpose:
      "Prints an alias as a file (YAML, or JSON with -o json): applied again it changes nothing, with another name it makes another alias in front of the same nodes.",
    arguments: [Positional("ALIAS", "id or name")], flags: [],
    examples: ["roost alias get prod > prod.yaml", "roost diff -f prod.yaml"],
    run: { context in
      var request = try context.client().aliasRequest(context.first)
      if case .object(let members) = request {
        request = .object([JSONTree.Member("kind", .string("alias"))] + members)
      }
      switch context.format {
      case .json: context.print(request.pretty)
      case .name: context.print(request["name"]?.stringValue ?? context.first)
      case .table, .yaml: context.surroundings.print(YAMLEmitter.text(NodeGet.ordered(request)))
      }
    })
}
