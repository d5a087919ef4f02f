/// Reads the text of a pattern.
struct PatternParser {
  private(set) var ignoresCase = false
  private let text: [Unicode.Scalar]
  private var at = 0
  private var depth = 0

  private static let mostRepeats = 200
  private static let mostDepth = 50
  /// Characters of two, three and four bytes.
  private static let beyond: [[ClosedRange<UInt8>]] = [
    [0xc2...0xdf, 0x80...0xbf], [0xe0...0xef, 0x80...0xbf, 0x80...0xbf],
    [0xf0...0xf4, 0x80...0xbf, 0x80...0xbf, 0x80...0xbf],
  ]

  init(_ pattern: String) {
    text = Array(pattern.unicodeScalars)
    if text.prefix(4).elementsEqual("(?i)".unicodeScalars) {
      ignoresCase = true
      at = 4
    }
  }

  mutating func parse() throws(PatternFault) -> PatternTree {
    let tree = try alternatives()
    guard at == text.count else { throw PatternFault("has a ) without a (") }
    return tree
  }

  private var current: Unicode.Scalar? { at < text.count ? text[at] : nil }

  private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
    guard current == scalar else { return false }
    at += 1
    return true
  }

  private mutating func alternatives() throws(PatternFault) -> PatternTree {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.mostDepth else { throw PatternFault("has groups in groups, too deep") }
    var parts = [try sequence()]
    while take("|") { parts.append(try sequence()) }
    return parts.count == 1 ? parts[0] : .any(parts)
  }

  private mutating func sequence() throws(PatternFault) -> PatternTree {
    var parts: [PatternTree] = []
    while let scalar = current, scalar != "|", scalar != ")" {
      let part = try atom()
      parts.append(try repeats(part))
    }
    return .all(parts)
  }

  private mutating func repeats(_ part: PatternTree) throws(PatternFault) -> PatternTree {
    var part = part
    var isRepeated = false
    while let scalar = current {
      var range: (Int, Int?)?
      switch scalar {
      case "*": range = (0, nil)
      case "+": range = (1, nil)
      case "?" where isRepeated:
        throw PatternFault("has a lazy repeat (*?, +?): whether lines match is the same without")
      case "?": range = (0, 1)
      case "{":
        at += 1
        range = try bounds()
        at -= 1
      default: break
      }
      guard let (least, most) = range else { return part }
      guard !isRepeated else { throw PatternFault("repeats a repeat: put the inner one into ( )") }
      at += 1
      part = .repeated(part, least: least, most: most)
      isRepeated = true
    }
    return part
  }

  /// Behind `{`, up to and without the place behind `}`.
  private mutating func bounds() throws(PatternFault) -> (Int, Int?) {
    let wrong = PatternFault(
      "has a { that is not {2}, {2,} or {2,5} (up to \(Self.mostRepeats)); write \\{ for the character")
    guard let least = number() else { throw wrong }
    var most: Int? = least
    if take(",") {
      most = number()
      if most == nil, current != "}" { throw wrong }
    }
    guard take("}"), least <= Self.mostRepeats, most ?? 0 <= Self.mostRepeats, most ?? least >= least else {
      throw wrong
    }
    return (least, most)
  }

  private mutating func number() -> Int? {
    var digits = ""
    while let scalar = current, ("0"..."9").contains(scalar), digits.count < 6 {
      digits.unicodeScalars.append(scalar)
      at += 1
    }
    return Int(digits)
  }

  private mutating func atom() throws(PatternFault) -> PatternTree {
    guard let scalar = current else { return .all([]) }
    at += 1
    switch scalar {
    case "^": return .start
    case "$": return .end
    case ".": return .one(ranges: [0...0x7f], sequences: Self.beyond)
    case "[": return try bracket()
    case "\\": return try escaped()
    case "(":
      if take("?") {
        guard take(":") else {
          throw PatternFault("has a (? that is neither (?: nor a (?i) at its beginning")
        }
      }
      let inner = try alternatives()
      guard take(")") else { throw PatternFault("has a ( without a )") }
      return inner
    case "*", "+", "?", "{":
      throw PatternFault("repeats nothing at '\(scalar)'; write \\\(scalar) for the character")
    default: return Self.character(scalar)
    }
  }

  private static func character(_ scalar: Unicode.Scalar) -> PatternTree {
    let bytes = Array(String(scalar).utf8)
    if bytes.count == 1 { return .one(ranges: [bytes[0]...bytes[0]], sequences: []) }
    return .one(ranges: [], sequences: [bytes.map { $0...$0 }])
  }

  private static let digits: [ClosedRange<UInt8>] = [0x30...0x39]
  private static let words: [ClosedRange<UInt8>] = [0x30...0x39, 0x41...0x5a, 0x5f...0x5f, 0x61...0x7a]
  private static let spaces: [ClosedRange<UInt8>] = [0x09...0x0d, 0x20...0x20]

  /// `\d`, `\W` and so on; nil for other letters.
  private static func named(_ scalar: Unicode.Scalar) -> (ranges: [ClosedRange<UInt8>], isOpposite: Bool)? {
    switch scalar {
    case "d": (digits, false)
    case "D": (digits, true)
    case "w": (words, false)
    case "W": (words, true)
    case "s": (spaces, false)
    case "S": (spaces, true)
    default: nil
    }
  }

  /// A character that `\` makes of a letter, or that it takes the meaning from.
  private static func plain(_ scalar: Unicode.Scalar) -> Unicode.Scalar? {
    switch scalar {
    case "t": "\t"
    case "n": "\n"
    case "r": "\r"
    case _ where scalar.isASCII && !scalar.properties.isAlphabetic && !("0"..."9").contains(scalar): scalar
    default: nil
    }
  }

  private mutating func escaped() throws(PatternFault) -> PatternTree {
    guard let scalar = current else { throw PatternFault("ends with a \\") }
    at += 1
    if let (ranges, isOpposite) = Self.named(scalar) {
      return isOpposite ? Self.opposite(ranges) : .one(ranges: ranges, sequences: [])
    }
    guard let plain = Self.plain(scalar) else {
      throw PatternFault(
        "has \\\(scalar), which can't be used here: there is \\d \\w \\s \\D \\W \\S \\t \\n \\r")
    }
    return Self.character(plain)
  }

  /// Any other character; `excluded` beyond ASCII are not possible.
  private static func opposite(_ ranges: [ClosedRange<UInt8>]) -> PatternTree {
    var left: [ClosedRange<UInt8>] = []
    var low: UInt8 = 0
    for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      if range.lowerBound > low { left.append(low...(range.lowerBound - 1)) }
      low = max(low, range.upperBound + 1)
    }
    if low <= 0x7f { left.append(low...0x7f) }
    return .one(ranges: left, sequences: beyond)
  }

  private mutating func bracket() throws(PatternFault) -> PatternTree {
    let isOpposite = take("^")
    var ranges: [ClosedRange<UInt8>] = []
    var sequences: [[ClosedRange<UInt8>]] = []
    var isFirst = true
    while let scalar = current, scalar != "]" || isFirst {
      isFirst = false
      at += 1
      var low = scalar
      if scalar == "\\" {
        guard let letter = current else { break }
        at += 1
        if let (more, isOther) = Self.named(letter) {
          guard !isOther else { throw PatternFault("has \\\(letter) in [ ], where it can't be used") }
          ranges += more
          continue
        }
        guard let plain = Self.plain(letter) else {
          throw PatternFault("has \\\(letter) in [ ], which can't be used")
        }
        low = plain
      }
      var high = low
      if current == "-", at + 1 < text.count, text[at + 1] != "]" {
        at += 1
        high = text[at]
        at += 1
        if high == "\\" {
          guard let letter = current, let plain = Self.plain(letter) else { break }
          at += 1
          high = plain
        }
        guard low.isASCII, high.isASCII, low <= high else {
          throw PatternFault("has the range \(low)-\(high) in [ ]: both ends must be ASCII and in order")
        }
      }
      if low.isASCII {
        ranges.append(UInt8(low.value)...UInt8(high.value))
      } else {
        guard !isOpposite else {
          throw PatternFault("has a character beyond ASCII in [^ ], where it can't be used")
        }
        sequences.append(Array(String(low).utf8).map { $0...$0 })
      }
    }
    guard take("]") else { throw PatternFault("has a [ without a ]") }
    // `(?i)[^a]` leaves `A` out too.
    if isOpposite { return Self.opposite(ignoresCase ? PatternTree.cased(ranges) : ranges) }
    return .one(ranges: ranges, sequences: sequences)
  }
}
