internal import Domain
public import Wire

/// A cell node as a model of the Open Inference Protocol, version 2. docs/open-inference.md says what becomes what.
extension NodeContract {
  /// The version of every model: a node serves one release at a time.
  public static let modelVersion = "1"

  /// The model's metadata, or why the node can't be one.
  public var openInference: Result<JSONValue, OpenInferenceMisfit> {
    do throws(OpenInferenceMisfit) {
      let (inputs, outputs) = try tensors()
      return .success([
        "name": .string(nodeName), "versions": [.string(Self.modelVersion)], "platform": "roost-cell",
        "inputs": .array(inputs.map(Self.json)), "outputs": .array(outputs.map(Self.json)),
      ])
    } catch { return .failure(error) }
  }

  /// The metadata as an encoded `ModelMetadataResponse`.
  public func openInferenceMessage() throws(OpenInferenceMisfit) -> [UInt8] {
    let (inputs, outputs) = try tensors()
    var writer = ProtobufWriter()
    writer.string(1, nodeName)
    writer.string(2, Self.modelVersion)
    writer.string(3, "roost-cell")
    for (number, tensors) in [(4, inputs), (5, outputs)] {
      for tensor in tensors {
        writer.message(number) { out in
          out.string(1, tensor.name)
          out.string(2, tensor.datatype.rawValue)
          out.packed(3, tensor.shape.map { UInt64(bitPattern: Int64($0)) })
        }
      }
    }
    return writer.bytes
  }

  private typealias Metadata = (name: String, datatype: InferenceDatatype, shape: [Int])

  private func tensors() throws(OpenInferenceMisfit) -> (inputs: [Metadata], outputs: [Metadata]) {
    (try inputs.map(Self.metadata), try outputs.map(Self.metadata))
  }

  private static func metadata(_ field: Field) throws(OpenInferenceMisfit) -> Metadata {
    guard let (datatype, shape) = field.type.openInference else {
      throw OpenInferenceMisfit(variable: field.name, declared: field.declared.rawValue)
    }
    return (field.name, datatype, shape)
  }

  private static func json(_ tensor: Metadata) -> JSONValue {
    [
      "name": .string(tensor.name), "datatype": .string(tensor.datatype.rawValue),
      "shape": .array(tensor.shape.map { .integer(Int64($0)) }),
    ]
  }

  // MARK: Requests

  /// The JSON object of inputs of a request. Throws naming the tensor, what the model takes and what came.
  public func inputJSON(_ call: InferenceCall) throws(InferenceError) -> [UInt8] {
    if case .failure(let misfit) = openInference { throw InferenceError(misfit.description) }
    var writer = JSONWriter()
    writer.beginObject()
    var seen = Set<String>()
    for input in call.inputs {
      guard let field = inputs.first(where: { $0.name == input.name }) else {
        throw InferenceError(
          "unexpected inference input '\(input.name.prefix(64))' for model '\(nodeName)'; it takes \(names(inputs))"
        )
      }
      guard seen.insert(input.name).inserted else {
        throw InferenceError("the inference input '\(input.name)' for model '\(nodeName)' is given twice")
      }
      guard let (datatype, shape) = field.type.openInference else { continue }
      guard input.datatype == datatype.rawValue else {
        throw InferenceError(
          "inference input '\(input.name)' data-type is '\(input.datatype.prefix(16))', but model '\(nodeName)' expects '\(datatype.rawValue)'"
        )
      }
      let count = try Self.count(input, shape, nodeName)
      writer.key(field.name)
      try Self.write(field.type, datatype, input, count, &writer)
    }
    let missing = inputs.map(\.name).filter { !seen.contains($0) }
    guard missing.isEmpty else {
      throw InferenceError(
        "expected \(inputs.count) inputs but got \(seen.count) inputs for model '\(nodeName)'; missing: \(missing.joined(separator: ", "))"
      )
    }
    for output in call.outputs where !outputs.contains(where: { $0.name == output.name }) {
      throw InferenceError(
        "unexpected inference output '\(output.name.prefix(64))' for model '\(nodeName)'; it gives \(names(outputs))"
      )
    }
    writer.endObject()
    return writer.bytes
  }

  private func names(_ fields: [Field]) -> String {
    fields.isEmpty ? "none" : fields.map(\.name).joined(separator: ", ")
  }

