/// Where something begins in a text, both counted from 1.
public struct YAMLMark: Sendable, Hashable {
  public var line: Int
  /// In characters.
  public var column: Int

  public init(line: Int, column: Int) {
    self.line = line
    self.column = column
  }
}

/// A value of a YAML document with its place.
public indirect enum YAMLNode: Sendable, Equatable {
  /// `isPlain`: without quotes, so that it may be a number, a truth value or null.
  case scalar(String, isPlain: Bool, YAMLMark)
  case list([YAMLNode], YAMLMark)
  case map([Member], YAMLMark)

  /// A name and its value.
  public struct Member: Sendable, Equatable {
    public var name: String
    public var mark: YAMLMark
    public var value: YAMLNode
  }

  public var mark: YAMLMark {
    switch self {
    case .scalar(_, _, let mark), .list(_, let mark), .map(_, let mark): mark
    }
  }
}

/// Why a text can't be read.
public struct YAMLError: Error, Equatable {
  public var mark: YAMLMark
  public var message: String

  public init(_ mark: YAMLMark, _ message: String) {
    self.mark = mark
    self.message = message
  }
}

extension YAMLNode {
  /// The JSON of the value, by the core schema of YAML 1.2: `true`, `false`, `null`, numbers; all else is a text.
  public var json: String {
    switch self {
    case .scalar(let text, let isPlain, _): isPlain ? Self.plain(text) : Self.quoted(text)
    case .list(let items, _): "[" + items.map(\.json).joined(separator: ",") + "]"
    case .map(let members, _):
      "{" + members.map { Self.quoted($0.name) + ":" + $0.value.json }.joined(separator: ",") + "}"
    }
  }

  private static func plain(_ text: String) -> String {
    switch text {
    case "", "~", "null", "Null", "NULL": "null"
    case "true", "True", "TRUE": "true"
    case "false", "False", "FALSE": "false"
    default: isNumber(Array(text.utf8)) ? text : quoted(text)
    }
  }

  /// A number of JSON: what else YAML takes for one (`0x1f`, `.5`, `1_000`) is a text, which a field for numbers refuses.
  private static func isNumber(_ text: [UInt8]) -> Bool {
    var rest = text[...]
    func digits() -> Int {
      let count = rest.prefix { (0x30...0x39).contains($0) }.count
      rest = rest.dropFirst(count)
      return count
    }
    if rest.first == UInt8(ascii: "-") { rest.removeFirst() }
    let leading = rest.first
    let whole = digits()
    guard whole == 1 || (whole > 1 && leading != UInt8(ascii: "0")) else { return false }
    if rest.first == UInt8(ascii: ".") {
      rest.removeFirst()
      guard digits() > 0 else { return false }
    }
    if rest.first == UInt8(ascii: "e") || rest.first == UInt8(ascii: "E") {
      rest.removeFirst()
      if rest.first == UInt8(ascii: "-") || rest.first == UInt8(ascii: "+") { rest.removeFirst() }
      guard digits() > 0 else { return false }
    }
    return rest.isEmpty
  }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case _ where scalar.value < 0x20:
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }

  /// Where the value of a path like `image.environment.A` or `addresses[0].address` stands; the place of the nearest part of it
  /// that is there.
  public func place(of path: String) -> YAMLMark {
    var node = self
    var mark = self.mark
    for step in Self.steps(path) {
      switch (node, step) {
      case (.map(let members, _), .name(let name)):
        guard let member = members.first(where: { $0.name == name }) else { return mark }
        mark = member.mark
        node = member.value
      case (.list(let items, _), .index(let index)) where index < items.count:
        node = items[index]
        mark = node.mark
      default: return mark
      }
    }
    return mark
  }

  /// The names beside a member that a path names, whether it is there or not; none when there is no map.
  public func names(beside path: String) -> [String] {
    var node = self
    for step in Self.steps(path).dropLast() {
      switch (node, step) {
      case (.map(let members, _), .name(let name)):
        guard let member = members.first(where: { $0.name == name }) else { return [] }
        node = member.value
      case (.list(let items, _), .index(let index)) where index < items.count: node = items[index]
      default: return []
      }
    }
    guard case .map(let members, _) = node else { return [] }
    return members.map(\.name)
  }

  private enum Step {
    case name(String)
    case index(Int)
  }

  private static func steps(_ path: String) -> [Step] {
    path.split(separator: ".").flatMap { part -> [Step] in
      let pieces = part.split(separator: "[", omittingEmptySubsequences: false)
      let name = pieces.first.map { [Step.name(String($0))] } ?? []
      return name + pieces.dropFirst().compactMap { Int($0.dropLast()).map(Step.index) }
    }
  }
}
