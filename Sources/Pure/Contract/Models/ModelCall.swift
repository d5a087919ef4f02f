internal import Wire

/// A request in JSON as Triton gets it: tensors behind a head (the binary form of the Open Inference Protocol).
public struct ModelCall: Sendable, Equatable {
  /// The place of the model in the contract.
  public var model: Int
  /// nil: the one that answers by default.
  public var version: Int?
  /// The name under which the request gave the inputs, and the answer has the outputs; nil: it named no model.
  public var name: String?
  /// JSON and tensors.
  public var body: [UInt8]
  /// Bytes of the JSON.
  public var headCount: Int
}

extension ModelNodeContract {
  /// Reads a JSON object of inputs: nested lists by name. Of a node with several models they stand below the name or id of one;
  /// `NAME:VERSION` names a version of it.
  ///
  /// Throws naming the input and what to send.
  public func call(input json: [UInt8]) throws(InferenceError) -> ModelCall {
    let members = try Self.members(json, "input")
    let named = members.first { member in json[member.value].first == 0x7b && place(of: member.name) != nil }
    if let named, models.count > 1 || !models[0].inputs.contains(where: { $0.name == named.name }) {
      guard members.count == 1 else {
        throw InferenceError(
          "input: has members beside '\(named.name)'; a request runs one model: send {\"\(named.name)\": {...}} alone"
        )
      }
      let text = Array(json[named.value])
      let place = place(of: named.name)
      guard let place, place.isServed else {
        let model = models[place?.model ?? 0]
        throw InferenceError(
          "input: model '\(model.name)' has no version '\(named.name.dropFirst(model.name.count + 1).prefix(32))'; it is called as \(model.titles.joined(separator: ", "))"
        )
      }
      return try call(
        place.model, version: place.version, try Self.members(text, "input.\(named.name)"), of: text,
        as: named.name)
    }
    guard models.count == 1 else {
      let first = models.first?.name ?? ""
      let what =
        members.count == 1 ? "'\(members[0].name.prefix(64))' is no model of this node" : "name one model"
      throw InferenceError(
        "input: \(what); it has the models \(models.flatMap(\.titles).joined(separator: ", ")): send {\"\(first)\": {INPUT: nested lists, ...}}"
      )
    }
    return try call(0, members, of: json, as: nil)
  }

  /// The same for a known model.
  public func call(model: Int, input json: [UInt8]) throws(InferenceError) -> ModelCall {
    try call(model, try Self.members(json, "input"), of: json, as: nil)
  }

  /// The version that the metadata of a typed call names, exactly as it is written in the models of the node.
  ///
  /// Throws naming the versions that there are.
  public func version(_ text: String, of place: Int) throws(InferenceError) -> Int {
    let model = models[place]
    if let version = model.versions.first(where: { String($0.number) == text }) { return version.number }
    let numbers = model.versions.map { String($0.number) }.joined(separator: ", ")
    throw InferenceError(
      "model-version: model '\(model.name)' has no version '\(text.prefix(32))'; it has \(numbers), and \(model.versions.last?.number ?? 1) answers calls that name none"
    )
  }

  /// What a name, an id, or `NAME:VERSION` stands for.
  private func place(of name: String) -> (model: Int, version: Int?, isServed: Bool)? {
    for (place, model) in models.enumerated() {
      if model.name == name { return (place, nil, true) }
      if let version = model.versions.first(where: { $0.id == name }) { return (place, version.number, true) }
      if name.hasPrefix("\(model.name):") {
        let version = model.versions.first { "\(model.name):\($0.number)" == name }
        return (place, version?.number, version != nil)
      }
    }
    return nil
  }

  private static func members(
    _ json: [UInt8], _ path: String
  ) throws(InferenceError) -> [(name: String, value: Range<Int>)] {
    do throws(JSONError) { return try JSONMembers.slice(json) } catch {
      throw InferenceError("\(path): \(error)")
    }
  }

  private func call(
    _ place: Int, version: Int? = nil, _ members: [(name: String, value: Range<Int>)], of json: [UInt8],
    as name: String?
  ) throws(InferenceError) -> ModelCall {
    let model = models[place]
    let takes = model.inputs.map(\.text).joined(separator: ", ")
    for member in members where !model.inputs.contains(where: { $0.name == member.name }) {
      throw InferenceError(
        "input '\(member.name.prefix(64))': unknown; model '\(model.name)' takes \(takes.isEmpty ? "none" : takes)"
      )
    }
    var writer = JSONWriter()
    var tensors: [UInt8] = []
    var rows: (name: String, count: Int)?
    writer.beginObject()
    writer.key("inputs")
    writer.beginArray()
    for field in model.inputs {
      guard let member = members.first(where: { $0.name == field.name }) else {
        throw InferenceError(
          "input '\(field.name)': missing; model '\(model.name)' takes \(takes): send \"\(field.name)\": \(field.form)"
        )
      }
      let tensor = try field.tensor(Array(json[member.value]), model.name)
      if field.shape.first == -1, let count = tensor.shape.first {
        if let rows, rows.count != count {
          throw InferenceError(
            "input '\(field.name)': \(count) rows, but '\(rows.name)' has \(rows.count); send as many of each"
          )
        }
        if model.batches { rows = (field.name, count) }
      }
      writer.beginObject()
      writer.member("name", field.name)
      writer.member("datatype", field.datatype.rawValue)
      writer.key("shape")
      writer.beginArray()
      for length in tensor.shape { writer.integer(length) }
      writer.endArray()
      writer.key("parameters")
      writer.beginObject()
      writer.member("binary_data_size", tensor.data.count)
      writer.endObject()
      writer.endObject()
      tensors += tensor.data
    }
    writer.endArray()
    writer.key("parameters")
    writer.beginObject()
    writer.member("binary_data_output", true)
    writer.endObject()
    writer.endObject()
    return ModelCall(
      model: place, version: version, name: name, body: writer.bytes + tensors, headCount: writer.bytes.count)
  }
}

