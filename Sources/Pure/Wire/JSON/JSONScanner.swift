internal import CLinux

/// Walks strict JSON (RFC 8259) over borrowed bytes: validates without building anything.
///
/// UTF-8 is checked to the letter (no overlong forms, no surrogates), escapes of lone surrogates are refused because no
/// string can hold them, and nesting ends at `maximumDepth`.
struct JSONScanner {
  static let maximumDepth = 64

  let base: UnsafePointer<UInt8>
  let count: Int
  var at = 0
  private var depth = 0
  /// Becomes false at what parsers read differently; `JSONSlicer.isPlain` says what.
  var isPlain = true

  init(base: UnsafePointer<UInt8>, count: Int) {
    self.base = base
    self.count = count
  }

  func fail(_ reason: String, at offset: Int? = nil) -> JSONError {
    JSONError(offset: offset ?? at, reason: reason)
  }

  @inline(__always) var byte: UInt8? { at < count ? base[at] : nil }

  @inline(__always) mutating func skipSpace() {
    while at < count, base[at] <= 0x20,
      base[at] == 0x20 || base[at] == 0x0a || base[at] == 0x0d || base[at] == 0x09
    {
      at &+= 1
    }
  }

  mutating func enter() throws(JSONError) {
    guard depth < Self.maximumDepth else {
      throw fail("nested deeper than \(Self.maximumDepth) levels")
    }
    depth &+= 1
    at &+= 1
    skipSpace()
  }

  mutating func leave() {
    depth &-= 1
    at &+= 1
  }

  mutating func expectEnd() throws(JSONError) {
    skipSpace()
    guard at == count else { throw fail("unexpected \(describe(base[at])) after the end of the value") }
  }

  mutating func expectColon() throws(JSONError) {
    skipSpace()
    guard byte == 0x3a else { throw fail(expected("':' after the name of a member")) }
    at &+= 1
    skipSpace()
  }

  /// After an element: true when another follows a comma; false at (not after) the closing byte.
  mutating func more(until close: UInt8) throws(JSONError) -> Bool {
    skipSpace()
    if byte == 0x2c {
      at &+= 1
      skipSpace()
      if byte == close { throw fail("a comma before \(describe(close))") }
      return true
    }
    guard byte == close else {
      throw fail(expected(close == 0x7d ? "',' or '}' in an object" : "',' or ']' in an array"))
    }
    return false
  }

  func expected(_ what: String) -> String {
    if let byte { return "expected \(what), found \(describe(byte))" }
    return "the text ends where \(what) is expected"
  }

  func describe(_ byte: UInt8) -> String {
    if (0x21...0x7e).contains(byte) { return "'\(Character(Unicode.Scalar(byte)))'" }
    let digits = Array("0123456789abcdef")
    return "byte 0x\(digits[Int(byte >> 4)])\(digits[Int(byte & 15)])"
  }

  /// Validates one value and steps over it.
  mutating func skipValue() throws(JSONError) {
    guard let first = byte else { throw fail(expected("a value")) }
    switch first {
    case 0x22: _ = try skipString()
    case 0x7b:
      try enter()
      if byte != 0x7d { try skipMembers() }
      leave()
    case 0x5b:
      try enter()
      if byte != 0x5d {
        repeat { try skipValue() } while try more(until: 0x5d)
      }
      leave()
    case 0x74: try skipWord("true")
    case 0x66: try skipWord("false")
    case 0x6e: try skipWord("null")
    case 0x2d, 0x30...0x39: _ = try skipNumber()
    default: throw fail(expected("a value"))
    }
  }

  /// Steps over the members of an object. Eight keys are told apart, by their lengths and the bytes at their ends.
  private mutating func skipMembers() throws(JSONError) {
    var seen: InlineArray<8, UInt64> = .init(repeating: 0)
    var known = 0
    repeat {
      guard byte == 0x22 else { throw fail(expected("'\"' of a member's name")) }
      let start = at
      if try skipString() || known == 8 {
        isPlain = false
      } else {
        let mark = signature(start + 1, at - start - 2)
        for index in 0..<known where seen[index] == mark { isPlain = false }
        seen[known] = mark
        known &+= 1
      }
      try expectColon()
      try skipValue()
    } while try more(until: 0x7d)
  }

  /// The same for the same bytes.
  private func signature(_ start: Int, _ length: Int) -> UInt64 {
    var front: UInt64 = 0
    var back: UInt64 = 0
    let step = min(length, 8)
    for index in 0..<step {
      front = front << 8 | UInt64(base[start &+ index])
      back = back << 8 | UInt64(base[start &+ length &- 1 &- index])
    }
    return front &* 0x9e37_79b9_7f4a_7c15 ^ back ^ UInt64(length) << 56
  }

  mutating func skipWord(_ word: StaticString) throws(JSONError) {
    let length = word.utf8CodeUnitCount
    guard count - at >= length else { throw fail("unknown word; use true, false or null") }
    for index in 0..<length where base[at + index] != word.utf8Start[index] {
      throw fail("unknown word; use true, false or null")
    }
    at += length
  }

