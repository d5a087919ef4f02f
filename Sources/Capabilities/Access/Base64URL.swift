/// Base64url without padding (RFC 4648, section 5), strict: one text per value.
enum Base64URL {
  private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

  static func encode(_ bytes: some Collection<UInt8>) -> String {
    var result: [UInt8] = []
    result.reserveCapacity((bytes.count * 4 + 2) / 3)
    var buffer = 0
    var bits = 0
    for byte in bytes {
      buffer = (buffer << 8 | Int(byte)) & 0xffff
      bits += 8
      while bits >= 6 {
        bits -= 6
        result.append(alphabet[buffer >> bits & 63])
      }
    }
    if bits > 0 { result.append(alphabet[buffer << (6 - bits) & 63]) }
    return String(decoding: result, as: UTF8.self)
  }

  /// Nil for characters outside the alphabet, padding, impossible lengths and non-zero spare bits: a token
  /// must have
  /// one spelling only, or a revoked or cached one could be presented in another.
  static func decode(_ text: some Collection<UInt8>) -> [UInt8]? {
    guard text.count % 4 != 1 else { return nil }
    var result: [UInt8] = []
    result.reserveCapacity(text.count * 3 / 4)
    var buffer = 0
    var bits = 0
    for character in text {
      guard let value = value(of: character) else { return nil }
      buffer = (buffer << 6 | value) & 0xffff
      bits += 6
      if bits >= 8 {
        bits -= 8
        result.append(UInt8(buffer >> bits & 0xff))
      }
    }
    guard buffer & ((1 << bits) - 1) == 0 else { return nil }
    return result
  }

  private static func value(of character: UInt8) -> Int? {
    switch character {
    case 0x41...0x5a: Int(character) - 0x41
    case 0x61...0x7a: Int(character) - 0x61 + 26
    case 0x30...0x39: Int(character) - 0x30 + 52
    case 0x2d: 62
    case 0x5f: 63
    default: nil
    }
  }
}
