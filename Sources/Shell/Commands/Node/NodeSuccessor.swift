internal import ControlClient
internal import Domain

/// Makes the node that takes another's place, for `roost node replace`.
enum NodeSuccessor {
  static let flags = [
    Flag(
      "file", short: "f", .text, value: "FILE",
      "make NEW, or change it, as this file says (- for the standard input)"),
    Flag("image", .text, value: "IMAGE", "make NEW like OLD, of another image"),
    Flag("checkpoint", .text, value: "CHECKPOINT", "make NEW like OLD, of another checkpoint"),
  ]

  /// What there is to send before the replacement; nil: NEW is there already.
  static func document(
    _ context: Context, _ client: ControlClient, like old: String, _ new: String, _ command: Command
  ) throws -> NodeFile.Document? {
    let given = flags.map(\.name).filter { context.parsed.text($0) != nil }
    guard let source = given.first else { return nil }
    guard given.count == 1 else {
      throw CommandFailure.usage(
        "\(given.map { "--\($0)" }.joined(separator: ", ")) exclude each other", command)
    }
    let bytes: [UInt8]
    let value = context.parsed.text(source) ?? ""
    if source == "file" {
      bytes = value == "-" ? context.surroundings.readAll() : try LocalFile.read(value)
    } else {
      bytes = Array(try copy(of: client.nodeRequest(old), named: new, source, value, command).pretty.utf8)
    }
    let name = source != "file" ? "\(old) with --\(source) \(value)" : value == "-" ? "stdin" : value
    let nodes = try NodeFile.documents(bytes, file: name).filter { !$0.isAlias && $0.name == new }
    guard let document = nodes.first else {
      throw CommandFailure.usage("--file: there is no node '\(new)' in \(name)", command)
    }
    return document
  }

  private static func copy(
    of old: JSONTree, named new: String, _ field: String, _ value: String, _ command: Command
  ) throws(CommandFailure) -> JSONTree {
    let kind = old["kind"]?.stringValue ?? ""
    let fitting = field == "image" ? "image" : "cell"
    guard case .object(var members) = old, kind == fitting else {
      throw .usage("--\(field): the node that is replaced is of kind \(kind), not \(fitting)", command)
    }
    func put(_ key: String, _ value: JSONTree, _ members: inout [JSONTree.Member]) {
      members.removeAll { $0.key == key }
      members.append(JSONTree.Member(key, value))
    }
    put("name", .string(new), &members)
    if field == "image", case .object(var image)? = old["image"] {
      put("reference", .string(value), &image)
      put("image", .object(image), &members)
    } else {
      put(field, .string(value), &members)
    }
    return .object(members)
  }
}
