extension DynamicValue {
  /// The message of a JSON text. Numbers become doubles.
  ///
  /// Throws when the text is not JSON of that shape, a number does not fit a double, or the message would pass `maximumBytes`.
  /// `path` is what the text is called in errors.
  public static func encoded(
    _ shape: Shape, json: [UInt8], path: String, maximumBytes: Int = maximumBytes
  ) throws(ProtobufError) -> [UInt8] {
    try json.withUnsafeBufferPointer { (buffer) throws(ProtobufError) in
      guard let base = buffer.baseAddress else { throw ProtobufError(path: path, "the JSON text is empty") }
      return try encoded(shape, base, buffer.count, path: path, maximumBytes: maximumBytes)
    }
  }

  /// The message of borrowed JSON text.
  public static func encoded(
    _ shape: Shape, _ base: UnsafePointer<UInt8>, _ count: Int, path: String,
    maximumBytes: Int = maximumBytes
  ) throws(ProtobufError) -> [UInt8] {
    var tape = DynamicTape(scanner: JSONScanner(base: base, count: count), limit: maximumBytes)
    do throws(JSONError) {
      tape.scanner.skipSpace()
      try tape.check(shape)
      _ = try tape.value()
      try tape.scanner.expectEnd()
    } catch { throw ProtobufError(path: path, "\(error)") }
    let size = shape == .value ? tape.nodes[0].size : tape.nodes[0].content
    guard size <= maximumBytes else {
      throw ProtobufError(path: path, "\(size) bytes as a message, the limit is \(maximumBytes)")
    }
    var writer = ProtobufWriter()
    writer.reserve(size)
    var at = 0
    if shape == .value { tape.write(&at, &writer) } else { tape.writeContent(&at, &writer) }
    return writer.bytes
  }
}

/// Values of a text in their order with the sizes of their messages: lengths stand before what they measure.
private struct DynamicTape {
  enum Kind { case null, number, string, no, yes, object, list }

  struct Node {
    var kind: Kind
    /// Text of the name, quotes included; empty in arrays.
    var name = 0..<0
    var nameEscaped = false
    /// Bytes of the name.
    var nameSize = 0
    /// Text of a string, quotes included.
    var text = 0..<0
    var escaped = false
    var number = 0.0
    /// Bytes inside: of a string, of a Struct or of a ListValue.
    var content = 0
    /// Bytes of the Value.
    var size = 0
    /// Values directly inside.
    var items = 0
  }

  var scanner: JSONScanner
  let limit: Int
  var nodes: [Node] = []
  private var least = 0

  init(scanner: JSONScanner, limit: Int) {
    self.scanner = scanner
    self.limit = limit
  }

  func check(_ shape: DynamicValue.Shape) throws(JSONError) {
    switch shape {
    case .object where scanner.byte != 0x7b: throw scanner.fail(scanner.expected("an object"))
    case .list where scanner.byte != 0x5b: throw scanner.fail(scanner.expected("an array"))
    default: return
    }
  }

  /// Reads one value; returns its place.
  mutating func value() throws(JSONError) -> Int {
    guard let first = scanner.byte else { throw scanner.fail(scanner.expected("a value")) }
    let place = nodes.count
    nodes.append(Node(kind: .null))
    // A bound on the tape itself: every value needs two bytes and more of the message.
    least += 2
    guard least <= limit else { throw scanner.fail("too many values for a message of \(limit) bytes") }
    let start = scanner.at
    switch first {
    case 0x7b:
      nodes[place].kind = .object
      try members(place)
    case 0x5b:
      nodes[place].kind = .list
      try items(place)
    case 0x22:
      nodes[place].kind = .string
      let escaped = try scanner.skipString()
      nodes[place].text = start..<scanner.at
      nodes[place].escaped = escaped
      nodes[place].content = length(start..<scanner.at, escaped)
    case 0x2d, 0x30...0x39:
      nodes[place].kind = .number
      nodes[place].number = try number(start)
    default:
      try scanner.skipValue()
      nodes[place].kind = first == 0x6e ? .null : first == 0x74 ? .yes : .no
    }
    let content = nodes[place].content
    switch nodes[place].kind {
    case .null, .no, .yes: nodes[place].size = 2
    case .number: nodes[place].size = 9
    case .string, .object, .list: nodes[place].size = 1 + ProtobufWriter.size(content) + content
    }
    return place
  }

