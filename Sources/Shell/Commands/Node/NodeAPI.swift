internal import ControlClient
internal import Domain

/// `roost node api`
enum NodeAPI {
  static let command: Command = Command(
    "node api", "its OpenAPI document or .proto",
    purpose:
      "Prints the generated API of a cell node: an OpenAPI 3.1 document, or the .proto of its typed gRPC service.",
    arguments: [Positional("NODE", "id or name")],
    flags: [Flag("format", .choice(["openapi", "proto"]), "which document; openapi is the default")],
    examples: [
      "roost node api my-node > my-node.json", "roost node api my-node --format proto > my_node.proto",
    ],
    run: { context in
      let client = try context.client()
      if context.parsed.text("format") == "proto" {
        return context.print(try client.nodeProto(context.first))
      }
      let document = try client.nodeOpenAPI(context.first)
      if context.format == .yaml { return context.surroundings.print(YAMLEmitter.text(document)) }
      context.print(document.pretty)
    })
}
