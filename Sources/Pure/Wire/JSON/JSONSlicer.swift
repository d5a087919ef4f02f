/// Validates the JSON envelope of an execute request whole, and says where its parts lie. Decodes nothing.
///
/// The worker parses the input once; here its bytes are only checked, so that the envelope can't be read in two ways:
/// a key may be spelled with escapes, but it may not stand twice, neither in the envelope nor among the variables.
public struct JSONSlicer: Sendable, Equatable {
  /// Most variables of one request; more would make the search for duplicates slow.
  public static let maximumVariables = 1024

  /// The string of `folder_id` (or `folderId`) without quotes, as it stands in the text.
  public var folderID: Range<Int>?
  /// The object of `input` with its braces.
  public var input: Range<Int>?
  /// Whether every parser reads the input alike: no key that is escaped or might stand twice in its object, no integer
  /// beyond 64 bits, no exponent, no negative zero. False is always right; the worker then looks closer.
  public var isPlain = false

  public init() {}

  /// Slices a body. Offsets count from `base`.
  public static func slice(_ base: UnsafePointer<UInt8>, _ count: Int) throws(JSONError) -> JSONSlicer {
    var scanner = JSONScanner(base: base, count: count)
    scanner.skipSpace()
    guard scanner.byte == 0x7b else {
      throw scanner.fail(
        count == 0
          ? "the body is empty; send {\"folder_id\": ..., \"input\": {...}}"
          : scanner.expected("the object {\"folder_id\": ..., \"input\": {...}}"))
    }
    var result = JSONSlicer()
    var seen: UInt8 = 0
    try scanner.enter()
    if scanner.byte != 0x7d {
      repeat { try result.member(&scanner, &seen) } while try scanner.more(until: 0x7d)
    }
    scanner.leave()
    try scanner.expectEnd()
    return result
  }

  /// Slices an array: for tests and tools.
  public static func slice(_ bytes: [UInt8]) throws(JSONError) -> JSONSlicer {
    var result: Result<JSONSlicer, JSONError> = .success(JSONSlicer())
    let terminated = bytes + [0]
    terminated.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      do throws(JSONError) { result = .success(try slice(base, bytes.count)) } catch {
        result = .failure(error)
      }
    }
    return try result.get()
  }

  private mutating func member(_ scanner: inout JSONScanner, _ seen: inout UInt8) throws(JSONError) {
    guard scanner.byte == 0x22 else { throw scanner.fail(scanner.expected("'\"' of a member's name")) }
    let start = scanner.at
    let escaped = try scanner.skipString()
    let range = start..<scanner.at
    let field = escaped ? Field(scanner.decoded(range)) : Field(scanner.base + start + 1, range.count - 2)
    guard let field else {
      let name = String(decoding: scanner.decoded(range), as: UTF8.self)
      throw scanner.fail("unknown field '\(name)'; the known ones are folder_id, node_id, input", at: start)
    }
    guard seen & field.rawValue == 0 else {
      throw scanner.fail("the field \(field.name) is given twice", at: start)
    }
    seen |= field.rawValue
    try scanner.expectColon()
    let value = scanner.at
    switch field {
    case .folder, .target:
      guard scanner.byte == 0x22 else {
        throw scanner.fail(scanner.expected("a string as \(field.name)"))
      }
      _ = try scanner.skipString()
      if field == .folder { folderID = (value + 1)..<(scanner.at - 1) }
    case .input:
      guard scanner.byte == 0x7b else {
        throw scanner.fail(scanner.expected("an object of variables as input"))
      }
      scanner.isPlain = true
      try Self.variables(&scanner)
      input = value..<scanner.at
      isPlain = scanner.isPlain
    }
  }

  /// Where a variable's name stands (with its quotes), and a hash of what it says.
  private struct Name {
    var range: Range<Int> = 0..<0
    var escaped = false
    var hash: UInt64 = 0
  }

  /// Steps over the object of variables, refusing a name that stands twice.
  private static func variables(_ scanner: inout JSONScanner) throws(JSONError) {
    var first: InlineArray<8, Name> = .init(repeating: Name())
    var more: [Name] = []
    var known = 0
    try scanner.enter()
    if scanner.byte != 0x7d {
      repeat {
        guard scanner.byte == 0x22 else { throw scanner.fail(scanner.expected("'\"' of a variable's name")) }
        guard known < maximumVariables else {
          throw scanner.fail("more than \(maximumVariables) variables in input")
        }
        let start = scanner.at
        let escaped = try scanner.skipString()
        if escaped { scanner.isPlain = false }
        let name = named(scanner, start..<scanner.at, escaped)
        for index in 0..<min(known, 8) where same(scanner, first[index], name) {
          throw duplicate(scanner, name)
        }
        for other in more where same(scanner, other, name) { throw duplicate(scanner, name) }
        if known < 8 { first[known] = name } else { more.append(name) }
        known += 1
        try scanner.expectColon()
        try scanner.skipValue()
      } while try scanner.more(until: 0x7d)
    }
    scanner.leave()
  }

  private static func named(_ scanner: JSONScanner, _ range: Range<Int>, _ escaped: Bool) -> Name {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    if escaped {
      for byte in scanner.decoded(range) { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    } else {
      var index = range.lowerBound &+ 1
      while index < range.upperBound &- 1 {
        hash = (hash ^ UInt64(scanner.base[index])) &* 0x100_0000_01b3
        index &+= 1
      }
    }
    return Name(range: range, escaped: escaped, hash: hash)
  }

  private static func same(_ scanner: JSONScanner, _ left: Name, _ right: Name) -> Bool {
    guard left.hash == right.hash else { return false }
    if left.escaped || right.escaped { return scanner.decoded(left.range) == scanner.decoded(right.range) }
    guard left.range.count == right.range.count else { return false }
    for index in 0..<left.range.count
    where scanner.base[left.range.lowerBound + index] != scanner.base[right.range.lowerBound + index] {
      return false
    }
    return true
  }

  private static func duplicate(_ scanner: JSONScanner, _ name: Name) -> JSONError {
    let text = String(decoding: scanner.decoded(name.range), as: UTF8.self)
    return scanner.fail("input.\(text): the variable is given twice", at: name.range.lowerBound)
  }

  private enum Field: UInt8 {
    case folder = 1
    case input = 2
    case target = 4

    var name: String {
      switch self {
      case .folder: "folder_id"
      case .input: "input"
      case .target: "node_id"
      }
    }

    init?(_ base: UnsafePointer<UInt8>, _ count: Int) {
      func equals(_ text: StaticString) -> Bool {
        guard text.utf8CodeUnitCount == count else { return false }
        for index in 0..<count where text.utf8Start[index] != base[index] { return false }
        return true
      }
      if equals("input") {
        self = .input
      } else if equals("folder_id") || equals("folderId") {
        self = .folder
      } else if equals("node_id") || equals("nodeId") || equals("alias_name") || equals("aliasName") {
        self = .target
      } else {
        return nil
      }
    }

    init?(_ bytes: [UInt8]) {
      let found = (bytes + [0]).withUnsafeBufferPointer { buffer in
        buffer.baseAddress.flatMap { Field($0, bytes.count) }
      }
      guard let found else { return nil }
      self = found
    }
  }
}
