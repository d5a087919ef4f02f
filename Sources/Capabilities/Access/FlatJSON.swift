/// A JSON object of strings and integers only, as headers and claims of this server's tokens are.
///
/// Strict on purpose: duplicate keys, nested values, fractions and trailing bytes are refused, so that no two
/// readers can understand one token in two ways. Claims that others write may also hold lists of strings
/// (`aud`, RFC 7519 section 4.1.3) and times with a fraction (`NumericDate`, section 2).
struct FlatJSON {
  enum Value: Equatable {
    case string(String)
    case integer(Int64)
    case strings([String])
    case decimal(Double)
  }

  private(set) var members: [String: Value] = [:]

  func string(_ key: String) -> String? {
    guard case .string(let text)? = members[key] else { return nil }
    return text
  }

  func integer(_ key: String) -> Int64? {
    guard case .integer(let number)? = members[key] else { return nil }
    return number
  }

  /// A string or a list of them.
  func strings(_ key: String) -> [String] {
    switch members[key] {
    case .string(let text): [text]
    case .strings(let texts): texts
    default: []
    }
  }

  /// A number without its fraction; nil when it is none or does not fit.
  func wholeSeconds(_ key: String) -> Int64? {
    switch members[key] {
    case .integer(let number): number
    case .decimal(let number): Int64(exactly: number.rounded(.down))
    default: nil
    }
  }

  /// `isForeign`: takes lists of strings and fractions too.
  init?(_ bytes: [UInt8], isForeign: Bool = false) {
    var reader = Reader(bytes: bytes, isForeign: isForeign)
    guard let members = reader.object() else { return nil }
    self.members = members
  }

  /// Writes members in the order given.
  static func encode(_ members: KeyValuePairs<String, Value>) -> String {
    let parts = members.map { key, value in
      switch value {
      case .string(let text): "\(quoted(key)):\(quoted(text))"
      case .integer(let number): "\(quoted(key)):\(number)"
      case .strings(let texts): "\(quoted(key)):[\(texts.map(quoted).joined(separator: ","))]"
      case .decimal(let number): "\(quoted(key)):\(number)"
      }
    }
    return "{\(parts.joined(separator: ","))}"
  }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case let control where control.value < 0x20:
        let digits = String(control.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}

private struct Reader {
  let bytes: [UInt8]
  let isForeign: Bool
  var position = 0

  init(bytes: [UInt8], isForeign: Bool) {
    self.bytes = bytes
    self.isForeign = isForeign
  }

  mutating func object() -> [String: FlatJSON.Value]? {
    var members: [String: FlatJSON.Value] = [:]
    guard take(0x7b) else { return nil }
    if !take(0x7d) {
      repeat {
        skipSpace()
        guard let key = string(), members[key] == nil, take(0x3a), let value = value() else { return nil }
        members[key] = value
      } while take(0x2c)
      guard take(0x7d) else { return nil }
    }
    skipSpace()
    return position == bytes.count ? members : nil
  }

  private mutating func value() -> FlatJSON.Value? {
    skipSpace()
    guard position < bytes.count else { return nil }
    if bytes[position] == 0x22 { return string().map { .string($0) } }
    guard isForeign else { return integer().map { .integer($0) } }
    return bytes[position] == 0x5b ? strings().map { .strings($0) } : number()
  }

  private mutating func strings() -> [String]? {
    var texts: [String] = []
    guard take(0x5b) else { return nil }
    if take(0x5d) { return texts }
    repeat {
      skipSpace()
      guard let text = string() else { return nil }
      texts.append(text)
    } while take(0x2c)
    return take(0x5d) ? texts : nil
  }

  private mutating func number() -> FlatJSON.Value? {
    let start = position
    if let whole = integer(), position == bytes.count || ![0x2e, 0x65, 0x45].contains(bytes[position]) {
      return .integer(whole)
    }
    position = start
    while position < bytes.count,
      [0x2b, 0x2d, 0x2e, 0x45, 0x65].contains(bytes[position])
        || (0x30...0x39).contains(bytes[position])
    {
      position += 1
    }
    let text = bytes[start..<position]
    guard let first = text.first, let last = text.last, (0x30...0x39).contains(first),
      (0x30...0x39).contains(last), let number = Double(String(decoding: text, as: UTF8.self))
    else { return nil }
    return .decimal(number)
  }

  private mutating func integer() -> Int64? {
    let start = position
    while position < bytes.count, bytes[position] == 0x2d || (0x30...0x39).contains(bytes[position]) {
      position += 1
    }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    guard let number = Int64(text), String(number) == text else { return nil }
    return number
  }

  private mutating func string() -> String? {
    guard position < bytes.count, bytes[position] == 0x22 else { return nil }
    position += 1
    var units: [UInt8] = []
    while position < bytes.count {
      let byte = bytes[position]
      position += 1
      switch byte {
      case 0x22: return String(validating: units, as: UTF8.self)
      case 0x5c:
        guard let scalar = escape() else { return nil }
        units += Array(String(Character(scalar)).utf8)
      case 0..<0x20: return nil
      default: units.append(byte)
      }
    }
    return nil
  }

  /// What follows a backslash; surrogate pairs are refused, UTF-8 can be written as is.
  private mutating func escape() -> Unicode.Scalar? {
    guard position < bytes.count else { return nil }
    let byte = bytes[position]
    position += 1
    switch byte {
    case 0x22, 0x5c, 0x2f: return Unicode.Scalar(byte)
    case 0x62: return "\u{8}"
    case 0x66: return "\u{c}"
    case 0x6e: return "\n"
    case 0x72: return "\r"
    case 0x74: return "\t"
    case 0x75:
      guard position + 4 <= bytes.count else { return nil }
      let digits = bytes[position..<(position + 4)]
      position += 4
      let isHex = digits.allSatisfy {
        (0x30...0x39).contains($0) || (0x41...0x46).contains($0) || (0x61...0x66).contains($0)
      }
      guard isHex, let value = UInt32(String(decoding: digits, as: UTF8.self), radix: 16) else { return nil }
      return Unicode.Scalar(value)
    default: return nil
    }
  }

  private mutating func take(_ byte: UInt8) -> Bool {
    skipSpace()
    guard position < bytes.count, bytes[position] == byte else { return false }
    position += 1
    return true
  }

  private mutating func skipSpace() {
    while position < bytes.count, [0x20, 0x09, 0x0a, 0x0d].contains(bytes[position]) { position += 1 }
  }
}
