internal import Domain
public import Wire

/// Typed messages of models.
extension ModelNodeContract {
  /// The node's `.proto`: a service with `Execute` for each model.
  public var proto: ProtoFile {
    var messages: [ProtoFile.Message] = []
    var services: [ProtoFile.Service] = []
    var tensors: [String] = []
    for model in models {
      messages.append(
        ProtoFile.Message(
          "\(model.prefix)Input", model.inputs.map(protoField),
          comment: "The inputs of model \(model.name). All are required."))
      messages.append(
        ProtoFile.Message(
          "\(model.prefix)Output", model.outputs.map(protoField),
          comment: "The outputs of model \(model.name)."
        ))
      services.append(
        ProtoFile.Service(
          model.prefix.isEmpty ? "Node" : model.prefix,
          [
            ProtoFile.Method(
              "Execute", "\(package).\(model.prefix)Input", "\(package).\(model.prefix)Output",
              comment: model.hasVersions
                ? "Runs model \(model.name) once: version \(model.defaultVersion). The metadata model-version names another."
                : "Runs model \(model.name) once.")
          ]))
      for field in model.inputs + model.outputs where !tensors.contains(field.message) {
        tensors.append(field.message)
        messages.append(
          ProtoFile.Message(
            field.message,
            [
              ProtoFile.Field("shape", 1, .int64, .repeated, comment: "Lengths; none means one dimension."),
              ProtoFile.Field("values", 2, field.itemType, .repeated, comment: "Row by row."),
            ], comment: "A tensor."))
      }
    }
    return ProtoFile(
      "nodes/\(ProtoNames.packagePart(nodeName)).proto", package: package, imports: [],
      messages: messages, services: services,
      comment: "Generated from release \(release) of node \(nodeName) (\(nodeID)).")
  }

  private func protoField(_ field: Field) -> ProtoFile.Field {
    let usual = ProtoFile.jsonName(field.protoName)
    return ProtoFile.Field(
      field.protoName, field.number, .message("\(package).\(field.message)"), .plain,
      jsonName: usual == field.name ? nil : field.name,
      comment: "\(field.datatype.rawValue)\(InferenceTensor.text(field.shape)) (-1: any length)")
  }

  /// The call of a model by an encoded message of its inputs.
  public func call(model place: Int, message: [UInt8]) throws(InferenceError) -> ModelCall {
    let model = models[place]
    let json: [UInt8]
    do throws(ProtobufError) {
      json = try ProtobufReader.reading(message) { (reader) throws(ProtobufError) in
        var values: [Int: [UInt8]] = [:]
        while let key = try reader.next() {
          guard key.number >= 1, key.number <= model.inputs.count else {
            try reader.skip(key)
            continue
          }
          let field = model.inputs[key.number - 1]
          do throws(ProtobufError) {
            guard values[key.number] == nil else { throw ProtobufError("the field is given twice") }
            var inner = try reader.message(key)
            values[key.number] =
              if let element = field.datatype.element {
                try TensorMessage.json(element, &inner)
              } else {
                try Self.texts(&inner)
              }
          } catch { throw error.within("input.\(field.name)") }
        }
        var writer = JSONWriter()
        writer.beginObject()
        for field in model.inputs {
          guard let value = values[field.number] else { continue }
          writer.key(field.name)
          writer.raw(value)
        }
        writer.endObject()
        return writer.bytes
      }
    } catch { throw InferenceError("\(error)") }
    return try call(model: place, input: json)
  }

  /// The message of outputs of the JSON that `output` gives for a call without a name.
  public func message(model place: Int, output json: [UInt8]) throws(ProtobufError) -> [UInt8] {
    let members: [(name: String, value: Range<Int>)]
    do throws(JSONError) { members = try JSONMembers.slice(json) } catch {
      throw ProtobufError(path: "output", "\(error)")
    }
    var writer = ProtobufWriter()
    for field in models[place].outputs {
      guard let member = members.first(where: { $0.name == field.name }) else { continue }
      let text = Array(json[member.value])
      if let element = field.datatype.element {
        writer.bytes(field.number, try TensorMessage.encoded(element, text))
      } else {
        let found = try? field.tensor(text, models[place].name)
        let texts = InferenceTensor.texts(found?.data ?? []) ?? []
        writer.message(field.number) { out in
          out.packed(1, (found?.shape ?? []).map { UInt64($0) })
          for text in texts { out.bytes(2, text) }
        }
      }
    }
    return writer.bytes
  }

  /// Nested lists of strings.
  private static func texts(_ reader: inout ProtobufReader) throws(ProtobufError) -> [UInt8] {
    var shape: [UInt64] = []
    var texts: [[UInt8]] = []
    while let field = try reader.next() {
      switch field.number {
      case 1: try reader.varints(field, to: &shape)
      case 2: texts.append(Array(try reader.string(field).utf8))
      default: try reader.skip(field)
      }
    }
    let lengths = shape.isEmpty ? [texts.count] : shape.map { Int(clamping: $0) }
    var count = 1
    for length in lengths {
      let (next, overflow) = count.multipliedReportingOverflow(by: length)
      guard !overflow, next <= texts.count || length == 0 else {
        throw ProtobufError(
          "the shape \(InferenceTensor.text(lengths)) needs more than \(texts.count) values")
      }
      count = next
    }
    guard count == texts.count else {
      throw ProtobufError(
        "the shape \(InferenceTensor.text(lengths)) needs \(count) values, \(texts.count) were sent")
    }
    var writer = JSONWriter()
    do throws(InferenceError) {
      try InferenceTensor(name: "", datatype: .bytes, shape: lengths, data: InferenceTensor.data(texts))
        .write(
          &writer)
    } catch { throw ProtobufError("\(error)") }
    return writer.bytes
  }
}

extension ModelNodeContract.Field {
  /// The message that carries it.
  var message: String { datatype.element?.message ?? "TextTensor" }
  var itemType: ProtoFile.FieldType { datatype.element?.field ?? .string }
}