  /// Items of a shape that fits; -1 in `expected` takes any length.
  private static func count(
    _ input: InferenceCall.Input, _ expected: [Int], _ model: String
  ) throws(InferenceError) -> Int {
    let isOne = expected == [1] && input.shape.isEmpty
    let fits =
      isOne
      || input.shape.count == expected.count
        && zip(input.shape, expected).allSatisfy { $0 >= 0 && ($1 == -1 || $0 == $1) }
    var product = 1
    for length in input.shape where fits {
      let (next, overflow) = product.multipliedReportingOverflow(by: length)
      guard !overflow else { throw InferenceError("input '\(input.name)': the shape is too large") }
      product = next
    }
    guard fits else {
      throw InferenceError(
        "unexpected shape for input '\(input.name)' for model '\(model)'. Expected \(InferenceTensor.text(expected)), got \(InferenceTensor.text(input.shape))"
      )
    }
    return product
  }

  private static func write(
    _ type: ContractType, _ datatype: InferenceDatatype, _ input: InferenceCall.Input, _ count: Int,
    _ writer: inout JSONWriter
  ) throws(InferenceError) {
    if datatype == .bytes {
      let texts = try input.texts(isText: type.isText, count)
      let strings = try texts.map { (text) throws(InferenceError) in try string(text, type, input.name) }
      if case .list = type { writer.beginArray() }
      for string in strings { writer.string(string) }
      if case .list = type { writer.endArray() }
      return
    }
    let data = try input.bytes(datatype, count)
    switch type {
    case .tensor(let tensor):
      writer.beginObject()
      writer.member("dtype", tensor.element?.code ?? "")
      writer.key("shape")
      writer.beginArray()
      for length in input.shape { writer.integer(length) }
      writer.endArray()
      writer.member("data", Base64.encoded(data))
      writer.endObject()
    case .list:
      writer.beginArray()
      for index in 0..<count { try item(datatype, datatype.bits(data, index), input.name, &writer) }
      writer.endArray()
    default: try item(datatype, datatype.bits(data, 0), input.name, &writer)
    }
  }

  private static func string(
    _ text: [UInt8], _ type: ContractType, _ name: String
  ) throws(InferenceError) -> String {
    guard type.isText else { return Base64.encoded(text) }
    guard let string = String(validating: text, as: UTF8.self) else {
      throw InferenceError("input '\(name)': the text is not UTF-8")
    }
    return string
  }

  private static func item(
    _ datatype: InferenceDatatype, _ bits: UInt64, _ name: String, _ writer: inout JSONWriter
  ) throws(InferenceError) {
    switch datatype {
    case .bool: writer.bool(bits != 0)
    case .fp64:
      let value = Double(bitPattern: bits)
      guard value.isFinite else {
        throw InferenceError("input '\(name)': \(value) is not a JSON number; send a finite one")
      }
      writer.double(value)
    default: writer.integer(Int64(bitPattern: bits))
    }
  }
}

extension InferenceCall.Input {
  /// The data as a tensor has it.
  func bytes(_ datatype: InferenceDatatype, _ count: Int) throws(InferenceError) -> [UInt8] {
    var bytes: [UInt8]
    switch data {
    case .raw(let raw):
      guard raw.count == count * datatype.size else {
        throw InferenceError(
          "input '\(name)': shape \(InferenceTensor.text(shape)) of \(datatype.rawValue) needs \(count * datatype.size) bytes, got \(raw.count)"
        )
      }
      guard datatype == .bool else { return raw }
      return raw.map { $0 == 0 ? 0 : 1 }
    case .json(let text):
      let tensor: JSONTensor<UInt64>
      do throws(JSONError) { tensor = try JSONTensor(text) { datatype.bits($0) } } catch {
        throw InferenceError("input '\(name)': data is not an array of \(datatype.rawValue): \(error)")
      }
      try expect(tensor.values.count, count)
      bytes = []
      bytes.reserveCapacity(count * datatype.size)
      for bits in tensor.values { datatype.append(bits, to: &bytes) }
    case .words(let used, let words):
      guard let field = datatype.contentsField else {
        throw InferenceError(
          "input '\(name)': \(datatype.rawValue) has no typed contents; send raw_input_contents")
      }
      guard used == field || words.isEmpty else {
        throw InferenceError("input '\(name)': the contents are not those of \(datatype.rawValue)")
      }
      try expect(words.count, count)
      bytes = []
      bytes.reserveCapacity(count * datatype.size)
      for (index, word) in words.enumerated() {
        guard datatype.holds(word) else {
          throw InferenceError("input '\(name)': item \(index) does not fit \(datatype.rawValue)")
        }
        datatype.append(datatype == .bool ? (word == 0 ? 0 : 1) : word, to: &bytes)
      }
    case .texts: throw InferenceError("input '\(name)': the contents are not those of \(datatype.rawValue)")
    case .missing: throw noData
    }
    return bytes
  }

