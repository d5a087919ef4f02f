/// A whole JSON text as a tree: for the management API, never for the execute path.
public enum JSONValue: Sendable, Equatable {
  case null
  case bool(Bool)
  case integer(Int64)
  case double(Double)
  case string(String)
  case array([JSONValue])
  case object(JSONObject)

  /// Parses one strict JSON text: UTF-8, no trailing bytes, no duplicate keys, at most 64 levels.
  public init(parsing bytes: [UInt8]) throws(JSONError) {
    var result: Result<JSONValue, JSONError> = .success(.null)
    bytes.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress else {
        result = .failure(JSONError(offset: 0, reason: "the text is empty; send a JSON value"))
        return
      }
      var scanner = JSONScanner(base: base, count: buffer.count)
      do throws(JSONError) {
        scanner.skipSpace()
        let value = try JSONValue.read(&scanner)
        try scanner.expectEnd()
        result = .success(value)
      } catch { result = .failure(error) }
    }
    self = try result.get()
  }

  /// Parses text.
  public init(parsing text: String) throws(JSONError) { try self.init(parsing: Array(text.utf8)) }

  /// The name of the value's kind for messages: `string`, `object`...
  public var kind: String {
    switch self {
    case .null: "null"
    case .bool: "boolean"
    case .integer: "integer"
    case .double: "number"
    case .string: "string"
    case .array: "array"
    case .object: "object"
    }
  }

  /// The member of an object; nil for other kinds.
  public subscript(key: String) -> JSONValue? {
    if case .object(let object) = self { object[key] } else { nil }
  }

  public var stringValue: String? { if case .string(let value) = self { value } else { nil } }
  public var arrayValue: [JSONValue]? { if case .array(let value) = self { value } else { nil } }
  public var objectValue: JSONObject? { if case .object(let value) = self { value } else { nil } }
  public var boolValue: Bool? { if case .bool(let value) = self { value } else { nil } }
  public var integerValue: Int64? { if case .integer(let value) = self { value } else { nil } }
  public var doubleValue: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .double(let value): value
    default: nil
    }
  }

  /// Compact JSON.
  public var bytes: [UInt8] {
    var writer = JSONWriter()
    writer.value(self)
    return writer.bytes
  }

  private static func read(_ scanner: inout JSONScanner) throws(JSONError) -> JSONValue {
    guard let first = scanner.byte else { throw scanner.fail(scanner.expected("a value")) }
    let start = scanner.at
    switch first {
    case 0x22: return .string(try readString(&scanner))
    case 0x7b:
      var object = JSONObject()
      try scanner.enter()
      if scanner.byte != 0x7d {
        repeat {
          guard scanner.byte == 0x22 else {
            throw scanner.fail(scanner.expected("'\"' of a member's name"))
          }
          let at = scanner.at
          let key = try readString(&scanner)
          try scanner.expectColon()
          guard object.add(key, try read(&scanner)) else {
            throw scanner.fail("the key '\(key)' is given twice", at: at)
          }
        } while try scanner.more(until: 0x7d)
      }
      scanner.leave()
      return .object(object)
    case 0x5b:
      var items: [JSONValue] = []
      try scanner.enter()
      if scanner.byte != 0x5d {
        repeat { items.append(try read(&scanner)) } while try scanner.more(until: 0x5d)
      }
      scanner.leave()
      return .array(items)
    case 0x2d, 0x30...0x39:
      let whole = try scanner.skipNumber()
      let text = String(
        decoding: UnsafeBufferPointer(start: scanner.base + start, count: scanner.at - start),
        as: UTF8.self)
      if whole, let value = Int64(text) { return .integer(value) }
      guard let value = Double(text), value.isFinite else {
        throw scanner.fail("the number \(text) is out of range", at: start)
      }
      return .double(value)
    default:
      try scanner.skipValue()
      return first == 0x6e ? .null : .bool(first == 0x74)
    }
  }

  private static func readString(_ scanner: inout JSONScanner) throws(JSONError) -> String {
    let start = scanner.at
    let escaped = try scanner.skipString()
    if escaped { return String(decoding: scanner.decoded(start..<scanner.at), as: UTF8.self) }
    return String(
      decoding: UnsafeBufferPointer(start: scanner.base + start + 1, count: scanner.at - start - 2),
      as: UTF8.self)
  }
}

/// Members of an object in their order.
public struct JSONObject: Sendable, Equatable {
  public private(set) var members: [(key: String, value: JSONValue)] = []
  private var places: [String: Int] = [:]

  public init() {}

  /// Makes an object; of members with equal keys the first stays.
  public init(_ members: [(key: String, value: JSONValue)]) {
    for member in members { _ = add(member.key, member.value) }
  }

  /// Appends a member; false when the key is there already.
  public mutating func add(_ key: String, _ value: JSONValue) -> Bool {
    guard places[key] == nil else { return false }
    places[key] = members.count
    members.append((key, value))
    return true
  }

  public subscript(key: String) -> JSONValue? { places[key].map { members[$0].value } }

  /// Equal when the members are, in any order.
  public static func == (left: Self, right: Self) -> Bool {
    left.members.count == right.members.count && left.members.allSatisfy { right[$0.key] == $0.value }
  }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
  ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral, ExpressibleByFloatLiteral,
  ExpressibleByNilLiteral
{
  public init(stringLiteral value: String) { self = .string(value) }
  public init(integerLiteral value: Int64) { self = .integer(value) }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(floatLiteral value: Double) { self = .double(value) }
  public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
  public init(nilLiteral: ()) { self = .null }
  public init(dictionaryLiteral elements: (String, JSONValue)...) {
    self = .object(JSONObject(elements.map { (key: $0.0, value: $0.1) }))
  }
}

extension JSONValue: Decodable {
  /// Any value, as it is. Works with `JSONDecoderStrict` only.
  public init(from decoder: any Decoder) throws {
    throw DecodingError.dataCorrupted(
      .init(codingPath: decoder.codingPath, debugDescription: "a JSONValue needs JSONDecoderStrict"))
  }
}
