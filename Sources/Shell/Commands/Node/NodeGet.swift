internal import ControlClient
internal import Domain

/// `roost node get`
enum NodeGet {
  static let command: Command = Command(
    "node get", "the file that it could be made of",
    purpose:
      "Prints a node as a file (YAML, or JSON with -o json): applied again it changes nothing, with another name it makes another node of the same kind.",
    arguments: [Positional("NODE", "id or name")], flags: [],
    examples: ["roost node get my-node > my-node.yaml", "roost diff -f my-node.yaml"],
    run: { context in
      let request = try context.client().nodeRequest(context.first)
      switch context.format {
      case .json: context.print(request.pretty)
      case .name: context.print(request["name"]?.stringValue ?? context.first)
      case .table, .yaml: context.surroundings.print(YAMLEmitter.text(NodeGet.ordered(request)))
      }
    })

  /// What it is first, then the rest by name.
  static func ordered(_ request: JSONTree) -> JSONTree {
    guard case .object(let members) = request else { return request }
    let first = ["kind", "name", "description", "project", "folder", "checkpoint", "image", "addresses"]
    let rest = members.map(\.key).filter { !first.contains($0) }.sorted()
    return .object(
      (first + rest).compactMap { key in request[key].map { JSONTree.Member(key, $0) } })
  }
}
