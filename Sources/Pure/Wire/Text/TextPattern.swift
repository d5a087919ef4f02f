/// A pattern that lines are searched for, in time linear to the line whatever the pattern is.
///
/// The syntax is the part of regular expressions that needs no going back: characters, `.`, classes (`[a-z_]`, `[^"]`, `\d \w \s`
/// and their opposites), groups, `|`, `* + ?`, `{2} {2,} {2,5}`, `^`, `$`, `\b` is not among them, and `(?i)` at the very beginning
/// for ASCII letters of either case. It becomes a table of states that is built as far as lines need it, and thrown away when it
/// has grown too large.
public struct TextPattern: Sendable {
  /// Bytes of a pattern, and states that it may become.
  public static let maximumBytes = 512
  static let maximumStates = 1000
  /// Parts that are looked at while the states are made: repeats of nothing make none.
  static let maximumParts = 20_000
  private static let maximumRows = 512

  let program: [PatternState]
  private let start: [Int]
  private let startInside: [Int]
  private var rows: [[Int32]] = []
  private var rowSets: [[Int]] = []
  private var known: [[Int]: Int32] = [:]
  private var accepts: [Bool] = []

  /// Throws what is wrong with it, in plain words.
  public init(_ text: String) throws(PatternFault) {
    guard text.utf8.count <= Self.maximumBytes else {
      throw PatternFault("has \(text.utf8.count) bytes, at most \(Self.maximumBytes) are allowed")
    }
    var parser = PatternParser(text)
    let tree = try parser.parse()
    var compiler = PatternCompiler(ignoresCase: parser.ignoresCase)
    program = try compiler.compile(tree)
    start = Self.closure([0], program, atStart: true)
    startInside = Self.closure([0], program, atStart: false)
  }

  /// Whether the pattern is somewhere in the text.
  public mutating func matches(_ text: String) -> Bool {
    var text = text
    return text.withUTF8 { matches($0) }
  }

  mutating func matches(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
    var row = row(start)
    for byte in bytes {
      // The set has a state from which all is accepted: nothing that follows changes that.
      if accepts[Int(row)] { return true }
      var next = rows[Int(row)][Int(byte)]
      if next < 0 { next = step(&row, byte) }
      row = next
    }
    return accepts[Int(row)] || rowSets[Int(row)].contains { endsHere($0, isEmpty: bytes.isEmpty) }
  }

  /// Follows one byte from a set of states, and remembers where it leads.
  private mutating func step(_ row: inout Int32, _ byte: UInt8) -> Int32 {
    let set = rowSets[Int(row)]
    var targets: [Int] = []
    for state in set {
      if case .bytes(let low, let high, let next) = program[state], (low...high).contains(byte) {
        targets.append(next)
      }
    }
    var next = Self.closure(targets, program, atStart: false)
    // It may begin anywhere.
    next = Array(Set(next).union(startInside)).sorted()
    if rows.count >= Self.maximumRows {
      forget()
      row = self.row(set)
    }
    let place = self.row(next)
    rows[Int(row)][Int(byte)] = place
    return place
  }

  private mutating func row(_ set: [Int]) -> Int32 {
    if let place = known[set] { return place }
    let place = Int32(rows.count)
    rows.append([Int32](repeating: -1, count: 256))
    rowSets.append(set)
    accepts.append(set.contains { if case .accept = program[$0] { true } else { false } })
    known[set] = place
    return place
  }

  private mutating func forget() {
    rows = []
    rowSets = []
    accepts = []
    known = [:]
  }

  /// Whether the end of the text, which is its beginning too where it is empty, leads from here to acceptance.
  private func endsHere(_ state: Int, isEmpty: Bool) -> Bool {
    guard case .end(let next) = program[state] else { return false }
    return Self.closure([next], program, atStart: isEmpty, atEnd: true).contains {
      if case .accept = program[$0] { true } else { false }
    }
  }

  /// All states that are reached without a byte.
  private static func closure(
    _ states: [Int], _ program: [PatternState], atStart: Bool, atEnd: Bool = false
  ) -> [Int] {
    var seen = Set<Int>()
    var open = states
    while let state = open.popLast() {
      guard seen.insert(state).inserted else { continue }
      switch program[state] {
      case .split(let one, let other): open += [one, other]
      case .start(let next): if atStart { open.append(next) }
      case .end(let next): if atEnd { open.append(next) }
      case .bytes, .accept: break
      }
    }
    return seen.sorted()
  }
}

