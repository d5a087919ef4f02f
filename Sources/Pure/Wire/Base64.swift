/// Base64 of RFC 4648 section 4.
public enum Base64 {
  private static let alphabet: StaticString =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

  public static func encoded(_ bytes: some Collection<UInt8>, padded: Bool = true) -> String {
    var out: [UInt8] = []
    append(bytes, padded: padded, to: &out)
    return String(decoding: out, as: UTF8.self)
  }

  /// Appends the encoded text.
  public static func append(_ bytes: some Collection<UInt8>, padded: Bool = true, to out: inout [UInt8]) {
    out.reserveCapacity(out.count + (bytes.count + 2) / 3 * 4)
    var word: UInt32 = 0
    var held = 0
    for byte in bytes {
      word = word << 8 | UInt32(byte)
      held += 1
      guard held == 3 else { continue }
      for shift in [UInt32(18), 12, 6, 0] { out.append(alphabet.utf8Start[Int(word >> shift & 63)]) }
      word = 0
      held = 0
    }
    guard held > 0 else { return }
    word <<= UInt32(8 * (3 - held))
    for index in 0..<(held + 1) { out.append(alphabet.utf8Start[Int(word >> UInt32(18 - 6 * index) & 63)]) }
    if padded { for _ in held..<3 { out.append(0x3d) } }
  }

  /// The bytes of a text; nil for a foreign character, a wrong length or bits that no encoder leaves. Padding may be left out.
  public static func decoded(_ text: some Collection<UInt8>) -> [UInt8]? {
    var digits = text.count
    var padding = 0
    for byte in Array(text.suffix(2)).reversed() {
      guard byte == 0x3d else { break }
      padding += 1
    }
    digits -= padding
    guard digits % 4 != 1, padding == 0 || (digits + padding) % 4 == 0 else { return nil }
    var out: [UInt8] = []
    out.reserveCapacity(digits * 3 / 4)
    var word: UInt32 = 0
    var held = 0
    for byte in text.prefix(digits) {
      guard let value = value(byte) else { return nil }
      word = word << 6 | value
      held += 6
      if held >= 8 {
        held -= 8
        out.append(UInt8(truncatingIfNeeded: word >> UInt32(held)))
        word &= (1 << UInt32(held)) - 1
      }
    }
    return word == 0 ? out : nil
  }

  private static func value(_ byte: UInt8) -> UInt32? {
    switch byte {
    case 0x41...0x5a: UInt32(byte) - 0x41
    case 0x61...0x7a: UInt32(byte) - 0x61 + 26
    case 0x30...0x39: UInt32(byte) - 0x30 + 52
    case 0x2b: 62
    case 0x2f: 63
    default: nil
    }
  }
}
