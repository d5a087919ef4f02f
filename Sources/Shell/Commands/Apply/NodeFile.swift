internal import ControlClient
internal import Domain
internal import YAMLText

/// Files that describe nodes and aliases: each YAML document is the body of a creation, with its `kind`.
struct NodeFile {
  /// One document.
  struct Document {
    /// As the user named the file; `stdin` for `-`.
    var file: String
    var node: YAMLNode
    var name: String
    var isAlias = false

    /// The body of the creation: the kind of an alias is said by where it goes.
    var json: String {
      guard isAlias, case .map(let members, let mark) = node else { return node.json }
      return YAMLNode.map(members.filter { $0.name != "kind" }, mark).json
    }

    /// `FILE:line:column: ` before a message.
    func place(of field: String) -> String {
      let mark = node.place(of: field)
      return "\(file):\(mark.line):\(mark.column): "
    }
  }

  static let flag = Flag(
    "file", short: "f", .text, value: "FILE", "YAML file, - for the standard input", repeatable: true)

  /// All documents of all files, none of a name twice.
  static func documents(_ context: Context, _ command: Command) throws(CommandFailure) -> [Document] {
    let files = context.parsed.texts("file")
    guard !files.isEmpty else {
      throw .usage("give a file: -f FILE, or -f - for the standard input", command)
    }
    var found: [Document] = []
    for file in files {
      let bytes = file == "-" ? context.surroundings.readAll() : try LocalFile.read(file)
      for document in try documents(bytes, file: file == "-" ? "stdin" : file) {
        if let twin = found.first(where: {
          $0.name == document.name && $0.isAlias == document.isAlias
        }) {
          throw failure(
            "\(document.place(of: "name"))name: '\(document.name)' is there twice (also \(twin.place(of: "name").dropLast(2)))"
          )
        }
        found.append(document)
      }
    }
    guard !found.isEmpty else { throw failure("there is no document in \(files.joined(separator: ", "))") }
    return found
  }

  static func documents(_ bytes: [UInt8], file: String) throws(CommandFailure) -> [Document] {
    let nodes: [YAMLNode]
    do throws(YAMLError) { nodes = try YAMLReader.documents(bytes) } catch {
      throw failure("\(file):\(error.mark.line):\(error.mark.column): \(error.message)")
    }
    var found: [Document] = []
    for node in nodes { found.append(try document(node, file: file)) }
    return found
  }

  private static func document(_ node: YAMLNode, file: String) throws(CommandFailure) -> Document {
    var document = Document(file: file, node: node, name: "")
    let kinds = NodeKind.allCases.map(\.rawValue) + ["alias"]
    func text(_ field: String) throws(CommandFailure) -> String {
      guard case .map(let members, _) = node else {
        throw failure("\(document.place(of: ""))a document must be a map, like kind: image")
      }
      guard let member = members.first(where: { $0.name == field }) else {
        let near = Suggestion.nearest(field, among: members.map(\.name))
          .map { "; did you mean it by '\($0)'?" }
        throw failure("\(document.place(of: ""))\(field): missing; it is required\(near ?? "")")
      }
      guard case .scalar(let text, _, _) = member.value, !text.isEmpty else {
        throw failure("\(document.place(of: field))\(field): must be a text")
      }
      return text
    }
    let kind = try text("kind")
    guard kinds.contains(kind) else {
      let near = Suggestion.nearest(kind, among: kinds).map { "; did you mean '\($0)'?" } ?? ""
      throw failure(
        "\(document.place(of: "kind"))kind: '\(kind)' is not known; use one of \(kinds.joined(separator: ", "))\(near)"
      )
    }
    document.name = try text("name")
    document.isAlias = kind == "alias"
    return document
  }

  /// An answer of the server about a document, with the place of the field that is wrong.
  static func failure(_ error: ClientError, _ document: Document) -> CommandFailure {
    guard let field = error.field, case .refused = error.kind else { return CommandFailure(error) }
    var failure = CommandFailure(error)
    failure.details.removeAll { $0.hasPrefix("field: ") }
    failure.message = document.place(of: field) + suggested(error.message, field)
    if error.message.hasSuffix("missing; it is required"), let word = field.split(separator: ".").last,
      let near = Suggestion.nearest(String(word), among: document.node.names(beside: field))
    {
      failure.message += "; did you mean it by '\(near)'?"
    }
    return failure
  }

  /// `a.prot: unknown field; the known ones are port, ...` with the nearest of them.
  private static func suggested(_ message: String, _ field: String) -> String {
    let sides = message.split(separator: "; the known ones are ", maxSplits: 1)
    guard sides.count == 2, message.contains("unknown field"), let word = field.split(separator: ".").last
    else { return message }
    let known = sides[1].split(separator: ", ").map(String.init)
    guard let near = Suggestion.nearest(String(word), among: known) else { return message }
    return "\(sides[0]); did you mean '\(near)'? (\(sides[1]))"
  }

  private static func failure(_ message: String) -> CommandFailure { CommandFailure(.usage, message) }
}
