/// Makes `Decodable` values out of `JSONValue`, refusing members that nobody asked for.
///
/// Every error is a `JSONFieldError` whose message begins with the path of the field and says what to send instead.
public enum JSONDecoderStrict {
  /// Decodes a parsed value.
  public static func decode<T: Decodable>(_ type: T.Type, from value: JSONValue) throws(JSONFieldError) -> T {
    do {
      return try Node(value: value, codingPath: []).decode(type)
    } catch let error as JSONFieldError {
      throw error
    } catch let error as DecodingError {
      throw translated(error)
    } catch {
      throw JSONFieldError(field: "", message: "the body can't be read: \(error)")
    }
  }

  /// Parses and decodes a body; a text that is not JSON is an error of the field "".
  public static func decode<T: Decodable>(_ type: T.Type, from bytes: [UInt8]) throws(JSONFieldError) -> T {
    let value: JSONValue
    do throws(JSONError) {
      value = try JSONValue(parsing: bytes)
    } catch {
      throw JSONFieldError(field: "", message: "the body is not valid JSON: \(error)")
    }
    return try decode(type, from: value)
  }

  static func path(_ keys: [any CodingKey]) -> String {
    var text = ""
    for key in keys {
      if let index = key.intValue {
        text += "[\(index)]"
      } else {
        text += (text.isEmpty ? "" : ".") + key.stringValue
      }
    }
    return text
  }

  static func error(_ keys: [any CodingKey], _ message: String) -> JSONFieldError {
    let field = path(keys)
    return JSONFieldError(field: field, message: (field.isEmpty ? "the body" : field) + ": " + message)
  }

  private static func translated(_ failure: DecodingError) -> JSONFieldError {
    switch failure {
    case .keyNotFound(let key, let context):
      error(context.codingPath + [key], "missing; it is required")
    case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
      error(context.codingPath, context.debugDescription)
    @unknown default: error([], "can't be read")
    }
  }
}

/// A key of a path.
struct PathKey: CodingKey {
  var stringValue: String
  var intValue: Int?

  init(stringValue: String) { self.stringValue = stringValue }
  init(intValue: Int) {
    self.intValue = intValue
    stringValue = String(intValue)
  }
}

/// Which members of one object were asked for.
private final class Asked {
  var keys: Set<String> = []
  var all = false
}

private struct Node: Decoder, SingleValueDecodingContainer {
  let value: JSONValue
  let codingPath: [any CodingKey]
  let asked = Asked()
  var userInfo: [CodingUserInfoKey: Any] { [:] }

  func fail(_ message: String) -> JSONFieldError { JSONDecoderStrict.error(codingPath, message) }

  /// Decodes the whole value as `T` and then looks for members that `T` never asked for.
  func decode<T: Decodable>(_ type: T.Type) throws -> T {
    if let words = Self.words(type) {
      guard let text = value.stringValue else {
        throw fail("must be a string, one of \(words.joined(separator: ", ")); it is \(article(value.kind))")
      }
      guard words.contains(text) else {
        let name = codingPath.last.map { $0.intValue == nil ? $0.stringValue : "value" } ?? "value"
        throw fail("unknown \(name) '\(text)'; use one of \(words.joined(separator: ", "))")
      }
    }
    if type == JSONValue.self, let whole = value as? T { return whole }
    let result = try T(from: self)
    if case .object(let object) = value, !asked.all, !asked.keys.isEmpty {
      for member in object.members where !asked.keys.contains(member.key) {
        let known = asked.keys.sorted().joined(separator: ", ")
        throw JSONDecoderStrict.error(
          codingPath + [PathKey(stringValue: member.key)], "unknown field; the known ones are \(known)")
      }
    }
    return result
  }

  /// The words of an enum of strings, which synthesized decoding would not name.
  private static func words<T>(_ type: T.Type) -> [String]? {
    guard let cases = type as? any CaseIterable.Type else { return nil }
    return rawValues(cases)
  }

  private static func rawValues<C: CaseIterable>(_ type: C.Type) -> [String]? {
    var words: [String] = []
    for item in type.allCases {
      guard let text = (item as? any RawRepresentable)?.rawValue as? String else { return nil }
      words.append(text)
    }
    return words.isEmpty ? nil : words
  }