extension ModelNodeContract.Model {
  /// The first dimension of all tensors is any length: it counts rows.
  var batches: Bool { (inputs + outputs).allSatisfy { $0.shape.count > 1 && $0.shape.first == -1 } }
}

extension ModelNodeContract.Field {
  /// The tensor of an input's JSON: nested lists, or numbers as `{"dtype", "shape", "data": base64}`.
  func tensor(_ json: [UInt8], _ model: String) throws(InferenceError) -> InferenceTensor {
    let found: (shape: [Int], data: [UInt8])
    if json.first == 0x7b {
      found = try packed(json)
    } else if datatype == .bytes {
      found = try texts(json)
    } else {
      found = try numbers(json)
    }
    let fits =
      found.shape.count == shape.count
      && zip(found.shape, shape).allSatisfy { $0 > 0 && ($1 == -1 || $0 == $1) }
    guard fits else {
      let empty =
        found.shape.contains(0)
        ? "it has a list without items" : "it has the shape \(InferenceTensor.text(found.shape))"
      throw InferenceError(
        "input '\(name)': \(empty), model '\(model)' takes \(InferenceTensor.text(shape)) (-1: any length): send nested lists like \(form)"
      )
    }
    return InferenceTensor(name: name, datatype: datatype, shape: found.shape, data: found.data)
  }

  private func numbers(_ json: [UInt8]) throws(InferenceError) -> (shape: [Int], data: [UInt8]) {
    let datatype = datatype
    var misfit: String?
    do throws(JSONError) {
      let tensor = try JSONTensor<UInt64>(json) { text in
        if let bits = datatype.bits(text) ?? datatype.wholeBits(text) { return bits }
        misfit = String(decoding: text.prefix(40), as: UTF8.self)
        return nil
      }
      var data: [UInt8] = []
      data.reserveCapacity(tensor.values.count * datatype.size)
      for bits in tensor.values { datatype.append(bits, to: &data) }
      return (tensor.shape, data)
    } catch {
      let what = misfit.map { "\($0) is not of \(datatype.rawValue)" } ?? "\(error)"
      throw InferenceError(
        "input '\(name)': must be nested lists of \(datatype.rawValue), like \(form): \(what)")
    }
  }

  private func texts(_ json: [UInt8]) throws(InferenceError) -> (shape: [Int], data: [UInt8]) {
    var lengths: [Int] = []
    var items: [[UInt8]] = []
    var problem: String?
    func read(_ value: JSONValue, _ depth: Int, first: Bool) {
      switch value {
      case .string(let text):
        if depth != lengths.count { problem = problem ?? "the rows differ in depth" }
        items.append(Array(text.utf8))
      case .array(let values):
        if first, depth == lengths.count { lengths.append(values.count) }
        guard depth < lengths.count, lengths[depth] == values.count else {
          problem = problem ?? "the rows differ in length or depth"
          return
        }
        for (index, value) in values.enumerated() { read(value, depth + 1, first: first && index == 0) }
      default: problem = problem ?? "a JSON \(value.kind) is no text"
      }
    }
    do throws(JSONError) { read(try JSONValue(parsing: json), 0, first: true) } catch { problem = "\(error)" }
    if let problem {
      throw InferenceError("input '\(name)': must be nested lists of strings, like \(form): \(problem)")
    }
    return (lengths, InferenceTensor.data(items))
  }

  private func packed(_ json: [UInt8]) throws(InferenceError) -> (shape: [Int], data: [UInt8]) {
    let value = try? JSONValue(parsing: json)
    guard let element = datatype.element, let dtype = value?["dtype"]?.stringValue,
      let lengths = value?["shape"]?.arrayValue?.map({ $0.integerValue.flatMap { Int(exactly: $0) } ?? -1 }),
      let data = value?["data"]?.stringValue.flatMap({ Base64.decoded($0.utf8) })
    else {
      throw InferenceError(
        "input '\(name)': must be nested lists, like \(form)\(datatype == .bytes ? "" : ", or {\"dtype\", \"shape\", \"data\": base64}")"
      )
    }
    guard dtype == element.code || dtype == element.rawValue else {
      throw InferenceError("input '\(name)': dtype '\(dtype.prefix(16))', model wants \(element.rawValue)")
    }
    var count = 1
    for length in lengths {
      let (next, overflow) = count.multipliedReportingOverflow(by: length)
      guard length >= 0, !overflow else { throw InferenceError("input '\(name)': the shape is not one") }
      count = next
    }
    guard count <= data.count, count * datatype.size == data.count else {
      throw InferenceError(
        "input '\(name)': the shape \(InferenceTensor.text(lengths)) of \(datatype.rawValue) needs \(count) items, the data has \(data.count) bytes"
      )
    }
    return (lengths, data)
  }
}

extension InferenceDatatype {
  /// Of a whole number that is written as another: `1.0`, `1e3`.
  func wholeBits(_ text: UnsafeBufferPointer<UInt8>) -> UInt64? {
    guard !isFloating, self != .bool, self != .bytes,
      let value = Double(String(decoding: text, as: UTF8.self)), let whole = Int64(exactly: value)
    else { return nil }
    return Array(String(whole).utf8).withUnsafeBufferPointer { bits($0) }
  }
}
