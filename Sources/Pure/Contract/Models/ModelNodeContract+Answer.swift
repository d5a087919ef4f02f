internal import Domain
internal import Wire

/// Triton's answers as JSON.
extension ModelNodeContract {
  /// The JSON object of outputs in an answer to `call`: nested lists by name, below the model's where the request named it.
  ///
  /// `headCount`: of `Inference-Header-Content-Length`.
  public func output(
    _ call: ModelCall, _ body: [UInt8], headCount: Int?
  ) throws(InferenceError) -> [UInt8] {
    let model = models[call.model]
    let tensors = try Self.tensors(body, headCount)
    var writer = JSONWriter()
    writer.beginObject()
    if let name = call.name {
      writer.key(name)
      writer.beginObject()
    }
    for field in model.outputs {
      guard let tensor = tensors.first(where: { $0.name == field.name }) else {
        throw InferenceError(
          "output '\(field.name)': missing in the answer of model '\(model.name)'", isNodes: true)
      }
      writer.key(field.name)
      try tensor.write(&writer)
    }
    if call.name != nil { writer.endObject() }
    writer.endObject()
    return writer.bytes
  }

  private static func tensors(_ body: [UInt8], _ headCount: Int?) throws(InferenceError) -> [InferenceTensor]
  {
    let bad = InferenceError("Triton's answer can't be read", isNodes: true)
    let count = headCount ?? body.count
    guard count <= body.count, let head = try? JSONValue(parsing: Array(body[..<count])),
      let outputs = head["outputs"]?.arrayValue
    else { throw bad }
    var at = count
    return try outputs.map { (output) throws(InferenceError) in
      guard let name = output["name"]?.stringValue,
        let datatype = output["datatype"]?.stringValue.flatMap(InferenceDatatype.init),
        let lengths = output["shape"]?.arrayValue?.map({ $0.integerValue.flatMap { Int(exactly: $0) } ?? -1 }
        ),
        let size = output["parameters"]?["binary_data_size"]?.integerValue.flatMap({ Int(exactly: $0) }),
        size >= 0, size <= body.count - at, !lengths.contains(where: { $0 < 0 })
      else { throw bad }
      defer { at += size }
      let items = lengths.reduce(1) { $0.multipliedReportingOverflow(by: $1).partialValue }
      guard datatype == .bytes || items * datatype.size == size else { throw bad }
      return InferenceTensor(
        name: name, datatype: datatype, shape: lengths, data: Array(body[at..<at + size]))
    }
  }
}

extension InferenceTensor {
  /// Writes its items as nested lists.
  func write(_ writer: inout JSONWriter) throws(InferenceError) {
    var texts: [[UInt8]] = []
    if datatype == .bytes {
      guard let found = Self.texts(data), found.count == shape.reduce(1, *) else {
        throw InferenceError("output '\(name)': its texts can't be read", isNodes: true)
      }
      texts = found
    }
    var next = 0
    try write(0, texts, &next, &writer)
  }

  private func write(
    _ depth: Int, _ texts: [[UInt8]], _ next: inout Int, _ writer: inout JSONWriter
  ) throws(InferenceError) {
    guard depth == shape.count else {
      writer.beginArray()
      for _ in 0..<shape[depth] { try write(depth + 1, texts, &next, &writer) }
      return writer.endArray()
    }
    defer { next += 1 }
    if datatype == .bytes {
      guard let text = String(validating: texts[next], as: UTF8.self) else {
        throw InferenceError(
          "output '\(name)': holds bytes that are no text (UTF-8); call the model by the Open Inference Protocol, which has them as they are",
          isNodes: true)
      }
      return writer.string(text)
    }
    let bits = datatype.bits(data, next)
    switch datatype {
    case .bool: writer.bool(bits != 0)
    case .fp64: writer.double(Double(bitPattern: bits))
    case .fp32: Self.write(Float(bitPattern: UInt32(truncatingIfNeeded: bits)), &writer)
    case .fp16: Self.write(Half.value(UInt16(truncatingIfNeeded: bits)), &writer)
    case .int8: writer.integer(Int8(truncatingIfNeeded: bits))
    case .int16: writer.integer(Int16(truncatingIfNeeded: bits))
    case .int32: writer.integer(Int32(truncatingIfNeeded: bits))
    case .int64: writer.integer(Int64(truncatingIfNeeded: bits))
    default: writer.integer(bits)
    }
  }

  /// The shortest text that reads back as the same 32 bits, not those of the double it is widened to.
  private static func write(_ value: Float, _ writer: inout JSONWriter) {
    value.isFinite ? writer.raw("\(value)".utf8) : writer.null()
  }
}

extension Half {
  static func value(_ bits: UInt16) -> Float {
    let sign: Float = bits & 0x8000 == 0 ? 1 : -1
    let exponent = Int(bits >> 10 & 0x1f)
    let fraction = Float(bits & 0x3ff)
    switch exponent {
    case 0: return sign * fraction / 16_777_216
    case 31: return fraction == 0 ? sign * .infinity : .nan
    default: return sign * Float(sign: .plus, exponent: exponent - 15, significand: 1 + fraction / 1024)
    }
  }
}
