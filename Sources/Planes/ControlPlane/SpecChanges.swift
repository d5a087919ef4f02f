import Domain

/// Any JSON, to walk over the members of specs without naming them.
enum JSONValue: Codable, Equatable {
  case null
  case bool(Bool)
  case number(Double)
  case text(String)
  case list([JSONValue])
  case object([String: JSONValue])

  init(from decoder: any Decoder) throws {
    let value = try decoder.singleValueContainer()
    if value.decodeNil() {
      self = .null
    } else if let bool = try? value.decode(Bool.self) {
      self = .bool(bool)
    } else if let number = try? value.decode(Double.self) {
      self = .number(number)
    } else if let text = try? value.decode(String.self) {
      self = .text(text)
    } else if let list = try? value.decode([JSONValue].self) {
      self = .list(list)
    } else {
      self = .object(try value.decode([String: JSONValue].self))
    }
  }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    switch self {
    case .null: try container.encodeNil()
    case .bool(let value): try container.encode(value)
    case .number(let value):
      if let whole = Int64(exactly: value) {
        try container.encode(whole)
      } else {
        try container.encode(value)
      }
    case .text(let value): try container.encode(value)
    case .list(let value): try container.encode(value)
    case .object(let value): try container.encode(value)
    }
  }
}

/// What differs between two specs, member by member.
enum SpecChanges {
  static func between<Spec: Codable>(
    _ before: Spec, _ after: Spec
  ) throws(PlatformError) -> [FieldChange] {
    var old: [String: String] = [:]
    var new: [String: String] = [:]
    flatten(try StoredJSON.value(JSONValue.self, from: try StoredJSON.text(before)), "", &old)
    flatten(try StoredJSON.value(JSONValue.self, from: try StoredJSON.text(after)), "", &new)
    let fields = Set(old.keys).union(new.keys).filter { old[$0] != new[$0] }
    return fields.sorted().map { FieldChange(field: $0, before: old[$0], after: new[$0]) }
  }

  private static func flatten(_ value: JSONValue, _ path: String, _ fields: inout [String: String]) {
    switch value {
    case .object(let members):
      for (name, member) in members { flatten(member, path.isEmpty ? name : "\(path).\(name)", &fields) }
    case .list(let items) where items.contains { if case .object = $0 { true } else { false } }:
      for (index, item) in items.enumerated() { flatten(item, "\(path)[\(index)]", &fields) }
    case .list(let items): fields[path] = "[\(items.map(text).joined(separator: ", "))]"
    default: fields[path] = text(value)
    }
  }

  private static func text(_ value: JSONValue) -> String {
    switch value {
    case .null: "none"
    case .bool(let value): String(value)
    case .number(let value): Int64(exactly: value).map { String($0) } ?? String(value)
    case .text(let value): value
    case .list, .object: (try? StoredJSON.text(value)) ?? ""
    }
  }
}
