import Testing
import Wire

@Suite struct ProtobufTests {
  private func first(_ bytes: [UInt8]) throws -> UInt64? {
    try ProtobufReader.reading(bytes) { (reader) throws(ProtobufError) in
      guard let field = try reader.next() else { return nil }
      return try reader.varint(field)
    }
  }

  private func skipAll(_ bytes: [UInt8]) throws {
    try ProtobufReader.reading(bytes) { (reader) throws(ProtobufError) in
      while let field = try reader.next() { try reader.skip(field) }
    }
  }

  @Test func `numbers are read to 64 bits and not beyond`() throws {
    #expect(try first([0x08, 0x96, 0x01]) == 150)
    #expect(try first([0x08] + [UInt8](repeating: 0xff, count: 9) + [0x01]) == .max)
    #expect(try first([0x08, 0x80, 0x80, 0x00]) == 0)
    #expect(try first([]) == nil)
    #expect(throws: ProtobufError.self) { try first([0x08] + [UInt8](repeating: 0xff, count: 9) + [0x02]) }
    #expect(throws: ProtobufError.self) { try first([0x08] + [UInt8](repeating: 0x80, count: 10) + [0x00]) }
  }

  @Test(
    arguments: [
      [0x00], [0x07], [0x08], [0x08, 0x80], [0x0a, 0x05, 0x01], [0x0e, 0x00], [0x0f, 0x00], [0x09, 1, 2],
      [0x0d, 1], [0x0c], [0x0b, 0x14], [0x0b], [0xff, 0xff, 0xff, 0xff, 0x7f, 0x00],
    ] as [[UInt8]])
  func `broken messages are refused`(bytes: [UInt8]) {
    #expect(throws: ProtobufError.self) { try skipAll(bytes) }
  }

  @Test func `unknown fields of every type are skipped`() throws {
    try skipAll([0x08, 1, 0x11, 1, 2, 3, 4, 5, 6, 7, 8, 0x1a, 2, 9, 9, 0x25, 1, 2, 3, 4, 0x2b, 0x08, 1, 0x2c])
  }

  @Test func `groups end at their depth`() throws {
    func groups(_ count: Int) -> [UInt8] {
      [UInt8](repeating: 0x0b, count: count) + [UInt8](repeating: 0x0c, count: count)
    }
    try skipAll(groups(200))
    #expect(throws: ProtobufError.self) { try skipAll(groups(201)) }
  }

  @Test func `a field of another type than its message says is refused`() {
    #expect(throws: ProtobufError.self) { try first([0x0a, 0x01, 0x41]) }
  }

  @Test(
    arguments: [
      [0xc0, 0xaf], [0xe0, 0x80, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xff], [0x80], [0xc3],
      [0x41, 0x41, 0x41, 0x41, 0x41, 0x41, 0x41, 0x41, 0xf0, 0x9f, 0x98],
    ] as [[UInt8]])
  func `strings that are not UTF-8 are refused`(text: [UInt8]) {
    #expect(throws: ProtobufError("a string is not UTF-8")) {
      try ProtobufReader.reading([0x0a, UInt8(text.count)] + text) { (reader) throws(ProtobufError) in
        guard let field = try reader.next() else { return "" }
        return try reader.string(field)
      }
    }
  }

  @Test func `what is written is read back`() throws {
    var writer = ProtobufWriter()
    writer.string(1, "é😀")
    writer.integer(2, -1)
    writer.double(3, -0.5)
    writer.bool(4, true)
    writer.message(5) { $0.string(1, String(repeating: "x", count: 200)) }
    try ProtobufReader.reading(writer.bytes) { (reader) throws(ProtobufError) in
      var seen: [Int] = []
      while let field = try reader.next() {
        seen.append(field.number)
        switch field.number {
        case 1: #expect(try reader.string(field) == "é😀")
        case 2: #expect(try reader.int32(field) == -1)
        case 3: #expect(try reader.double(field) == -0.5)
        case 4: #expect(try reader.bool(field))
        default:
          var inner = try reader.message(field)
          guard let text = try inner.next() else { return }
          #expect(try inner.string(text).count == 200)
        }
      }
      #expect(seen == [1, 2, 3, 4, 5])
    }
  }

  @Test func `base64 is read strictly and written as others do`() {
    for (bytes, text) in [
      ([], ""), ([0x66], "Zg=="), ([0x66, 0x6f], "Zm8="), ([0x66, 0x6f, 0x6f], "Zm9v"),
      ([0xfb, 0xff], "+/8="),
    ] as [([UInt8], String)] {
      #expect(Base64.encoded(bytes) == text)
      #expect(Base64.decoded(text.utf8) == bytes)
      #expect(Base64.decoded(Base64.encoded(bytes, padded: false).utf8) == bytes)
    }
    for text in ["Z", "Zg=", "Zg===", "Zh==", "Z g=", "Zg-_", "=", "===="] {
      #expect(Base64.decoded(text.utf8) == nil, "\(text)")
    }
  }
}