  private mutating func members(_ place: Int) throws(JSONError) {
    try scanner.enter()
    if scanner.byte != 0x7d {
      repeat {
        guard scanner.byte == 0x22 else { throw scanner.fail(scanner.expected("'\"' of a member's name")) }
        let start = scanner.at
        let escaped = try scanner.skipString()
        let name = start..<scanner.at
        try scanner.expectColon()
        let member = try value()
        nodes[member].name = name
        nodes[member].nameEscaped = escaped
        nodes[member].nameSize = length(name, escaped)
        let entry = entrySize(nodes[member])
        nodes[place].content += 1 + ProtobufWriter.size(entry) + entry
        nodes[place].items += 1
      } while try scanner.more(until: 0x7d)
    }
    scanner.leave()
  }

  private mutating func items(_ place: Int) throws(JSONError) {
    try scanner.enter()
    if scanner.byte != 0x5d {
      repeat {
        let size = nodes[try value()].size
        nodes[place].content += 1 + ProtobufWriter.size(size) + size
        nodes[place].items += 1
      } while try scanner.more(until: 0x5d)
    }
    scanner.leave()
  }

  private mutating func number(_ start: Int) throws(JSONError) -> Double {
    let whole = try scanner.skipNumber()
    let count = scanner.at - start
    if whole, count <= 15 {
      var value: Int64 = 0
      let negative = scanner.base[start] == 0x2d
      for index in (start + (negative ? 1 : 0))..<scanner.at {
        value = value * 10 + Int64(scanner.base[index] - 0x30)
      }
      return negative ? -Double(value) : Double(value)
    }
    let text = String(decoding: UnsafeBufferPointer(start: scanner.base + start, count: count), as: UTF8.self)
    guard let value = Double(text), value.isFinite else {
      throw scanner.fail("the number \(text.prefix(40)) does not fit a double", at: start)
    }
    return value
  }

  private func length(_ range: Range<Int>, _ escaped: Bool) -> Int {
    escaped ? scanner.decoded(range).count : range.count - 2
  }

  private func entrySize(_ node: Node) -> Int {
    1 + ProtobufWriter.size(node.nameSize) + node.nameSize + 1 + ProtobufWriter.size(node.size) + node.size
  }

  /// Writes the Value at `at` and moves past it and all inside.
  func write(_ at: inout Int, _ writer: inout ProtobufWriter) {
    let node = nodes[at]
    switch node.kind {
    case .null: writer.varint(1, 0)
    case .number: writer.double(2, node.number)
    case .no, .yes: writer.bool(4, node.kind == .yes)
    case .string: text(3, node.text, node.escaped, &writer)
    case .object, .list:
      writer.key(node.kind == .object ? 5 : 6, .bytes)
      writer.raw(UInt64(node.content))
      return writeContent(&at, &writer)
    }
    at += 1
  }

  /// Writes the inside of the Struct or ListValue at `at`.
  func writeContent(_ at: inout Int, _ writer: inout ProtobufWriter) {
    let node = nodes[at]
    at += 1
    for _ in 0..<node.items {
      let item = nodes[at]
      writer.key(1, .bytes)
      if node.kind == .object {
        writer.raw(UInt64(entrySize(item)))
        text(1, item.name, item.nameEscaped, &writer)
        writer.key(2, .bytes)
      }
      writer.raw(UInt64(item.size))
      write(&at, &writer)
    }
  }

  private func text(_ number: Int, _ range: Range<Int>, _ escaped: Bool, _ writer: inout ProtobufWriter) {
    if escaped {
      writer.bytes(number, scanner.decoded(range))
    } else {
      writer.bytes(
        number, UnsafeBufferPointer(start: scanner.base + range.lowerBound + 1, count: range.count - 2))
    }
  }
}
