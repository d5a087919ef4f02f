/// A JSON text as a tree for printing: members keep their order, numbers the way they were written.
public indirect enum JSONTree: Sendable, Equatable {
  case null
  case bool(Bool)
  /// As it stands in the text, so that no digit is lost.
  case number(String)
  case string(String)
  case array([JSONTree])
  case object([Member])

  /// A name and its value.
  public struct Member: Sendable, Equatable {
    public var key: String
    public var value: JSONTree

    public init(_ key: String, _ value: JSONTree) {
      self.key = key
      self.value = value
    }
  }

  /// The first member of this name; nil for what is not an object.
  public subscript(key: String) -> JSONTree? {
    if case .object(let members) = self { members.first { $0.key == key }?.value } else { nil }
  }

  public var stringValue: String? { if case .string(let value) = self { value } else { nil } }
  public var integerValue: Int? { if case .number(let text) = self { Int(text) } else { nil } }
  public var arrayValue: [JSONTree]? { if case .array(let items) = self { items } else { nil } }
  public var isObject: Bool { if case .object = self { true } else { false } }

  /// One line without spaces.
  public var compact: String {
    switch self {
    case .null: "null"
    case .bool(let value): value ? "true" : "false"
    case .number(let text): text
    case .string(let text): Self.quoted(text)
    case .array(let items): "[" + items.map(\.compact).joined(separator: ",") + "]"
    case .object(let members):
      "{" + members.map { Self.quoted($0.key) + ":" + $0.value.compact }.joined(separator: ",") + "}"
    }
  }

  /// Indented by two spaces.
  public var pretty: String { pretty(indent: "") }

  private func pretty(indent: String) -> String {
    let inner = indent + "  "
    switch self {
    case .array(let items) where !items.isEmpty:
      return "[\n" + items.map { inner + $0.pretty(indent: inner) }.joined(separator: ",\n") + "\n\(indent)]"
    case .object(let members) where !members.isEmpty:
      let lines = members.map { "\(inner)\(Self.quoted($0.key)): \($0.value.pretty(indent: inner))" }
      return "{\n" + lines.joined(separator: ",\n") + "\n\(indent)}"
    default: return compact
    }
  }

  /// A JSON string with its quotes.
  public static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case _ where scalar.value < 0x20 || scalar.value == 0x7f:
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}

/// Why a text is not JSON.
public struct JSONTreeError: Error, Sendable, CustomStringConvertible {
  public var offset: Int
  public var reason: String
  public var description: String { "byte \(offset): \(reason)" }
}

extension JSONTree {
  /// Reads one JSON value and nothing behind it, at most 128 levels deep.
  public init(parsing bytes: [UInt8]) throws(JSONTreeError) {
    var reader = JSONTreeReader(bytes: bytes)
    self = try reader.document()
  }

  public init(parsing text: String) throws(JSONTreeError) { try self.init(parsing: Array(text.utf8)) }
}

private struct JSONTreeReader {
  let bytes: [UInt8]
  var at = 0
  var depth = 0

  init(bytes: [UInt8]) { self.bytes = bytes }

  mutating func document() throws(JSONTreeError) -> JSONTree {
    let value = try value()
    skipSpace()
    guard at == bytes.count else { throw fail("nothing may follow the JSON value") }
    return value
  }

  private func fail(_ reason: String) -> JSONTreeError { JSONTreeError(offset: at, reason: reason) }
  private var byte: UInt8? { at < bytes.count ? bytes[at] : nil }

  private mutating func skipSpace() {
    while let byte, [0x20, 0x09, 0x0a, 0x0d].contains(byte) { at += 1 }
  }

