/// The members of one JSON object, each with the place of its value's text: the values stay as they are.
public enum JSONMembers {
  /// Members in their order. Throws when the text is not one strict JSON object or a name stands twice.
  public static func slice(_ bytes: [UInt8]) throws(JSONError) -> [(name: String, value: Range<Int>)] {
    try bytes.withUnsafeBufferPointer { (buffer) throws(JSONError) in
      guard let base = buffer.baseAddress, buffer.count > 0 else {
        throw JSONError(offset: 0, reason: "the text is empty; send a JSON object")
      }
      var scanner = JSONScanner(base: base, count: buffer.count)
      var members: [(name: String, value: Range<Int>)] = []
      var names = Set<String>()
      scanner.skipSpace()
      guard scanner.byte == 0x7b else { throw scanner.fail(scanner.expected("an object")) }
      try scanner.enter()
      if scanner.byte != 0x7d {
        repeat {
          guard scanner.byte == 0x22 else { throw scanner.fail(scanner.expected("'\"' of a member's name")) }
          let start = scanner.at
          _ = try scanner.skipString()
          let name = String(decoding: scanner.decoded(start..<scanner.at), as: UTF8.self)
          guard names.insert(name).inserted else {
            throw scanner.fail("the key '\(name)' is given twice", at: start)
          }
          try scanner.expectColon()
          let value = scanner.at
          try scanner.skipValue()
          members.append((name, value..<scanner.at))
        } while try scanner.more(until: 0x7d)
      }
      scanner.leave()
      try scanner.expectEnd()
      return members
    }
  }
}

/// Numbers of nested JSON arrays of equal lengths, in row-major order.
public struct JSONTensor<Element: Sendable>: Sendable {
  public var shape: [Int]
  public var values: [Element]

  /// Reads a text; `element` makes a value of the text of one item (a word or a number), nil when it does not fit.
  ///
  /// Throws when rows differ in length or depth, or an item does not fit.
  public init(
    _ bytes: [UInt8], element: (UnsafeBufferPointer<UInt8>) -> Element?
  ) throws(JSONError) {
    shape = []
    values = []
    self = try bytes.withUnsafeBufferPointer { (buffer) throws(JSONError) in
      guard let base = buffer.baseAddress, buffer.count > 0 else {
        throw JSONError(offset: 0, reason: "the text is empty; send an array")
      }
      var scanner = JSONScanner(base: base, count: buffer.count)
      var tensor = JSONTensor(shape: [], values: [])
      scanner.skipSpace()
      try tensor.read(&scanner, depth: 0, first: true, element)
      try scanner.expectEnd()
      return tensor
    }
  }

  private init(shape: [Int], values: [Element]) {
    self.shape = shape
    self.values = values
  }

  /// Reads one value at `depth`; `first` while the lengths of this depth are not known yet.
  private mutating func read(
    _ scanner: inout JSONScanner, depth: Int, first: Bool, _ element: (UnsafeBufferPointer<UInt8>) -> Element?
  ) throws(JSONError) {
    let start = scanner.at
    guard scanner.byte == 0x5b else {
      guard depth == shape.count else { throw scanner.fail("the rows of the array differ in depth") }
      guard scanner.byte != 0x7b, scanner.byte != 0x22 else {
        throw scanner.fail(scanner.expected("a number in the array"))
      }
      try scanner.skipValue()
      guard let value = element(UnsafeBufferPointer(start: scanner.base + start, count: scanner.at - start))
      else {
        throw scanner.fail("an item that is not of the array's type", at: start)
      }
      return values.append(value)
    }
    if first { shape.append(-1) }
    guard depth < shape.count else { throw scanner.fail("the rows of the array differ in depth") }
    var count = 0
    try scanner.enter()
    if scanner.byte != 0x5d {
      repeat {
        try read(&scanner, depth: depth + 1, first: first && count == 0, element)
        count += 1
      } while try scanner.more(until: 0x5d)
    }
    scanner.leave()
    if shape[depth] == -1 { shape[depth] = count }
    guard shape[depth] == count else {
      throw scanner.fail("the rows of the array differ in length", at: start)
    }
  }
}
