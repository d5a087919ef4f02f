internal import Domain
public import Wire

extension NodeContract {
  /// The JSON object of inputs of an encoded message `Input`.
  ///
  /// Fields that were not set are left out, so that the cell's own check names them. Throws naming the variable.
  public func inputJSON(_ message: [UInt8]) throws(ProtobufError) -> [UInt8] {
    try ProtobufReader.reading(message) { (reader) throws(ProtobufError) in
      var values: [Int: [UInt8]] = [:]
      while let key = try reader.next() {
        guard key.number >= 1, key.number <= inputs.count else {
          try reader.skip(key)
          continue
        }
        let field = inputs[key.number - 1]
        do throws(ProtobufError) {
          if values[key.number] != nil, field.type.isMessage {
            throw ProtobufError("the field is given twice")
          }
          values[key.number] = try Self.json(field.type, key, &reader)
        } catch { throw error.within("input.\(field.name)") }
      }
      var writer = JSONWriter()
      writer.beginObject()
      for field in inputs {
        guard let value = values[field.number] else { continue }
        writer.key(field.name)
        writer.raw(value)
      }
      writer.endObject()
      return writer.bytes
    }
  }

  private static func json(
    _ type: ContractType, _ key: ProtobufReader.Field, _ reader: inout ProtobufReader
  ) throws(ProtobufError) -> [UInt8] {
    var writer = JSONWriter()
    switch type {
    case .object: return try dynamic(.object, key, &reader)
    case .list, .table: return try dynamic(.list, key, &reader)
    case .any: return try dynamic(.value, key, &reader)
    case .text: writer.string(try reader.string(key))
    case .integer: writer.integer(Int64(bitPattern: try reader.varint(key)))
    case .boolean: writer.bool(try reader.bool(key))
    case .number:
      let value = try reader.double(key)
      guard value.isFinite else { throw ProtobufError("\(value) is not a JSON number; send a finite one") }
      writer.double(value)
    case .bytes, .image: writer.string(Base64.encoded(try reader.bytes(key)))
    case .time:
      var inner = try reader.message(key)
      writer.string(try TimeText.text(&inner))
    case .tensor(let tensor):
      guard let element = tensor.element else { return try dynamic(.list, key, &reader) }
      var inner = try reader.message(key)
      return try TensorMessage.json(element, &inner)
    }
    return writer.bytes
  }

  private static func dynamic(
    _ shape: DynamicValue.Shape, _ key: ProtobufReader.Field, _ reader: inout ProtobufReader
  ) throws(ProtobufError) -> [UInt8] {
    var out: [UInt8] = []
    try DynamicValue.appendJSON(shape, try reader.message(key), path: "", to: &out)
    return out
  }
}

extension ContractType {
  /// Whether the field is a message, which readers would join when it stands twice.
  var isMessage: Bool {
    switch self {
    case .object, .list, .table, .any, .time, .tensor: true
    case .text, .integer, .number, .boolean, .bytes, .image: false
    }
  }
}
