/// UTF-8 to the letter: no overlong forms, no surrogates, nothing above U+10FFFF.
enum UTF8Check {
  static func isValid(_ base: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    var at = 0
    while at < count {
      if count - at >= 8,
        UnsafeRawPointer(base + at).loadUnaligned(as: UInt64.self) & 0x8080_8080_8080_8080 == 0
      {
        at &+= 8
        continue
      }
      if base[at] < 0x80 {
        at &+= 1
        continue
      }
      let length = multibyte(base + at, count - at)
      guard length > 0 else { return false }
      at &+= length
    }
    return true
  }

  /// The length of the valid sequence of two to four bytes at `base`; 0 when there is none.
  private static func multibyte(_ base: UnsafePointer<UInt8>, _ count: Int) -> Int {
    func within(_ index: Int, _ low: UInt8, _ high: UInt8) -> Bool {
      index < count && base[index] >= low && base[index] <= high
    }
    switch base[0] {
    case 0xc2...0xdf: return within(1, 0x80, 0xbf) ? 2 : 0
    case 0xe0...0xef:
      let low: UInt8 = base[0] == 0xe0 ? 0xa0 : 0x80
      let high: UInt8 = base[0] == 0xed ? 0x9f : 0xbf
      return within(1, low, high) && within(2, 0x80, 0xbf) ? 3 : 0
    case 0xf0...0xf4:
      let low: UInt8 = base[0] == 0xf0 ? 0x90 : 0x80
      let high: UInt8 = base[0] == 0xf4 ? 0x8f : 0xbf
      return within(1, low, high) && within(2, 0x80, 0xbf) && within(3, 0x80, 0xbf) ? 4 : 0
    default: return 0
    }
  }
}