/// What is wrong with a pattern.
public struct PatternFault: Error, Sendable, Equatable {
  public var reason: String

  init(_ reason: String) { self.reason = reason }
}

/// A state of the machine that a pattern becomes.
enum PatternState: Sendable, Equatable {
  /// One byte of a range leads on.
  case bytes(UInt8, UInt8, Int)
  case split(Int, Int)
  /// Only at the beginning, or the end, of the text.
  case start(Int)
  case end(Int)
  case accept
}

/// What a pattern says.
indirect enum PatternTree: Sendable, Equatable {
  /// One of these bytes, or one of these sequences of them (characters beyond ASCII).
  case one(ranges: [ClosedRange<UInt8>], sequences: [[ClosedRange<UInt8>]])
  case all([PatternTree])
  case any([PatternTree])
  case repeated(PatternTree, least: Int, most: Int?)
  case start
  case end

  /// With the other case of their letters.
  static func cased(_ ranges: [ClosedRange<UInt8>]) -> [ClosedRange<UInt8>] {
    var result = ranges
    for range in ranges {
      let upper = range.clamped(to: 0x41...0x5a)
      if range.overlaps(0x41...0x5a) { result.append((upper.lowerBound + 32)...(upper.upperBound + 32)) }
      let lower = range.clamped(to: 0x61...0x7a)
      if range.overlaps(0x61...0x7a) { result.append((lower.lowerBound - 32)...(lower.upperBound - 32)) }
    }
    return result
  }
}

/// Turns trees into states.
struct PatternCompiler {
  let ignoresCase: Bool
  private var states: [PatternState] = []
  private var parts = 0

  init(ignoresCase: Bool) { self.ignoresCase = ignoresCase }

  mutating func compile(_ tree: PatternTree) throws(PatternFault) -> [PatternState] {
    // State 0 leads to the whole, which is built from its end.
    states = [.split(0, 0), .accept]
    let first = try add(tree, 1)
    states[0] = .split(first, first)
    return states
  }

  private mutating func add(_ state: PatternState) throws(PatternFault) -> Int {
    guard states.count < TextPattern.maximumStates else {
      throw PatternFault("is too large: repeat less in it")
    }
    states.append(state)
    return states.count - 1
  }

  /// The first state of a part after which `next` comes.
  private mutating func add(_ tree: PatternTree, _ next: Int) throws(PatternFault) -> Int {
    parts += 1
    guard parts <= TextPattern.maximumParts else { throw PatternFault("is too large: repeat less in it") }
    switch tree {
    case .start: return try add(.start(next))
    case .end: return try add(.end(next))
    case .all(let parts):
      var next = next
      for part in parts.reversed() { next = try add(part, next) }
      return next
    case .any(let parts):
      var first: Int?
      for part in parts.reversed() {
        let one = try add(part, next)
        if let former = first { first = try add(.split(one, former)) } else { first = one }
      }
      return first ?? next
    case .one(let ranges, let sequences):
      var first: Int?
      func join(_ one: Int, _ first: Int?) throws(PatternFault) -> Int {
        if let first { return try add(.split(one, first)) }
        return one
      }
      for range in ignoresCase ? PatternTree.cased(ranges) : ranges {
        first = try join(try add(.bytes(range.lowerBound, range.upperBound, next)), first)
      }
      for sequence in sequences {
        var one = next
        for range in sequence.reversed() { one = try add(.bytes(range.lowerBound, range.upperBound, one)) }
        first = try join(one, first)
      }
      // A class of nothing: never reached.
      return try first ?? add(.bytes(1, 0, next))
    case .repeated(let part, let least, let most):
      var next = next
      if let most {
        let after = next
        for _ in 0..<(most - least) {
          let one = try add(part, next)
          next = try add(.split(one, after))
        }
      } else {
        let loop = try add(.split(next, next))
        let one = try add(part, loop)
        states[loop] = .split(one, next)
        next = loop
      }
      for _ in 0..<least { next = try add(part, next) }
      return next
    }
  }
}
