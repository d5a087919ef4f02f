/// Reads the fields of one protobuf message from borrowed bytes, in their order, building nothing.
///
/// Stricter than the encoding demands where two readers could differ: a known field of another wire type is refused,
/// not skipped, and strings must be UTF-8. Unknown fields (and groups) are skipped.
public struct ProtobufReader {
  /// Deepest nesting of messages and groups: 64 levels of JSON are up to three messages each.
  public static let maximumDepth = 200

  /// How a field's value is encoded.
  public enum WireType: UInt8, Sendable {
    case varint = 0
    case fixed64 = 1
    case bytes = 2
    case startGroup = 3
    case endGroup = 4
    case fixed32 = 5
  }

  /// The key before a field's value.
  public struct Field: Sendable, Equatable {
    public var number: Int
    public var type: WireType
  }

  let base: UnsafePointer<UInt8>
  let end: Int
  private(set) var at: Int
  let depth: Int

  init(base: UnsafePointer<UInt8>, _ range: Range<Int>, depth: Int) {
    self.base = base
    end = range.upperBound
    at = range.lowerBound
    self.depth = depth
  }

  /// A reader of `count` bytes, which must stay in place while it is used.
  public init(_ base: UnsafePointer<UInt8>, count: Int) { self.init(base: base, 0..<count, depth: 0) }

  /// Gives `body` a reader of an array.
  public static func reading<Result>(
    _ bytes: [UInt8], _ body: (inout ProtobufReader) throws(ProtobufError) -> Result
  ) throws(ProtobufError) -> Result {
    try bytes.withUnsafeBufferPointer { (buffer) throws(ProtobufError) in
      guard let base = buffer.baseAddress else {
        var nothing: UInt8 = 0
        return try withUnsafePointer(to: &nothing) { (pointer) throws(ProtobufError) in
          var reader = ProtobufReader(pointer, count: 0)
          return try body(&reader)
        }
      }
      var reader = ProtobufReader(base, count: buffer.count)
      return try body(&reader)
    }
  }

  /// The next field's key; nil at the end of the message. The value must be read or skipped before the next call.
  public mutating func next() throws(ProtobufError) -> Field? {
    guard at < end else { return nil }
    let key = try rawVarint()
    guard key <= UInt64(UInt32.max), key >> 3 != 0 else {
      throw ProtobufError("a field's key is out of range; these bytes are not this message")
    }
    guard let type = WireType(rawValue: UInt8(key & 7)) else {
      throw ProtobufError("field \(key >> 3) has the unknown wire type \(key & 7)")
    }
    return Field(number: Int(key >> 3), type: type)
  }

  /// Steps over the value of a field that nobody knows.
  public mutating func skip(_ field: Field) throws(ProtobufError) { try skip(field, depth: depth) }

  private mutating func skip(_ field: Field, depth: Int) throws(ProtobufError) {
    switch field.type {
    case .varint: _ = try rawVarint()
    case .fixed64: try step(8)
    case .fixed32: try step(4)
    case .bytes: _ = try lengthDelimited()
    case .endGroup: throw ProtobufError("group \(field.number) ends without having begun")
    case .startGroup:
      guard depth < Self.maximumDepth else { throw Self.tooDeep }
      while true {
        guard let inner = try next() else { throw ProtobufError("group \(field.number) is not closed") }
        if inner.type == .endGroup {
          guard inner.number == field.number else {
            throw ProtobufError("group \(field.number) is closed as \(inner.number)")
          }
          return
        }
        try skip(inner, depth: depth + 1)
      }
    }
  }

  /// A number of type uint64, int64 (two's complement), enum or bool.
  public mutating func varint(_ field: Field) throws(ProtobufError) -> UInt64 {
    try expect(field, .varint)
    return try rawVarint()
  }

  /// An int32 or enum; longer values are cut to 32 bits, as the encoding says.
  public mutating func int32(_ field: Field) throws(ProtobufError) -> Int32 {
    Int32(truncatingIfNeeded: try varint(field))
  }

  public mutating func bool(_ field: Field) throws(ProtobufError) -> Bool { try varint(field) != 0 }

  public mutating func double(_ field: Field) throws(ProtobufError) -> Double {
    try expect(field, .fixed64)
    return Double(bitPattern: try little(8))
  }

