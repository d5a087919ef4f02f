internal import Domain
internal import Wire

/// The answers of inference requests.
extension NodeContract {
  /// A body, and the bytes of its JSON when tensors stand behind it.
  public typealias InferenceBody = (bytes: [UInt8], headCount: Int?)

  /// The answer over HTTP, made of the cell's JSON object of outputs.
  public func inferenceBody(_ call: InferenceCall, _ json: [UInt8]) throws(InferenceError) -> InferenceBody {
    var tail: [UInt8] = []
    var hasTail = false
    var writer = JSONWriter()
    writer.beginObject()
    writer.member("model_name", nodeName)
    writer.member("model_version", Self.modelVersion)
    if !call.id.isEmpty { writer.member("id", call.id) }
    writer.key("outputs")
    writer.beginArray()
    for (field, text) in try wanted(call, json) {
      let asked = call.outputs.first { $0.name == field.name }?.isBinary
      let isBinary = asked ?? call.binaryOutputs
      let tensor = try Self.tensor(field, text)
      writer.beginObject()
      writer.member("name", field.name)
      writer.member("datatype", tensor.datatype.rawValue)
      writer.key("shape")
      writer.beginArray()
      for length in tensor.shape { writer.integer(length) }
      writer.endArray()
      if isBinary {
        hasTail = true
        tail += tensor.data
        writer.key("parameters")
        writer.beginObject()
        writer.member("binary_data_size", tensor.data.count)
        writer.endObject()
      } else {
        writer.key("data")
        writer.raw(Self.flat(text))
      }
      writer.endObject()
    }
    writer.endArray()
    writer.endObject()
    return (writer.bytes + tail, hasTail ? writer.bytes.count : nil)
  }

  /// The answer as an encoded `ModelInferResponse`.
  public func inferenceMessage(_ call: InferenceCall, _ json: [UInt8]) throws(InferenceError) -> [UInt8] {
    let tensors = try wanted(call, json).map { (field, text) throws(InferenceError) in
      try Self.tensor(field, text)
    }
    // Contents are raw for all tensors or for none.
    let isTyped = call.form == .typed && tensors.allSatisfy { $0.datatype.contentsField != nil }
    var writer = ProtobufWriter()
    writer.string(1, nodeName)
    writer.string(2, Self.modelVersion)
    writer.nonEmpty(3, call.id)
    for tensor in tensors {
      writer.message(5) { out in
        out.string(1, tensor.name)
        out.string(2, tensor.datatype.rawValue)
        out.packed(3, tensor.shape.map { UInt64($0) })
        if isTyped { out.message(5) { Self.contents(tensor, &$0) } }
      }
    }
    if !isTyped { for tensor in tensors { writer.bytes(6, tensor.data) } }
    return writer.bytes
  }

  private static func contents(_ tensor: InferenceTensor, _ writer: inout ProtobufWriter) {
    let datatype = tensor.datatype
    guard let field = datatype.contentsField else { return }
    if datatype == .bytes {
      for text in InferenceTensor.texts(tensor.data) ?? [] { writer.bytes(field, text) }
      return
    }
    let words = (0..<tensor.data.count / datatype.size).map { datatype.bits(tensor.data, $0) }
    switch datatype {
    case .fp64: writer.packed(field, bits: words)
    case .fp32: writer.packed(field, bits: words.map { UInt32(truncatingIfNeeded: $0) })
    case .int8: writer.packed(field, words.map { UInt64(bitPattern: Int64(Int8(truncatingIfNeeded: $0))) })
    case .int16: writer.packed(field, words.map { UInt64(bitPattern: Int64(Int16(truncatingIfNeeded: $0))) })
    case .int32: writer.packed(field, words.map { UInt64(bitPattern: Int64(Int32(truncatingIfNeeded: $0))) })
    default: writer.packed(field, words)
    }
  }

  /// The outputs that a request asks for, each with its JSON, in the order of the request.
  private func wanted(
    _ call: InferenceCall, _ json: [UInt8]
  ) throws(InferenceError) -> [(field: Field, text: [UInt8])] {
    let members: [(name: String, value: Range<Int>)]
    do throws(JSONError) { members = try JSONMembers.slice(json) } catch {
      throw InferenceError("output: \(error)", isNodes: true)
    }
    let names = call.outputs.isEmpty ? outputs.map(\.name) : call.outputs.map(\.name)
    return try names.map { (name) throws(InferenceError) in
      guard let field = outputs.first(where: { $0.name == name }),
        let member = members.first(where: { $0.name == name })
      else { throw InferenceError("output '\(name)': missing in the answer of the cell", isNodes: true) }
      return (field, Array(json[member.value]))
    }
  }

  /// The tensor of an output's JSON.
  private static func tensor(_ field: Field, _ json: [UInt8]) throws(InferenceError) -> InferenceTensor {
    guard let (datatype, _) = field.type.openInference else {
      throw InferenceError("output '\(field.name)': \(field.declared.rawValue) has no tensor", isNodes: true)
    }
    do throws(JSONError) {
      if datatype == .bytes { return try texts(field, try JSONValue(parsing: json)) }
      let values = try JSONTensor<UInt64>(json) { datatype.bits($0) }
      var data: [UInt8] = []
      data.reserveCapacity(values.values.count * datatype.size)
      for bits in values.values { datatype.append(bits, to: &data) }
      return InferenceTensor(
        name: field.name, datatype: datatype, shape: values.shape.isEmpty ? [1] : values.shape, data: data)
    } catch {
      throw InferenceError(
        "output '\(field.name)': not of \(datatype.rawValue) as in the checkpoint: \(error)", isNodes: true)
    }
  }

  private static func texts(_ field: Field, _ value: JSONValue) throws(JSONError) -> InferenceTensor {
    let strings = (value.arrayValue ?? [value]).map { value -> [UInt8]? in
      value.stringValue.flatMap { field.type.isText ? Array($0.utf8) : Base64.decoded($0.utf8) }
    }
    guard !strings.contains(nil) else {
      throw JSONError(
        offset: 0, reason: "expected \(field.declared.rawValue), the cell answered with a JSON \(value.kind)")
    }
    return InferenceTensor(
      name: field.name, datatype: .bytes, shape: [strings.count],
      data: InferenceTensor.data(strings.compactMap(\.self)))
  }

  /// The items of nested arrays in one array; a bare value in an array of its own.
  static func flat(_ json: [UInt8]) -> [UInt8] {
    guard json.first == 0x5b else { return [0x5b] + json + [0x5d] }
    // Strings stand in lists without depth only.
    guard json.dropFirst().contains(0x5b), !json.contains(0x22) else { return json }
    var items: [UInt8] = [0x5b]
    for byte in json where byte != 0x5b && byte != 0x5d && byte != 0x20 {
      if byte == 0x2c, items.last == 0x2c || items.count == 1 { continue }
      items.append(byte)
    }
    if items.last == 0x2c { items.removeLast() }
    return items + [0x5d]
  }
}
