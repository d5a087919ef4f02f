internal import Wire

/// Arrays: messages hold a shape and numbers; requests `{"dtype", "shape", "data": base64}`; answers nested lists.
enum TensorMessage {
  /// The JSON of a request.
  static func json(_ element: TensorElement, _ reader: inout ProtobufReader) throws(ProtobufError) -> [UInt8]
  {
    var shape: [UInt64] = []
    var integers: [UInt64] = []
    var floats: [Float] = []
    var doubles: [Double] = []
    while let field = try reader.next() {
      switch (field.number, element.field) {
      case (1, _): try reader.varints(field, to: &shape)
      case (2, .double): try reader.doubles(field, to: &doubles)
      case (2, .float): try reader.floats(field, to: &floats)
      case (2, _): try reader.varints(field, to: &integers)
      default: try reader.skip(field)
      }
    }
    var data: [UInt8] = []
    let count: Int
    switch element.field {
    case .double:
      count = doubles.count
      for value in doubles { append(value.bitPattern, &data) }
    case .float:
      count = floats.count
      for value in floats {
        if element == .float16 { append(Half.bits(value), &data) } else { append(value.bitPattern, &data) }
      }
    default:
      count = integers.count
      for (index, value) in integers.enumerated() { try append(value, element, index, &data) }
    }
    let lengths = try checked(shape, count)
    var writer = JSONWriter()
    writer.beginObject()
    writer.member("dtype", element.code)
    writer.key("shape")
    writer.beginArray()
    for length in lengths { writer.integer(length) }
    writer.endArray()
    writer.member("data", Base64.encoded(data))
    writer.endObject()
    return writer.bytes
  }

  /// The message of an answer.
  static func encoded(_ element: TensorElement, _ json: [UInt8]) throws(ProtobufError) -> [UInt8] {
    var writer = ProtobufWriter()
    do throws(JSONError) {
      switch element.field {
      case .double:
        let tensor = try JSONTensor<Double>(json, element: double)
        put(tensor.shape, &writer)
        writer.packed(2, bits: tensor.values.map(\.bitPattern))
      case .float:
        let tensor = try JSONTensor<Double>(json, element: double)
        put(tensor.shape, &writer)
        writer.packed(2, bits: tensor.values.map { Float($0).bitPattern })
      case .bool:
        let tensor = try JSONTensor<UInt64>(json) { $0.first == 0x74 ? 1 : $0.first == 0x66 ? 0 : nil }
        put(tensor.shape, &writer)
        writer.packed(2, tensor.values)
      case .uint64:
        let tensor = try JSONTensor<UInt64>(json) { UInt64(String(decoding: $0, as: UTF8.self)) }
        put(tensor.shape, &writer)
        writer.packed(2, tensor.values)
      default:
        let tensor = try JSONTensor<UInt64>(json) {
          Int64(String(decoding: $0, as: UTF8.self)).map { UInt64(bitPattern: $0) }
        }
        put(tensor.shape, &writer)
        writer.packed(2, tensor.values)
      }
    } catch {
      throw ProtobufError("not an array of \(element.rawValue) as in the checkpoint: \(error)")
    }
    return writer.bytes
  }

  private static func put(_ shape: [Int], _ writer: inout ProtobufWriter) {
    writer.packed(1, shape.map { UInt64($0) })
  }

  /// NaN and infinities have become null on their way here.
  private static func double(_ text: UnsafeBufferPointer<UInt8>) -> Double? {
    if text.first == 0x6e { return .nan }
    return Double(String(decoding: text, as: UTF8.self))
  }

  private static func checked(_ shape: [UInt64], _ count: Int) throws(ProtobufError) -> [Int] {
    guard !shape.isEmpty else { return [count] }
    var product = 1
    var lengths: [Int] = []
    for length in shape {
      guard let exact = Int(exactly: length), lengths.count < 32 else {
        throw ProtobufError("the shape has a negative length, or more than 32")
      }
      let (next, overflow) = product.multipliedReportingOverflow(by: exact)
      guard !overflow else { throw ProtobufError("the shape is too large") }
      product = next
      lengths.append(exact)
    }
    guard product == count else {
      let text = lengths.map(String.init).joined(separator: ", ")
      throw ProtobufError("the shape (\(text)) needs \(product) values, \(count) were sent")
    }
    return lengths
  }

  private static func append<Word: FixedWidthInteger>(_ word: Word, _ data: inout [UInt8]) {
    withUnsafeBytes(of: word.littleEndian) { data.append(contentsOf: $0) }
  }

  private static func append(
    _ value: UInt64, _ element: TensorElement, _ index: Int, _ data: inout [UInt8]
  ) throws(ProtobufError) {
    func fit<Word: FixedWidthInteger>(_ word: Word?) throws(ProtobufError) {
      guard let word else {
        let text = element.field == .uint64 ? String(value) : String(Int64(bitPattern: value))
        throw ProtobufError(path: "values[\(index)]", "\(text) does not fit \(element.rawValue)")
      }
      append(word, &data)
    }
    let signed = Int64(bitPattern: value)
    switch element {
    case .bool: data.append(value == 0 ? 0 : 1)
    case .int8: try fit(Int8(exactly: signed))
    case .int16: try fit(Int16(exactly: signed))
    case .int32: try fit(Int32(exactly: signed))
    case .uint8: try fit(UInt8(exactly: value))
    case .uint16: try fit(UInt16(exactly: value))
    case .uint32: try fit(UInt32(exactly: value))
    default: append(value, &data)
    }
  }
}

/// Numbers of 16 bits (IEEE 754), which not every processor has.
enum Half {
  /// The nearest number of 16 bits, ties to even; too large ones become infinite.
  static func bits(_ value: Float) -> UInt16 {
    let bits = value.bitPattern
    let sign = UInt16(bits >> 16) & 0x8000
    let magnitude = bits & 0x7fff_ffff
    if magnitude > 0x7f80_0000 { return sign | 0x7e00 }
    if magnitude >= 0x4780_0000 { return sign | 0x7c00 }
    if magnitude < 0x3880_0000 {
      // Below the least normal number the step is 2^-24: scale, and let the rounding of Float decide.
      let steps = (value.magnitude * 16_777_216).rounded(.toNearestOrEven)
      return sign | UInt16(steps)
    }
    // A carry out of the fraction moves into the exponent, and from the largest number to infinity, as it should.
    let rounded = (magnitude &- 0x3800_0000) &+ 0x0fff &+ (magnitude >> 13 & 1)
    return sign | UInt16(rounded >> 13)
  }
}