  func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
    guard case .object(let object) = value else {
      throw fail("must be an object, it is \(article(value.kind))")
    }
    return KeyedDecodingContainer(Keyed<Key>(object: object, codingPath: codingPath, asked: asked))
  }

  func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
    guard case .array(let items) = value else { throw fail("must be an array, it is \(article(value.kind))") }
    return Unkeyed(items: items, codingPath: codingPath)
  }

  func singleValueContainer() throws -> any SingleValueDecodingContainer { self }

  func decodeNil() -> Bool { value == .null }

  func decode(_ type: Bool.Type) throws -> Bool {
    guard case .bool(let flag) = value else {
      throw fail("must be true or false, it is \(article(value.kind))")
    }
    return flag
  }

  func decode(_ type: String.Type) throws -> String {
    guard case .string(let text) = value else { throw fail("must be a string, it is \(article(value.kind))") }
    return text
  }

  func decode(_ type: Double.Type) throws -> Double {
    guard let number = value.doubleValue else {
      throw fail("must be a number, it is \(article(value.kind))")
    }
    return number
  }

  func decode(_ type: Float.Type) throws -> Float { Float(try decode(Double.self)) }

  private func number<T: FixedWidthInteger>(_ type: T.Type) throws -> T {
    switch value {
    case .integer(let number):
      guard let exact = T(exactly: number) else {
        throw fail("\(number) is out of range; use \(T.min) to \(T.max)")
      }
      return exact
    case .double(let number):
      guard let exact = T(exactly: number) else { throw fail("must be a whole number, it is \(number)") }
      return exact
    default: throw fail("must be an integer, it is \(article(value.kind))")
    }
  }

  func decode(_ type: Int.Type) throws -> Int { try number(type) }
  func decode(_ type: Int8.Type) throws -> Int8 { try number(type) }
  func decode(_ type: Int16.Type) throws -> Int16 { try number(type) }
  func decode(_ type: Int32.Type) throws -> Int32 { try number(type) }
  func decode(_ type: Int64.Type) throws -> Int64 { try number(type) }
  func decode(_ type: UInt.Type) throws -> UInt { try number(type) }
  func decode(_ type: UInt8.Type) throws -> UInt8 { try number(type) }
  func decode(_ type: UInt16.Type) throws -> UInt16 { try number(type) }
  func decode(_ type: UInt32.Type) throws -> UInt32 { try number(type) }
  func decode(_ type: UInt64.Type) throws -> UInt64 { try number(type) }
}

private func article(_ kind: String) -> String {
  switch kind {
  case "null": "null"
  case "array", "integer", "object": "an \(kind)"
  default: "a \(kind)"
  }
}

private struct Keyed<Key: CodingKey>: KeyedDecodingContainerProtocol {
  let object: JSONObject
  let codingPath: [any CodingKey]
  let asked: Asked

  var allKeys: [Key] {
    asked.all = true
    return object.members.compactMap { Key(stringValue: $0.key) }
  }

  func contains(_ key: Key) -> Bool {
    asked.keys.insert(key.stringValue)
    return object[key.stringValue] != nil
  }

  private func node(_ key: Key) throws -> Node {
    asked.keys.insert(key.stringValue)
    guard let value = object[key.stringValue] else {
      throw JSONDecoderStrict.error(codingPath + [key], "missing; it is required")
    }
    return Node(value: value, codingPath: codingPath + [key])
  }

  func decodeNil(forKey key: Key) throws -> Bool { try node(key).decodeNil() }
  func decode<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T { try node(key).decode(type) }
  func nestedContainer<Nested: CodingKey>(
    keyedBy type: Nested.Type, forKey key: Key
  ) throws -> KeyedDecodingContainer<Nested> { try node(key).container(keyedBy: type) }
  func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
    try node(key).unkeyedContainer()
  }
  func superDecoder() throws -> any Decoder { Node(value: .object(object), codingPath: codingPath) }
  func superDecoder(forKey key: Key) throws -> any Decoder { try node(key) }
}

private struct Unkeyed: UnkeyedDecodingContainer {
  let items: [JSONValue]
  let codingPath: [any CodingKey]
  var currentIndex = 0
  var count: Int? { items.count }
  var isAtEnd: Bool { currentIndex >= items.count }

  init(items: [JSONValue], codingPath: [any CodingKey]) {
    self.items = items
    self.codingPath = codingPath
  }

  private mutating func node() throws -> Node {
    let path = codingPath + [PathKey(intValue: currentIndex)]
    guard !isAtEnd else { throw JSONDecoderStrict.error(path, "missing; the array is too short") }
    defer { currentIndex += 1 }
    return Node(value: items[currentIndex], codingPath: path)
  }

  mutating func decodeNil() throws -> Bool {
    guard !isAtEnd, items[currentIndex] == .null else { return false }
    currentIndex += 1
    return true
  }
  mutating func decode<T: Decodable>(_ type: T.Type) throws -> T { try node().decode(type) }
  mutating func nestedContainer<Nested: CodingKey>(
    keyedBy type: Nested.Type
  ) throws -> KeyedDecodingContainer<Nested> { try node().container(keyedBy: type) }
  mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer {
    try node().unkeyedContainer()
  }
  mutating func superDecoder() throws -> any Decoder { try node() }
}