  private mutating func value() throws(JSONTreeError) -> JSONTree {
    skipSpace()
    guard let first = byte else { throw fail("the text ends where a value is expected") }
    switch first {
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "{"):
      return .object(try list(until: "}") { reader throws(JSONTreeError) in try reader.member() })
    case UInt8(ascii: "["):
      return .array(try list(until: "]") { reader throws(JSONTreeError) in try reader.value() })
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    default: return try number()
    }
  }

  private mutating func word(_ text: String, _ value: JSONTree) throws(JSONTreeError) -> JSONTree {
    guard bytes[at...].starts(with: text.utf8) else { throw fail("expected \(text)") }
    at += text.utf8.count
    return value
  }

  private mutating func number() throws(JSONTreeError) -> JSONTree {
    let start = at
    while let byte, (0x30...0x39).contains(byte) || [0x2b, 0x2d, 0x2e, 0x45, 0x65].contains(byte) { at += 1 }
    let text = String(decoding: bytes[start..<at], as: UTF8.self)
    guard let first = text.first, first == "-" || first.isNumber, Double(text) != nil else {
      at = start
      throw fail("expected a JSON value")
    }
    return .number(text)
  }

  private mutating func member() throws(JSONTreeError) -> JSONTree.Member {
    skipSpace()
    guard byte == UInt8(ascii: "\"") else { throw fail("expected the name of a member in double quotes") }
    let key = try string()
    skipSpace()
    guard byte == UInt8(ascii: ":") else { throw fail("expected ':'") }
    at += 1
    return JSONTree.Member(key, try value())
  }

  private mutating func list<Item>(
    until end: Unicode.Scalar, _ item: (inout JSONTreeReader) throws(JSONTreeError) -> Item
  ) throws(JSONTreeError) -> [Item] {
    let end = UInt8(ascii: end)
    depth += 1
    defer { depth -= 1 }
    guard depth <= 128 else { throw fail("more than 128 levels") }
    at += 1
    var items: [Item] = []
    skipSpace()
    if byte == end {
      at += 1
      return items
    }
    while true {
      items.append(try item(&self))
      skipSpace()
      guard let next = byte, next == end || next == UInt8(ascii: ",") else {
        throw fail("expected ',' or the end")
      }
      at += 1
      if next == end { return items }
    }
  }

  private mutating func string() throws(JSONTreeError) -> String {
    at += 1
    var result: [UInt8] = []
    while let byte {
      at += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let text = String(validating: result, as: UTF8.self) else {
          throw fail("the string is not UTF-8")
        }
        return text
      case UInt8(ascii: "\\"): try escape(&result)
      case 0..<0x20: throw fail("a control character in a string must be escaped")
      default: result.append(byte)
      }
    }
    throw fail("the string does not end")
  }

  private mutating func escape(_ result: inout [UInt8]) throws(JSONTreeError) {
    guard let byte else { throw fail("the string does not end") }
    at += 1
    switch byte {
    case UInt8(ascii: "n"): result.append(0x0a)
    case UInt8(ascii: "t"): result.append(0x09)
    case UInt8(ascii: "r"): result.append(0x0d)
    case UInt8(ascii: "b"): result.append(0x08)
    case UInt8(ascii: "f"): result.append(0x0c)
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): result.append(byte)
    case UInt8(ascii: "u"):
      var code = try unit()
      if (0xd800..<0xdc00).contains(code), bytes[at...].starts(with: [0x5c, 0x75]) {
        at += 2
        let low = try unit()
        guard (0xdc00..<0xe000).contains(low) else { throw fail("half a surrogate pair") }
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00)
      }
      // A lone half is what Python may have written: shown as the replacement character.
      result.append(contentsOf: String(Unicode.Scalar(code) ?? "\u{fffd}").utf8)
    default: throw fail("unknown escape")
    }
  }

  private mutating func unit() throws(JSONTreeError) -> UInt32 {
    guard at + 4 <= bytes.count,
      let code = UInt32(String(decoding: bytes[at..<(at + 4)], as: UTF8.self), radix: 16)
    else { throw fail("\\u needs four hex digits") }
    at += 4
    return code
  }
}
