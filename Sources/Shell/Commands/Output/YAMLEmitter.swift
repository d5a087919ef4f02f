internal import ControlClient

/// Writes a tree as YAML: block style, quotes where a reader could take a text for something else.
enum YAMLEmitter {
  static func text(_ tree: JSONTree) -> String { block(tree, indent: "").joined(separator: "\n") + "\n" }

  /// Turns a JSON text into YAML.
  static func text(json: String) throws -> String { text(try JSONTree(parsing: json)) }

  private static func block(_ tree: JSONTree, indent: String) -> [String] {
    switch tree {
    case .object(let members) where !members.isEmpty:
      members.flatMap { entry("\(indent)\(key($0.key)):", $0.value, indent: indent) }
    case .array(let items) where !items.isEmpty:
      items.flatMap { item -> [String] in
        var lines = block(item, indent: indent + "  ")
        // The first line moves up behind the dash.
        lines[0] = indent + "- " + lines[0].trimmedStart
        return lines
      }
    case .string(let text) where text.contains("\n"): [JSONTree.quoted(text)]
    default: [indent + scalar(tree)]
    }
  }

  private static func entry(_ head: String, _ value: JSONTree, indent: String) -> [String] {
    switch value {
    case .object(let members) where !members.isEmpty: [head] + block(value, indent: indent + "  ")
    case .array(let items) where !items.isEmpty: [head] + block(value, indent: indent)
    case .string(let text) where isLiteral(text): literal(head, text, indent: indent + "  ")
    default: [head + " " + scalar(value)]
    }
  }

  /// Whether a text of several lines may stand as a block.
  private static func isLiteral(_ text: String) -> Bool {
    text.contains("\n") && text.first != " " && text.first != "\n" && !text.hasSuffix("\n\n")
      && text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7f || $0 == "\n" }
  }

  private static func literal(_ head: String, _ text: String, indent: String) -> [String] {
    var lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    let ends = text.hasSuffix("\n")
    if ends { lines.removeLast() }
    return [head + (ends ? " |" : " |-")] + lines.map { $0.isEmpty ? "" : indent + $0 }
  }

  private static func scalar(_ tree: JSONTree) -> String {
    if case .string(let text) = tree { return isPlain(text) ? text : JSONTree.quoted(text) }
    return tree.compact
  }

  private static func key(_ text: String) -> String { isPlain(text) ? text : JSONTree.quoted(text) }

  private static func isPlain(_ text: String) -> Bool {
    let words: Set = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
    guard let first = text.unicodeScalars.first, first.isASCII, first.properties.isAlphabetic || first == "/",
      !words.contains(text.lowercased()), text.last != " ", text.last != ":"
    else { return false }
    let marks = "-_./@+()= :,"
    return !text.contains(": ") && !text.contains(" #")
      && text.unicodeScalars.allSatisfy { scalar in
        scalar.isASCII && (scalar.properties.isAlphabetic || scalar.properties.numericType != nil)
          || marks.unicodeScalars.contains(scalar)
      }
  }
}

extension String {
  fileprivate var trimmedStart: String { String(drop { $0 == " " }) }
}
