internal import Wire

/// A request of the Open Inference Protocol, from either of its forms.
public struct InferenceCall: Sendable, Equatable {
  /// How its tensors came: the answer's come the same way unless the request asks for another.
  enum Form: Sendable { case json, raw, typed }

  struct Input: Sendable, Equatable {
    enum Data: Sendable, Equatable {
      /// The text of a JSON array.
      case json([UInt8])
      case raw([UInt8])
      /// Items of typed contents, by the field they stood in.
      case words(field: Int, [UInt64])
      case texts([[UInt8]])
      case missing
    }
    var name = ""
    var datatype = ""
    var shape: [Int] = []
    var data = Data.missing
  }

  struct Output: Sendable, Equatable {
    var name: String
    /// Nil: as the whole request says.
    var isBinary: Bool?
  }

  public internal(set) var id = ""
  /// As the message names them; over HTTP the path does.
  public internal(set) var model = ""
  public internal(set) var version = ""
  var inputs: [Input] = []
  /// Empty: all.
  var outputs: [Output] = []
  var binaryOutputs = false
  var form = Form.json

  init() {}

  // MARK: HTTP

  /// Reads a body; `headCount` is the value of `Inference-Header-Content-Length`, nil without that header.
  public init(body: [UInt8], headCount: Int?) throws(InferenceError) {
    let count = headCount ?? body.count
    guard count > 0, count <= body.count else {
      throw InferenceError(
        "Inference-Header-Content-Length: \(count) of a body of \(body.count) bytes; it counts the JSON before the tensors"
      )
    }
    var at = count
    let json = Array(body[0..<count])
    do throws(JSONError) {
      for member in try JSONMembers.slice(json) {
        let value = Array(json[member.value])
        switch member.name {
        case "id": id = try Self.string(value, "id")
        case "parameters":
          binaryOutputs = try JSONValue(parsing: value)["binary_data_output"]?.boolValue ?? false
        case "inputs":
          for range in try JSONItems.slice(value) {
            inputs.append(try Self.input(Array(value[range]), body, &at))
          }
        case "outputs": outputs = try JSONValue(parsing: value).arrayValue.map(Self.outputs) ?? []
        default:
          throw JSONError(
            offset: member.value.lowerBound,
            reason: "unknown member '\(member.name)'; a request has id, parameters, inputs and outputs")
        }
      }
    } catch { throw InferenceError("the request is refused: \(error)") }
    guard at == body.count else {
      throw InferenceError(
        "\(body.count - at) bytes are left after the tensors; check binary_data_size and Inference-Header-Content-Length"
      )
    }
    form = headCount == nil ? .json : .raw
  }

  private static func string(_ value: [UInt8], _ name: String) throws(JSONError) -> String {
    guard let text = try JSONValue(parsing: value).stringValue else {
      throw JSONError(offset: 0, reason: "\(name): must be a string")
    }
    return text
  }

  private static func input(_ json: [UInt8], _ body: [UInt8], _ at: inout Int) throws(JSONError) -> Input {
    var input = Input()
    for member in try JSONMembers.slice(json) {
      let value = Array(json[member.value])
      switch member.name {
      case "name": input.name = try string(value, "inputs.name")
      case "datatype": input.datatype = try string(value, "inputs.datatype")
      case "shape":
        let lengths = try JSONValue(parsing: value).arrayValue?.map {
          $0.integerValue.flatMap { Int(exactly: $0) }
        }
        guard let lengths, !lengths.contains(nil) else {
          throw JSONError(offset: 0, reason: "inputs.shape: must be an array of integers")
        }
        input.shape = lengths.compactMap(\.self)
      case "parameters":
        let parameters = try JSONValue(parsing: value)
        try refuseShared(parameters)
        guard let size = parameters["binary_data_size"] else { continue }
        guard let exact = size.integerValue, exact >= 0, exact <= body.count - at else {
          throw JSONError(
            offset: 0,
            reason: "inputs.parameters.binary_data_size: \(body.count - at) bytes are left of the body")
        }
        input.data = .raw(Array(body[at..<at + Int(exact)]))
        at += Int(exact)
      case "data":
        guard input.data == .missing else {
          throw JSONError(offset: 0, reason: "inputs: data and binary_data_size exclude each other")
        }
        input.data = .json(value)
      default:
        throw JSONError(
          offset: 0,
          reason:
            "unknown member 'inputs.\(member.name)'; an input has name, shape, datatype, parameters and data")
      }
    }
    return input
  }