  /// Steps over a number; true when it has neither fraction nor exponent.
  mutating func skipNumber() throws(JSONError) -> Bool {
    let start = at
    if byte == 0x2d { at &+= 1 }
    let digits = at
    skipDigits()
    guard at > digits else {
      throw fail("NaN, Infinity and a bare '-' are not JSON numbers", at: start)
    }
    guard at == digits + 1 || base[digits] != 0x30 else {
      throw fail("a number does not start with 0", at: start)
    }
    if digits > start, base[digits] == 0x30 { isPlain = false }
    var whole = true
    if byte == 0x2e {
      whole = false
      at &+= 1
      let fraction = at
      skipDigits()
      guard at > fraction else { throw fail("a digit must follow '.'") }
    }
    if byte == 0x65 || byte == 0x45 {
      whole = false
      isPlain = false
      at &+= 1
      if byte == 0x2b || byte == 0x2d { at &+= 1 }
      let exponent = at
      skipDigits()
      guard at > exponent else { throw fail("a digit must follow the exponent") }
    }
    if at &- start > 18 { isPlain = false }
    return whole
  }

  private mutating func skipDigits() {
    while at < count, base[at] >= 0x30, base[at] <= 0x39 { at &+= 1 }
  }

  /// Steps over a string that begins at the quote; true when it holds escapes.
  mutating func skipString() throws(JSONError) -> Bool {
    let start = at
    at &+= 1
    var escaped = false
    while true {
      at &+= scan_json_string(base + at, count &- at)
      guard at < count else { throw fail("a string is not closed", at: start) }
      switch base[at] {
      case 0x22:
        at &+= 1
        return escaped
      case 0x5c:
        escaped = true
        try skipEscape()
      case 0x00...0x1f:
        throw fail("a control byte in a string must be escaped (\\n, \\u0000...)")
      default: try skipMultibyte()
      }
    }
  }

  private mutating func skipEscape() throws(JSONError) {
    let start = at
    guard at + 1 < count else { throw fail("a string is not closed") }
    switch base[at + 1] {
    case 0x22, 0x5c, 0x2f, 0x62, 0x66, 0x6e, 0x72, 0x74: at &+= 2
    case 0x75:
      let unit = try hexUnit(at: at + 2)
      at &+= 6
      if (0xdc00...0xdfff).contains(unit) { throw fail("a lone low surrogate", at: start) }
      if (0xd800...0xdbff).contains(unit) {
        guard at + 1 < count, base[at] == 0x5c, base[at + 1] == 0x75,
          (0xdc00...0xdfff).contains(try hexUnit(at: at + 2))
        else { throw fail("a lone high surrogate", at: start) }
        at &+= 6
      }
    default: throw fail("unknown escape \\\(describe(base[at + 1]))")
    }
  }

  func hexUnit(at offset: Int) throws(JSONError) -> UInt32 {
    guard offset + 4 <= count else { throw fail("four hexadecimal digits must follow \\u") }
    var value: UInt32 = 0
    for index in offset..<(offset + 4) {
      let digit: UInt32
      switch base[index] {
      case 0x30...0x39: digit = UInt32(base[index]) - 0x30
      case 0x41...0x46: digit = UInt32(base[index]) - 0x41 + 10
      case 0x61...0x66: digit = UInt32(base[index]) - 0x61 + 10
      default: throw fail("four hexadecimal digits must follow \\u")
      }
      value = value << 4 | digit
    }
    return value
  }

  private mutating func skipMultibyte() throws(JSONError) {
    func tail(_ index: Int) -> UInt8 { at + index < count ? base[at + index] : 0 }
    func follows(_ index: Int) -> Bool { tail(index) & 0xc0 == 0x80 }
    let lead = base[at]
    let length: Int
    switch lead {
    case 0xc2...0xdf: length = follows(1) ? 2 : 0
    case 0xe0: length = (0xa0...0xbf).contains(tail(1)) && follows(2) ? 3 : 0
    case 0xed: length = (0x80...0x9f).contains(tail(1)) && follows(2) ? 3 : 0
    case 0xe1...0xef: length = follows(1) && follows(2) ? 3 : 0
    case 0xf0: length = (0x90...0xbf).contains(tail(1)) && follows(2) && follows(3) ? 4 : 0
    case 0xf1...0xf3: length = follows(1) && follows(2) && follows(3) ? 4 : 0
    case 0xf4: length = (0x80...0x8f).contains(tail(1)) && follows(2) && follows(3) ? 4 : 0
    default: length = 0
    }
    guard length > 0 else { throw fail("not UTF-8") }
    at &+= length
  }

  /// The bytes that a validated string (quotes included) stands for.
  func decoded(_ range: Range<Int>) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(range.count)
    var index = range.lowerBound + 1
    let end = range.upperBound - 1
    while index < end {
      let byte = base[index]
      guard byte == 0x5c else {
        out.append(byte)
        index += 1
        continue
      }
      switch base[index + 1] {
      case 0x62: out.append(0x08)
      case 0x66: out.append(0x0c)
      case 0x6e: out.append(0x0a)
      case 0x72: out.append(0x0d)
      case 0x74: out.append(0x09)
      case 0x75:
        var scalar = (try? hexUnit(at: index + 2)) ?? 0xfffd
        if (0xd800...0xdbff).contains(scalar), let low = try? hexUnit(at: index + 8) {
          scalar = 0x10000 + (scalar - 0xd800) << 10 + (low - 0xdc00)
          index += 6
        }
        out.append(contentsOf: String(Character(Unicode.Scalar(scalar) ?? "\u{fffd}")).utf8)
        index += 4
      default: out.append(base[index + 1])
      }
      index += 2
    }
    return out
  }
}