  /// The items of `BYTES`. In JSON what is not text is base64.
  func texts(isText: Bool, _ count: Int) throws(InferenceError) -> [[UInt8]] {
    switch data {
    case .raw(let raw):
      guard let texts = InferenceTensor.texts(raw) else {
        throw InferenceError(
          "input '\(name)': the lengths before the items of BYTES don't add up to \(raw.count) bytes")
      }
      try expect(texts.count, count)
      return texts
    case .texts(let texts):
      try expect(texts.count, count)
      return texts
    case .json(let json):
      let items: [JSONValue]?
      do throws(JSONError) { items = try JSONValue(parsing: json).arrayValue } catch {
        throw InferenceError("input '\(name)': \(error)")
      }
      let strings = items?.compactMap(\.stringValue) ?? []
      guard let items, items.count == strings.count else {
        throw InferenceError("input '\(name)': data must be an array of strings")
      }
      try expect(strings.count, count)
      return try strings.map { (string) throws(InferenceError) in
        guard !isText else { return Array(string.utf8) }
        guard let bytes = Base64.decoded(string.utf8) else {
          throw InferenceError(
            "input '\(name)': must be base64 in JSON; binary tensors hold the bytes themselves")
        }
        return bytes
      }
    case .words: throw InferenceError("input '\(name)': the contents are not those of BYTES")
    case .missing: throw noData
    }
  }

  private var noData: InferenceError {
    InferenceError("input '\(name)': has no data; send data, or binary data and its size")
  }

  private func expect(_ found: Int, _ count: Int) throws(InferenceError) {
    guard found == count else {
      throw InferenceError(
        "input '\(name)': shape \(InferenceTensor.text(shape)) needs \(count) items, got \(found)")
    }
  }
}

extension InferenceDatatype {
  /// The field of `InferTensorContents`; nil: only raw contents carry it.
  var contentsField: Int? {
    switch self {
    case .bool: 1
    case .int8, .int16, .int32: 2
    case .int64: 3
    case .uint8, .uint16, .uint32: 4
    case .uint64: 5
    case .fp32: 6
    case .fp64: 7
    case .bytes: 8
    case .fp16: nil
    }
  }

  /// Whether an item of typed contents is in range.
  func holds(_ word: UInt64) -> Bool {
    let signed = Int64(bitPattern: word)
    return switch self {
    case .int8: Int8(exactly: signed) != nil
    case .int16: Int16(exactly: signed) != nil
    case .int32: Int32(exactly: signed) != nil
    case .uint8: UInt8(exactly: word) != nil
    case .uint16: UInt16(exactly: word) != nil
    case .uint32: UInt32(exactly: word) != nil
    default: true
    }
  }
}

/// A variable that no tensor can carry.
public struct OpenInferenceMisfit: Error, Sendable, Equatable, CustomStringConvertible {
  public var variable: String
  public var declared: String

  public var description: String {
    "\(variable) (\(declared)) has no form in the Open Inference Protocol; only numbers, bool, str, bytes, image, lists of one of these kinds and arrays of numbers do, of lists and arrays those whose items the checkpoint shows"
  }
}

extension ContractType {
  /// Datatype and shape; -1 for a length that may vary: the first one of an array.
  var openInference: (datatype: InferenceDatatype, shape: [Int])? {
    switch self {
    case .text, .bytes, .image: return (.bytes, [1])
    case .integer: return (.int64, [1])
    case .number: return (.fp64, [1])
    case .boolean: return (.bool, [1])
    case .tensor(let tensor):
      guard let element = tensor.element, let shape = tensor.shape, !shape.isEmpty else { return nil }
      return (element.datatype, [-1] + shape.dropFirst())
    case .list(let item): return item.map { ($0.datatype, [-1]) }
    case .object, .time, .any, .table: return nil
    }
  }

  /// Whether its `BYTES` are text, not base64.
  var isText: Bool {
    switch self {
    case .text, .list: true
    default: false
    }
  }
}

extension ListItem {
  var datatype: InferenceDatatype {
    switch self {
    case .integer: .int64
    case .number: .fp64
    case .boolean: .bool
    case .text: .bytes
    }
  }
}
