public import Domain
public import Wire

extension NodeContract {
  /// Checks a JSON object of inputs against the declaration: names, and the JSON kind of each value.
  ///
  /// The worker checks the same and more when it binds the variables; this is for callers that want to know before.
  /// Throws `invalidArgument` naming the variable and what to send.
  public func check(input: JSONValue) throws(PlatformError) {
    guard case .object(let object) = input else {
      throw .invalid("input", "input: must be an object of variables, it is a JSON \(input.kind)")
    }
    for field in inputs {
      let path = "input.\(field.name)"
      guard let value = object[field.name] else {
        throw .invalid(path, "\(path): missing; this node takes \(takes)")
      }
      guard field.type.accepts(value) else {
        throw .invalid(path, "\(path): expected \(field.type.jsonForm), it is a JSON \(value.kind)")
      }
    }
    for member in object.members where !inputs.contains(where: { $0.name == member.key }) {
      throw .invalid("input.\(member.key)", "input.\(member.key): unknown variable; this node takes \(takes)")
    }
  }

  private var takes: String {
    inputs.isEmpty
      ? "no inputs" : inputs.map { "\($0.name) (\($0.declared.rawValue))" }.joined(separator: ", ")
  }
}

extension ContractType {
  func accepts(_ value: JSONValue) -> Bool {
    switch (self, value) {
    case (.any, _), (.object, .object), (.list, .array), (.text, .string), (.boolean, .bool): true
    case (.integer, .integer), (.number, .integer), (.number, .double): true
    // Whole numbers beyond 64 bits are numbers of Python all the same.
    case (.integer, .double(let number)): number.rounded() == number && number.magnitude >= 9.2e18
    case (.bytes, .string(let text)), (.image, .string(let text)): Base64.decoded(text.utf8) != nil
    case (.time, .string(let text)): (try? TimeText.message(text)) != nil
    case (.tensor, .array), (.table, .array): true
    // An array without dimensions is a bare number.
    case (.tensor(let tensor), .integer), (.tensor(let tensor), .double), (.tensor(let tensor), .bool):
      tensor.shape == []
    case (.tensor, .object(let object)): Set(object.members.map(\.key)) == ["dtype", "shape", "data"]
    case (.table, .object(let object)): object["columns"] != nil && object["data"] != nil
    default: false
    }
  }

  var jsonForm: String {
    switch self {
    case .object: "an object"
    case .list: "an array"
    case .text: "a string"
    case .integer: "an integer"
    case .number: "a number"
    case .boolean: "true or false"
    case .bytes: "a base64 string"
    case .image: "a base64 string of a PNG or JPEG file"
    case .time: "a time of ISO 8601 as a string"
    case .any: "any value"
    case .tensor: "nested arrays of numbers, or {\"dtype\", \"shape\", \"data\": base64}"
    case .table: "an array of records, or {\"columns\", \"index\", \"data\"}"
    }
  }
}
