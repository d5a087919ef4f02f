internal import ControlClient
internal import Domain

/// `roost node api`
enum NodeAPI {
  static let command: Command = Command(
    "node api", "its OpenAPI document, .proto or example",
    purpose:
      "Prints the generated API of a node of a cell or of saved models: an OpenAPI 3.1 document, the .proto of its typed gRPC services, or an example of its inputs (of a cell made of the values the notebook had).",
    arguments: [Positional("NODE", "id or name")],
    flags: [
      Flag("format", .choice(["openapi", "proto"]), "which document; openapi is the default"),
      Flag("proto", .toggle, "the same as --format proto"),
      Flag("example", .toggle, "inputs for one request, as `roost node call` takes them"),
    ],
    examples: [
      "roost node api my-node > my-node.json", "roost node api my-node --proto > my_node.proto",
      "roost node api my-node --example | roost node call my-node --input -",
    ],
    run: { context in
      let client = try context.client()
      if context.parsed.toggle("example") { return try example(context, client) }
      if context.parsed.toggle("proto") || context.parsed.text("format") == "proto" {
        return context.print(try client.nodeProto(context.first))
      }
      let document = try client.nodeOpenAPI(context.first)
      if context.format == .yaml { return context.surroundings.print(YAMLEmitter.text(document)) }
      context.print(document.pretty)
    })

  private static func example(_ context: Context, _ client: ControlClient) throws {
    let node = try client.node(context.first)
    guard let text = node.example, let example = try? JSONTree(parsing: text) else {
      throw CommandFailure(
        .notFound,
        "node '\(node.name)' has no example: \(node.kind == .cell || node.kind == .model ? "it was made by an earlier version" : "it is made of servers")"
      )
    }
    if context.format == .yaml { return context.surroundings.print(YAMLEmitter.text(example)) }
    context.print(example.pretty)
  }
}