  private static func outputs(_ values: [JSONValue]) -> [Output] {
    values.map {
      Output(name: $0["name"]?.stringValue ?? "", isBinary: $0["parameters"]?["binary_data"]?.boolValue)
    }
  }

  private static func refuseShared(_ parameters: JSONValue) throws(JSONError) {
    guard parameters["shared_memory_region"] == nil else {
      throw JSONError(
        offset: 0,
        reason: "shared_memory_region: this server shares no memory with its callers; send the data")
    }
  }

  // MARK: gRPC

  /// Reads a `ModelInferRequest`.
  public init(message: [UInt8]) throws(InferenceError) {
    var raw: [[UInt8]] = []
    do throws(ProtobufError) {
      self = try ProtobufReader.reading(message) { (reader) throws(ProtobufError) in
        var call = InferenceCall()
        while let field = try reader.next() {
          switch field.number {
          case 1: call.model = try reader.string(field)
          case 2: call.version = try reader.string(field)
          case 3: call.id = try reader.string(field)
          case 5:
            var inner = try reader.message(field)
            call.inputs.append(try Self.input(&inner))
          case 6:
            var inner = try reader.message(field)
            var output = Output(name: "")
            while let field = try inner.next() {
              if field.number == 1 { output.name = try inner.string(field) } else { try inner.skip(field) }
            }
            call.outputs.append(output)
          case 7: raw.append(try reader.bytes(field))
          default: try reader.skip(field)
          }
        }
        return call
      }
    } catch { throw InferenceError("\(error)") }
    form = raw.isEmpty ? .typed : .raw
    guard !raw.isEmpty else { return }
    guard raw.count == inputs.count else {
      throw InferenceError(
        "raw_input_contents: \(raw.count) for \(inputs.count) inputs; send one for each, or typed contents for all"
      )
    }
    for (index, data) in raw.enumerated() {
      guard inputs[index].data == .missing else {
        throw InferenceError(
          "input '\(inputs[index].name)': contents and raw_input_contents exclude each other")
      }
      inputs[index].data = .raw(data)
    }
  }

  private static func input(_ reader: inout ProtobufReader) throws(ProtobufError) -> Input {
    var input = Input()
    while let field = try reader.next() {
      switch field.number {
      case 1: input.name = try reader.string(field)
      case 2: input.datatype = try reader.string(field)
      case 3:
        var lengths: [UInt64] = []
        try reader.varints(field, to: &lengths)
        input.shape += lengths.map { Int(Int64(bitPattern: $0)) }
      case 5:
        var inner = try reader.message(field)
        try contents(&inner, &input)
      default: try reader.skip(field)
      }
    }
    return input
  }

  private static func contents(
    _ reader: inout ProtobufReader, _ input: inout Input
  ) throws(ProtobufError) {
    var used = 0
    var words: [UInt64] = []
    var texts: [[UInt8]] = []
    while let field = try reader.next() {
      guard (1...8).contains(field.number) else {
        try reader.skip(field)
        continue
      }
      guard used == 0 || used == field.number else {
        throw ProtobufError("contents of two datatypes; fill the field of the input's datatype only")
      }
      used = field.number
      switch field.number {
      case 6:
        var floats: [Float] = []
        try reader.floats(field, to: &floats)
        words += floats.map { UInt64($0.bitPattern) }
      case 7:
        var doubles: [Double] = []
        try reader.doubles(field, to: &doubles)
        words += doubles.map(\.bitPattern)
      case 8: texts.append(try reader.bytes(field))
      default: try reader.varints(field, to: &words)
      }
    }
    input.data = used == 8 ? .texts(texts) : .words(field: used, words)
  }
}
