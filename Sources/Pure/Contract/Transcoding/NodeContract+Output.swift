internal import Domain
public import Wire

extension NodeContract {
  /// The encoded message `Output` of the JSON object of outputs.
  ///
  /// Throws naming the variable when a value does not fit its field, like a whole number beyond 64 bits.
  public func outputMessage(_ json: [UInt8]) throws(ProtobufError) -> [UInt8] {
    let members: [(name: String, value: Range<Int>)]
    do throws(JSONError) { members = try JSONMembers.slice(json) } catch {
      throw ProtobufError(path: "output", "\(error)")
    }
    var writer = ProtobufWriter()
    for field in outputs {
      guard let member = members.first(where: { $0.name == field.name }) else {
        throw ProtobufError(path: "output.\(field.name)", "missing in the answer of the cell")
      }
      do throws(ProtobufError) {
        try Self.write(field, Array(json[member.value]), &writer)
      } catch { throw error.within("output.\(field.name)") }
    }
    guard writer.bytes.count <= DynamicValue.maximumBytes else {
      throw ProtobufError(
        path: "output", "\(writer.bytes.count) bytes as a message, the limit is \(DynamicValue.maximumBytes)")
    }
    return writer.bytes
  }

  private static func write(
    _ field: Field, _ json: [UInt8], _ writer: inout ProtobufWriter
  ) throws(ProtobufError) {
    let number = field.number
    switch field.type {
    case .object: writer.bytes(number, try DynamicValue.encoded(.object, json: json, path: ""))
    case .list: writer.bytes(number, try DynamicValue.encoded(.list, json: json, path: ""))
    case .any: writer.bytes(number, try DynamicValue.encoded(.value, json: json, path: ""))
    case .table:
      writer.bytes(number, try DynamicValue.encoded(.list, json: try TableText.records(json), path: ""))
    case .tensor(let tensor):
      guard let element = tensor.element else {
        return writer.bytes(number, try DynamicValue.encoded(.list, json: json, path: ""))
      }
      writer.bytes(number, try TensorMessage.encoded(element, json))
    case .text, .integer, .number, .boolean, .bytes, .image, .time:
      try scalar(field, try value(json), &writer)
    }
  }

  private static func value(_ json: [UInt8]) throws(ProtobufError) -> JSONValue {
    do throws(JSONError) { return try JSONValue(parsing: json) } catch { throw ProtobufError("\(error)") }
  }

  private static func scalar(
    _ field: Field, _ value: JSONValue, _ writer: inout ProtobufWriter
  ) throws(ProtobufError) {
    let number = field.number
    switch (field.type, value) {
    case (.text, .string(let text)): writer.nonEmpty(number, text)
    case (.boolean, .bool(let flag)): if flag { writer.bool(number, true) }
    case (.integer, .integer(let integer)): if integer != 0 { writer.integer(number, integer) }
    case (.integer, .double(let double)):
      throw ProtobufError("\(double) does not fit int64; declare it as str, or as any")
    // NaN and infinities have become null on their way here.
    case (.number, .null): writer.double(number, .nan)
    case (.number, _):
      guard let double = value.doubleValue else { throw misfit(field, value) }
      if double != 0 || double.sign == .minus { writer.double(number, double) }
    case (.bytes, .string(let text)), (.image, .string(let text)):
      guard let bytes = Base64.decoded(text.utf8) else { throw ProtobufError("the answer is not base64") }
      if !bytes.isEmpty { writer.bytes(number, bytes) }
    case (.time, .null): return
    case (.time, .string(let text)): writer.bytes(number, try TimeText.message(text))
    default: throw misfit(field, value)
    }
  }

  private static func misfit(_ field: Field, _ value: JSONValue) -> ProtobufError {
    ProtobufError("expected \(field.declared.rawValue), the cell answered with a JSON \(value.kind)")
  }
}

/// Tables: answers hold `{"columns", "index", "data"}`, messages a list of records.
enum TableText {
  static func records(_ json: [UInt8]) throws(ProtobufError) -> [UInt8] {
    let table: JSONValue
    do throws(JSONError) { table = try JSONValue(parsing: json) } catch { throw ProtobufError("\(error)") }
    if case .array = table { return json }
    guard let columns = table["columns"]?.arrayValue, let rows = table["data"]?.arrayValue else {
      throw ProtobufError(
        "expected a table with columns and data, the cell answered with a JSON \(table.kind)")
    }
    let names = columns.map { $0.stringValue ?? String(decoding: $0.bytes, as: UTF8.self) }
    guard Set(names).count == names.count else {
      throw ProtobufError("two columns of the table have the same name; rename one")
    }
    var writer = JSONWriter()
    writer.beginArray()
    for row in rows {
      guard let cells = row.arrayValue, cells.count == names.count else {
        throw ProtobufError("a row of the table has not as many values as there are columns")
      }
      writer.beginObject()
      for (name, cell) in zip(names, cells) {
        writer.key(name)
        writer.value(cell)
      }
      writer.endObject()
    }
    writer.endArray()
    return writer.bytes
  }
}
