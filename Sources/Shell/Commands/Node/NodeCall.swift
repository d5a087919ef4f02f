internal import ControlClient
internal import Domain

/// `roost node call`
enum NodeCall {
  static let command: Command = Command(
    "node call", "run its cell or model",
    purpose:
      "Runs a node's cell, or a model of it, with input and prints the output as JSON. Of a node with several models the input is {\"MODEL\": {...}}.",
    arguments: [Positional("NODE", "id or name")],
    flags: [
      inputFlag, Flag("folder", .text, value: "FOLDER", "the folder that calls, id or name (the node's own)"),
      Flag("timeout", .duration, "longest wait for the answer (the node's timeout and a minute)"),
    ],
    examples: [
      "roost node call iris --input '{\"input__0\": [[5.1, 3.5, 1.4, 0.2]]}'",
      "roost node call randomizer-node --input '{\"input_data\": {\"left_bound\": 1, \"right_bound\": 10}}'",
      "roost node call my-node --input @input.json", "echo '{\"x\": 1}' | roost node call my-node --input -",
    ],
    run: { context in
      let input = try input(context)
      let client = try context.client()
      let node = try client.node(context.first)
      guard node.kind == .cell || node.kind == .model else {
        throw CommandFailure(
          .usage,
          "node '\(node.name)' is made of servers and has no cell to run; call it as: roost node describe \(node.name) shows"
        )
      }
      let folder = try folder(context, client) ?? NodeDescribe.callingFolder(node).text
      let timeout = context.parsed.duration("timeout") ?? .seconds(60 + node.spec.timeoutSeconds)
      show(try client.execute(node.executePath, folder: folder, input: input, timeout: timeout), context)
    })

  static let inputFlag = Flag(
    "input", .text, value: "JSON|@FILE|-", "a JSON object with a member per input; - reads it from stdin")

  static func show(_ output: JSONTree, _ context: Context) {
    switch context.format {
    case .yaml: context.surroundings.print(YAMLEmitter.text(output))
    case .json: context.print(output.pretty)
    case .table, .name:
      context.print(context.surroundings.outputIsTerminal ? output.pretty : output.compact)
    }
  }

  static func input(_ context: Context) throws(CommandFailure) -> JSONTree {
    let text = context.parsed.text("input") ?? "{}"
    let bytes: [UInt8]
    if text == "-" {
      bytes = context.surroundings.readAll()
    } else if text.hasPrefix("@") {
      bytes = try LocalFile.read(String(text.dropFirst()))
    } else {
      bytes = Array(text.utf8)
    }
    do throws(JSONTreeError) {
      let tree = try JSONTree(parsing: bytes)
      if tree.isObject { return tree }
    } catch {
      throw CommandFailure(.usage, "--input: not JSON: \(error)")
    }
    throw CommandFailure(.usage, "--input: must be a JSON object with a member per input variable")
  }

  /// The id of the folder that the flag names.
  static func folder(_ context: Context, _ client: ControlClient) throws -> String? {
    guard let asked = context.parsed.text("folder") else { return nil }
    if FolderID(asked) != nil { return asked }
    guard let found = try client.folders().items.first(where: { $0.name == asked }) else {
      throw CommandFailure(.notFound, "folder: no folder '\(asked)'; list them with: roost folder list")
    }
    return found.id.text
  }
}
