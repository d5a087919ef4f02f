/// A JSON object of any shape, kept as text.
struct RawObject: Decodable {
  let text: String

  init(from decoder: any Decoder) throws { text = try Self.render(decoder) }

  private struct Key: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }
    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  private static func render(_ decoder: any Decoder) throws -> String {
    if let object = try? decoder.container(keyedBy: Key.self) {
      let members = try object.allKeys.sorted { $0.stringValue < $1.stringValue }.map {
        "\(quote($0.stringValue)):\(try object.decode(RawObject.self, forKey: $0).text)"
      }
      return "{\(members.joined(separator: ","))}"
    }
    if var array = try? decoder.unkeyedContainer() {
      var items: [String] = []
      while !array.isAtEnd { items.append(try array.decode(RawObject.self).text) }
      return "[\(items.joined(separator: ","))]"
    }
    let value = try decoder.singleValueContainer()
    if value.decodeNil() { return "null" }
    if let flag = try? value.decode(Bool.self) { return flag ? "true" : "false" }
    if let number = try? value.decode(Int.self) { return String(number) }
    if let number = try? value.decode(Double.self) { return String(number) }
    return quote(try value.decode(String.self))
  }

  private static func quote(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case _ where scalar.value < 0x20:
        let hex = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
