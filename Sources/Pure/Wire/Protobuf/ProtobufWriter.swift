/// Appends protobuf fields to bytes. Fields are written in the order of the calls; lengths are minimal.
public struct ProtobufWriter: Sendable {
  public private(set) var bytes: [UInt8]

  public init() { bytes = [] }

  init(_ bytes: consuming [UInt8]) { self.bytes = bytes }

  /// uint64, uint32; int64, int32 and enum as two's complement.
  public mutating func varint(_ number: Int, _ value: UInt64) {
    key(number, .varint)
    raw(value)
  }

  public mutating func integer(_ number: Int, _ value: some BinaryInteger) {
    varint(number, UInt64(truncatingIfNeeded: Int64(truncatingIfNeeded: value)))
  }

  public mutating func bool(_ number: Int, _ value: Bool) { varint(number, value ? 1 : 0) }

  public mutating func double(_ number: Int, _ value: Double) {
    key(number, .fixed64)
    fixed(value.bitPattern)
  }

  public mutating func string(_ number: Int, _ value: String) {
    let text = value.utf8
    key(number, .bytes)
    raw(UInt64(text.count))
    bytes.append(contentsOf: text)
  }

  public mutating func bytes(_ number: Int, _ value: some Collection<UInt8>) {
    key(number, .bytes)
    raw(UInt64(value.count))
    bytes.append(contentsOf: value)
  }

  /// An embedded message made by `body`.
  public mutating func message(_ number: Int, _ body: (inout ProtobufWriter) -> Void) {
    var inner = ProtobufWriter()
    body(&inner)
    bytes(number, inner.bytes)
  }

  /// A packed field of varints; nothing when it is empty.
  public mutating func packed(_ number: Int, _ values: some Collection<UInt64>) {
    guard !values.isEmpty else { return }
    var inner = ProtobufWriter()
    for value in values { inner.raw(value) }
    bytes(number, inner.bytes)
  }

  /// A packed field of doubles or floats by their bits; nothing when it is empty.
  public mutating func packed<Word: FixedWidthInteger>(_ number: Int, bits values: [Word]) {
    guard !values.isEmpty else { return }
    key(number, .bytes)
    raw(UInt64(values.count * (Word.bitWidth / 8)))
    reserve(values.count * (Word.bitWidth / 8))
    for value in values { fixed(value) }
  }

  /// Fields that are encoded already.
  public mutating func append(_ encoded: some Sequence<UInt8>) { bytes.append(contentsOf: encoded) }

  /// A string unless it is empty: the default is not written.
  public mutating func nonEmpty(_ number: Int, _ value: String) {
    if !value.isEmpty { string(number, value) }
  }

  mutating func key(_ number: Int, _ type: ProtobufReader.WireType) {
    raw(UInt64(number) << 3 | UInt64(type.rawValue))
  }

  /// A varint without a key: a length, or an item of a packed field.
  mutating func raw(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(truncatingIfNeeded: rest))
  }

  mutating func fixed<Word: FixedWidthInteger>(_ value: Word) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }

  mutating func reserve(_ count: Int) { bytes.reserveCapacity(bytes.count + count) }

  /// Bytes of a varint.
  static func size(_ value: Int) -> Int { max(1, (64 - UInt64(value).leadingZeroBitCount + 6) / 7) }
}
