internal import Wire

/// A datatype of the Open Inference Protocol.
enum InferenceDatatype: String, Sendable, CaseIterable {
  case bool = "BOOL"
  case int8 = "INT8"
  case int16 = "INT16"
  case int32 = "INT32"
  case int64 = "INT64"
  case uint8 = "UINT8"
  case uint16 = "UINT16"
  case uint32 = "UINT32"
  case uint64 = "UINT64"
  case fp16 = "FP16"
  case fp32 = "FP32"
  case fp64 = "FP64"
  case bytes = "BYTES"

  /// Bytes of one item; of `bytes`: those of the length before each.
  var size: Int {
    switch self {
    case .bool, .int8, .uint8: 1
    case .int16, .uint16, .fp16: 2
    case .int32, .uint32, .fp32, .bytes: 4
    case .int64, .uint64, .fp64: 8
    }
  }

  /// An item's bits from its JSON, in the low bytes; nil when it does not fit.
  func bits(_ text: UnsafeBufferPointer<UInt8>) -> UInt64? {
    guard let first = text.first else { return nil }
    func whole<Word: FixedWidthInteger>(_ type: Word.Type) -> UInt64? {
      Word(String(decoding: text, as: UTF8.self)).map { UInt64(truncatingIfNeeded: $0) }
    }
    switch self {
    case .bool:
      return first == 0x74 || text.elementsEqual([0x31])
        ? 1 : first == 0x66 || text.elementsEqual([0x30]) ? 0 : nil
    case .int8: return whole(Int8.self)
    case .int16: return whole(Int16.self)
    case .int32: return whole(Int32.self)
    case .int64: return whole(Int64.self)
    case .uint8: return whole(UInt8.self)
    case .uint16: return whole(UInt16.self)
    case .uint32: return whole(UInt32.self)
    case .uint64: return whole(UInt64.self)
    case .fp16, .fp32, .fp64:
      // NaN and infinities are null in JSON.
      let value = first == 0x6e ? Double.nan : Double(String(decoding: text, as: UTF8.self))
      guard let value, !value.isInfinite else { return nil }
      if self == .fp64 { return value.bitPattern }
      return self == .fp32 ? UInt64(Float(value).bitPattern) : UInt64(Half.bits(Float(value)))
    case .bytes: return nil
    }
  }

  /// Adds an item's bits in the order of bytes that tensors have: the low ones first.
  func append(_ bits: UInt64, to data: inout [UInt8]) {
    for index in 0..<size { data.append(UInt8(truncatingIfNeeded: bits >> UInt64(8 * index))) }
  }

  /// The bits of the item at a place; the high bytes are zero.
  func bits(_ data: [UInt8], _ index: Int) -> UInt64 {
    var value: UInt64 = 0
    for byte in 0..<size { value |= UInt64(data[index * size + byte]) << UInt64(8 * byte) }
    return value
  }
}

extension TensorElement {
  var datatype: InferenceDatatype {
    switch self {
    case .bool: .bool
    case .int8: .int8
    case .int16: .int16
    case .int32: .int32
    case .int64: .int64
    case .uint8: .uint8
    case .uint16: .uint16
    case .uint32: .uint32
    case .uint64: .uint64
    case .float16: .fp16
    case .float32: .fp32
    case .float64: .fp64
    }
  }
}

/// Why a request of the Open Inference Protocol can't be taken, or the cell's answer not be given in it.
public struct InferenceError: Error, Sendable, Equatable, CustomStringConvertible {
  public var description: String
  /// The cell's doing, not the caller's.
  public var isNodes: Bool

  public init(_ description: String, isNodes: Bool = false) {
    self.description = description
    self.isNodes = isNodes
  }
}

/// A tensor as it goes over the wire: items in row-major order, low bytes first; texts with their length (4 bytes) before each.
struct InferenceTensor: Sendable, Equatable {
  var name: String
  var datatype: InferenceDatatype
  var shape: [Int]
  var data: [UInt8]

  /// The texts of a tensor of `BYTES`; nil when the lengths don't add up.
  static func texts(_ data: [UInt8]) -> [[UInt8]]? {
    var texts: [[UInt8]] = []
    var at = 0
    while at < data.count {
      guard data.count - at >= 4 else { return nil }
      let count = (0..<4).reduce(0) { $0 | Int(data[at + $1]) << (8 * $1) }
      at += 4
      guard data.count - at >= count else { return nil }
      texts.append(Array(data[at..<at + count]))
      at += count
    }
    return texts
  }

  static func data(_ texts: [[UInt8]]) -> [UInt8] {
    var data: [UInt8] = []
    for text in texts {
      InferenceDatatype.bytes.append(UInt64(text.count), to: &data)
      data += text
    }
    return data
  }

  /// `[-1,8]`
  static func text(_ shape: [Int]) -> String { "[" + shape.map(String.init).joined(separator: ",") + "]" }
}