  /// Where the bytes of a length-delimited field stand, from the start of the borrowed bytes.
  public mutating func range(_ field: Field) throws(ProtobufError) -> Range<Int> {
    try expect(field, .bytes)
    return try lengthDelimited()
  }

  public mutating func bytes(_ field: Field) throws(ProtobufError) -> [UInt8] { copy(try range(field)) }

  /// A string; it must be UTF-8.
  public mutating func string(_ field: Field) throws(ProtobufError) -> String {
    let range = try utf8(field)
    return String(
      decoding: UnsafeBufferPointer(start: base + range.lowerBound, count: range.count), as: UTF8.self)
  }

  /// Where a string stands; it must be UTF-8.
  mutating func utf8(_ field: Field) throws(ProtobufError) -> Range<Int> {
    let range = try range(field)
    guard UTF8Check.isValid(base + range.lowerBound, range.count) else {
      throw ProtobufError("a string is not UTF-8")
    }
    return range
  }

  /// A reader of an embedded message.
  public mutating func message(_ field: Field) throws(ProtobufError) -> ProtobufReader {
    try nested(try range(field))
  }

  /// A reader of the message in `range`, which came from `range(_:)` of this reader.
  public func nested(_ range: Range<Int>) throws(ProtobufError) -> ProtobufReader {
    guard depth < Self.maximumDepth else { throw Self.tooDeep }
    return ProtobufReader(base: base, range, depth: depth + 1)
  }

  /// The bytes of a range that came from this reader.
  public func copy(_ range: Range<Int>) -> [UInt8] {
    Array(UnsafeBufferPointer(start: base + range.lowerBound, count: range.count))
  }

  /// Appends the numbers of a repeated field of varints, packed or one by one.
  public mutating func varints(_ field: Field, to out: inout [UInt64]) throws(ProtobufError) {
    if field.type == .varint { return out.append(try rawVarint()) }
    var packed = try nested(try range(field))
    while packed.at < packed.end { out.append(try packed.rawVarint()) }
  }

  /// Appends the numbers of a repeated field of doubles, packed or one by one.
  public mutating func doubles(_ field: Field, to out: inout [Double]) throws(ProtobufError) {
    if field.type == .fixed64 { return out.append(Double(bitPattern: try little(8))) }
    var packed = try nested(try range(field))
    out.reserveCapacity(out.count + (packed.end - packed.at) / 8)
    while packed.at < packed.end { out.append(Double(bitPattern: try packed.little(8))) }
  }

  /// Appends the numbers of a repeated field of floats, packed or one by one.
  public mutating func floats(_ field: Field, to out: inout [Float]) throws(ProtobufError) {
    if field.type == .fixed32 { return out.append(Float(bitPattern: UInt32(try little(4)))) }
    var packed = try nested(try range(field))
    out.reserveCapacity(out.count + (packed.end - packed.at) / 4)
    while packed.at < packed.end { out.append(Float(bitPattern: UInt32(try packed.little(4)))) }
  }

  private static var tooDeep: ProtobufError { ProtobufError("nested deeper than \(maximumDepth) messages") }

  private func expect(_ field: Field, _ type: WireType) throws(ProtobufError) {
    guard field.type == type else {
      throw ProtobufError(
        "field \(field.number) has wire type \(field.type.rawValue), expected \(type.rawValue)")
    }
  }

  private mutating func step(_ count: Int) throws(ProtobufError) {
    guard end - at >= count else { throw ProtobufError("the message ends inside a field") }
    at += count
  }

  private mutating func little(_ count: Int) throws(ProtobufError) -> UInt64 {
    let start = at
    try step(count)
    var value: UInt64 = 0
    for index in 0..<count { value |= UInt64(base[start + index]) << UInt64(8 * index) }
    return value
  }

  private mutating func lengthDelimited() throws(ProtobufError) -> Range<Int> {
    let length = try rawVarint()
    guard length <= UInt64(end - at) else { throw ProtobufError("a field is longer than its message") }
    let start = at
    at += Int(length)
    return start..<at
  }

  private mutating func rawVarint() throws(ProtobufError) -> UInt64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while at < end {
      let byte = base[at]
      at += 1
      guard shift < 63 || byte <= 1 else { throw ProtobufError("a number is longer than 64 bits") }
      value |= UInt64(byte & 0x7f) << shift
      if byte < 0x80 { return value }
      shift += 7
    }
    throw ProtobufError("the message ends inside a number")
  }
}
