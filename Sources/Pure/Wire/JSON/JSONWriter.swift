/// Appends compact JSON to bytes. The caller opens and closes what it writes; commas are put in by the writer.
public struct JSONWriter: Sendable {
  public private(set) var bytes: [UInt8] = []
  /// Whether a comma must stand before what comes next.
  private var needsComma = false

  public init() {}

  /// `{`
  public mutating func beginObject() { open(0x7b) }
  /// `}`
  public mutating func endObject() { close(0x7d) }
  /// `[`
  public mutating func beginArray() { open(0x5b) }
  /// `]`
  public mutating func endArray() { close(0x5d) }

  /// The name of a member; its value follows.
  public mutating func key(_ name: String) {
    separate()
    quote(name)
    bytes.append(0x3a)
    needsComma = false
  }

  public mutating func string(_ value: String) {
    separate()
    quote(value)
    needsComma = true
  }

  public mutating func integer(_ value: some BinaryInteger) { raw(String(value).utf8) }
  public mutating func bool(_ value: Bool) { raw((value ? "true" : "false").utf8) }
  public mutating func null() { raw("null".utf8) }

  /// Shortest text that reads back as the same number; not-finite numbers become null.
  public mutating func double(_ value: Double) {
    guard value.isFinite else { return null() }
    raw(String(value).utf8)
  }

  /// Bytes that are a JSON value already.
  public mutating func raw(_ value: some Sequence<UInt8>) {
    separate()
    bytes.append(contentsOf: value)
    needsComma = true
  }

  public mutating func member(_ name: String, _ value: String) {
    key(name)
    string(value)
  }

  public mutating func member(_ name: String, _ value: some BinaryInteger) {
    key(name)
    integer(value)
  }

  public mutating func member(_ name: String, _ value: Bool) {
    key(name)
    bool(value)
  }

  /// A whole tree.
  public mutating func value(_ value: JSONValue) {
    switch value {
    case .null: null()
    case .bool(let value): bool(value)
    case .integer(let value): integer(value)
    case .double(let value): double(value)
    case .string(let value): string(value)
    case .array(let items):
      beginArray()
      for item in items { self.value(item) }
      endArray()
    case .object(let object):
      beginObject()
      for member in object.members {
        key(member.key)
        self.value(member.value)
      }
      endObject()
    }
  }

  private mutating func open(_ byte: UInt8) {
    separate()
    bytes.append(byte)
    needsComma = false
  }

  private mutating func close(_ byte: UInt8) {
    bytes.append(byte)
    needsComma = true
  }

  private mutating func separate() { if needsComma { bytes.append(0x2c) } }

  private mutating func quote(_ text: String) {
    bytes.append(0x22)
    for byte in text.utf8 {
      if byte < 0x20 || byte == 0x22 || byte == 0x5c {
        Self.escape(byte, into: &bytes)
      } else {
        bytes.append(byte)
      }
    }
    bytes.append(0x22)
  }

  /// Appends the escape of a control byte, a quote or a backslash.
  static func escape(_ byte: UInt8, into bytes: inout [UInt8]) {
    bytes.append(0x5c)
    switch byte {
    case 0x22, 0x5c: bytes.append(byte)
    case 0x0a: bytes.append(0x6e)
    case 0x0d: bytes.append(0x72)
    case 0x09: bytes.append(0x74)
    default:
      let digits: StaticString = "0123456789abcdef"
      bytes.append(contentsOf: [0x75, 0x30, 0x30])
      bytes.append(digits.utf8Start[Int(byte >> 4 & 15)])
      bytes.append(digits.utf8Start[Int(byte & 15)])
    }
  }
}
