extension DynamicValue {
  /// The JSON text of an encoded message. Whole numbers up to 2^53 have no fraction in it.
  ///
  /// Throws when the bytes are not the message, a number is NaN or infinite (the error names its path), a name of the
  /// outermost object stands twice, or a bound is passed. `path` is what the message is called in errors.
  public static func json(
    _ shape: Shape, from bytes: [UInt8], path: String, maximumBytes: Int = maximumBytes
  ) throws(ProtobufError) -> [UInt8] {
    try ProtobufReader.reading(bytes) { (reader) throws(ProtobufError) in
      var out: [UInt8] = []
      try appendJSON(shape, reader, path: path, maximumBytes: maximumBytes, to: &out)
      return out
    }
  }

  /// Appends the JSON text of the rest of `reader`.
  public static func appendJSON(
    _ shape: Shape, _ reader: ProtobufReader, path: String, maximumBytes: Int = maximumBytes,
    to out: inout [UInt8]
  ) throws(ProtobufError) {
    var text = DynamicText(limit: out.count + maximumBytes, out: out)
    out = []
    do throws(ProtobufError) {
      switch shape {
      case .object: try text.object(reader, depth: 0, distinct: true)
      case .list: try text.list(reader, depth: 0)
      case .value: try text.value(reader, depth: 0)
      }
    } catch { throw error.within(path) }
    out = text.out
  }
}

/// Writes JSON out of the three messages.
private struct DynamicText {
  let limit: Int
  var out: [UInt8]

  mutating func object(
    _ message: ProtobufReader, depth: Int, distinct: Bool = false
  ) throws(ProtobufError) {
    var reader = message
    try enter(depth)
    var names = Set<[UInt8]>()
    out.append(0x7b)
    var first = true
    while let field = try reader.next() {
      guard field.number == 1 else {
        try reader.skip(field)
        continue
      }
      let (name, value) = try entry(try reader.message(field))
      if !first { out.append(0x2c) }
      first = false
      if distinct {
        guard names.insert(reader.copy(name)).inserted else {
          throw ProtobufError("the name is given twice").within(text(reader, name))
        }
      }
      quote(reader.base + name.lowerBound, name.count)
      out.append(0x3a)
      do throws(ProtobufError) { try self.value(try reader.nested(value), depth: depth + 1) } catch {
        throw error.within(text(reader, name))
      }
    }
    out.append(0x7d)
  }

  mutating func list(_ message: ProtobufReader, depth: Int) throws(ProtobufError) {
    var reader = message
    try enter(depth)
    out.append(0x5b)
    var index = 0
    while let field = try reader.next() {
      guard field.number == 1 else {
        try reader.skip(field)
        continue
      }
      let item = try reader.range(field)
      if index > 0 { out.append(0x2c) }
      do throws(ProtobufError) { try value(try reader.nested(item), depth: depth + 1) } catch {
        throw error.within("[\(index)]")
      }
      index += 1
    }
    out.append(0x5d)
  }

  /// One value; a value of no kind is null.
  mutating func value(_ message: ProtobufReader, depth: Int) throws(ProtobufError) {
    var reader = message
    var known = false
    while let field = try reader.next() {
      guard (1...6).contains(field.number) else {
        try reader.skip(field)
        continue
      }
      // A later kind would replace or join with the earlier one; no encoder writes two.
      guard !known else { throw ProtobufError("a value of two kinds") }
      known = true
      switch field.number {
      case 1:
        _ = try reader.varint(field)
        out.append(contentsOf: [0x6e, 0x75, 0x6c, 0x6c])
      case 2: try number(try reader.double(field))
      case 3:
        let range = try reader.utf8(field)
        quote(reader.base + range.lowerBound, range.count)
      case 4: out.append(contentsOf: (try reader.bool(field) ? "true" : "false").utf8)
      case 5: try object(try reader.message(field), depth: depth)
      default: try list(try reader.message(field), depth: depth)
      }
      guard out.count <= limit else {
        throw ProtobufError("larger than the limit of the JSON text it stands for")
      }
    }
    if !known { out.append(contentsOf: [0x6e, 0x75, 0x6c, 0x6c]) }
  }

  /// Where the name and the value of a member stand, in whatever order they come.
  private func entry(_ message: ProtobufReader) throws(ProtobufError) -> (Range<Int>, Range<Int>) {
    var reader = message
    var name: Range<Int>?
    var value: Range<Int>?
    while let field = try reader.next() {
      switch field.number {
      case 1 where name == nil: name = try reader.utf8(field)
      case 2 where value == nil: value = try reader.range(field)
      case 1, 2: throw ProtobufError("a member with two names or two values")
      default: try reader.skip(field)
      }
    }
    let none = reader.at..<reader.at
    return (name ?? none, value ?? none)
  }

  private func enter(_ depth: Int) throws(ProtobufError) {
    guard depth < DynamicValue.maximumDepth else {
      throw ProtobufError("nested deeper than \(DynamicValue.maximumDepth) levels")
    }
  }

  private mutating func number(_ value: Double) throws(ProtobufError) {
    guard value.isFinite else {
      throw ProtobufError(
        "\(value.isNaN ? "NaN" : value < 0 ? "-Infinity" : "Infinity") is not a JSON number; send null or a string"
      )
    }
    // Beyond 2^53 a double no longer says which whole number was meant; -0.0 keeps its sign.
    if value.magnitude <= 9_007_199_254_740_992, value.rounded(.towardZero) == value,
      value != 0 || value.sign == .plus
    {
      out.append(contentsOf: String(Int64(value)).utf8)
    } else {
      out.append(contentsOf: String(value).utf8)
    }
  }

  private mutating func quote(_ base: UnsafePointer<UInt8>, _ count: Int) {
    out.append(0x22)
    var start = 0
    for index in 0..<count where base[index] < 0x20 || base[index] == 0x22 || base[index] == 0x5c {
      out.append(contentsOf: UnsafeBufferPointer(start: base + start, count: index - start))
      start = index + 1
      JSONWriter.escape(base[index], into: &out)
    }
    out.append(contentsOf: UnsafeBufferPointer(start: base + start, count: count - start))
    out.append(0x22)
  }

  private func text(_ reader: ProtobufReader, _ name: Range<Int>) -> String {
    String(decoding: reader.copy(name), as: UTF8.self)
  }
}
