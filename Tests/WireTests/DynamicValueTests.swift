import Testing
import Wire

/// What `Golden/make.py` wrote with another implementation.
struct Golden {
  struct Case {
    var shape: DynamicValue.Shape
    var json: JSONValue
    var bytes: [UInt8]
  }
  var cases: [Case] = []
  var bad: [(name: String, bytes: [UInt8])] = []
  var status: [UInt8] = []

  init() throws {
    let root = try JSONValue(parsing: try contents("Tests/WireTests/Golden/dynamic.json"))
    for item in root["cases"]?.arrayValue ?? [] {
      let shape: DynamicValue.Shape =
        switch item["shape"]?.stringValue {
        case "object": .object
        case "list": .list
        default: .value
        }
      cases.append(
        Case(
          shape: shape, json: try JSONValue(parsing: item["json"]?.stringValue ?? ""),
          bytes: hex(item["hex"]?.stringValue ?? "")))
    }
    for member in root["bad"]?.objectValue?.members ?? [] {
      bad.append((member.key, hex(member.value.stringValue ?? "")))
    }
    status = hex(root["status"]?.stringValue ?? "")
  }
}

func hex(_ text: String) -> [UInt8] {
  let digits = Array(text)
  return stride(from: 0, to: digits.count - 1, by: 2).compactMap {
    UInt8(String(digits[$0...($0 + 1)]), radix: 16)
  }
}

@Suite struct DynamicValueTests {
  @Test func `messages of another implementation become the JSON they were made of`() throws {
    let golden = try Golden()
    #expect(golden.cases.count >= 10)
    for item in golden.cases {
      let text = try DynamicValue.json(item.shape, from: item.bytes, path: "input")
      let value = try JSONValue(parsing: text)
      #expect(same(value, item.json), "\(String(decoding: text, as: UTF8.self))")
    }
  }

  @Test func `JSON becomes messages of the same length and meaning as another implementation's`() throws {
    for item in try Golden().cases {
      let bytes = try DynamicValue.encoded(item.shape, json: item.json.bytes, path: "output")
      #expect(bytes.count == item.bytes.count, "\(item.json)")
      let text = try DynamicValue.json(item.shape, from: bytes, path: "output")
      #expect(same(try JSONValue(parsing: text), item.json))
    }
  }

  @Test func `whole numbers to 2^53 are written without a fraction`() throws {
    func text(_ json: String) throws -> String {
      let bytes = try DynamicValue.encoded(.value, json: Array(json.utf8), path: "")
      return String(decoding: try DynamicValue.json(.value, from: bytes, path: ""), as: UTF8.self)
    }
    #expect(try text("6") == "6")
    #expect(try text("6.0") == "6")
    #expect(try text("-9007199254740992") == "-9007199254740992")
    #expect(try text("0.1") == "0.1")
    #expect(try text("1e300") == "1e+300")
    #expect(try text("-0.0") == "-0.0")
  }

  @Test func `numbers without a JSON form are refused with their path`() throws {
    for item in try Golden().bad {
      #expect(
        throws: ProtobufError(
          path: "input.a.b[1]", "\(item.name) is not a JSON number; send null or a string")
      ) { try DynamicValue.json(.object, from: item.bytes, path: "input") }
    }
  }

  @Test func `numbers that no double holds and texts of another shape are refused`() {
    for (shape, json, part) in [
      (.object, "{\"a\":1e999}", "does not fit a double"), (.object, "[]", "expected an object"),
      (.list, "{}", "expected an array"), (.value, "", "the text ends"), (.object, "{} {}", "after the end"),
    ] as [(DynamicValue.Shape, String, String)] {
      let error = #expect(throws: ProtobufError.self) {
        try DynamicValue.encoded(shape, json: Array(json.utf8), path: "output")
      }
      #expect(error?.description.hasPrefix("output: ") == true && error?.description.contains(part) == true)
    }
  }

  @Test func `64 levels pass both ways and 65 do not`() throws {
    func nested(_ levels: Int) -> [UInt8] {
      [UInt8](repeating: 0x5b, count: levels) + [UInt8](repeating: 0x5d, count: levels)
    }
    var bytes = try DynamicValue.encoded(.list, json: nested(64), path: "x")
    #expect(try DynamicValue.json(.list, from: bytes, path: "x") == nested(64))
    #expect(throws: ProtobufError.self) { try DynamicValue.encoded(.list, json: nested(65), path: "x") }
    var value = ProtobufWriter()
    value.bytes(6, bytes)
    var outer = ProtobufWriter()
    outer.bytes(1, value.bytes)
    bytes = outer.bytes
    let error = #expect(throws: ProtobufError.self) { try DynamicValue.json(.list, from: bytes, path: "x") }
    #expect(error?.reason == "nested deeper than 64 levels")
  }

  @Test func `a name that stands twice in the outermost object is refused`() throws {
    var twice = try DynamicValue.encoded(.object, json: Array(#"{"a":1}"#.utf8), path: "")
    twice += twice
    #expect(throws: ProtobufError(path: "input.a", "the name is given twice")) {
      try DynamicValue.json(.object, from: twice, path: "input")
    }
  }

  @Test func `both bounds of size hold`() throws {
    let json = Array("[\(Array(repeating: "0", count: 1000).joined(separator: ","))]".utf8)
    let bytes = try DynamicValue.encoded(.list, json: json, path: "x", maximumBytes: 11_000)
    #expect(bytes.count == 11_000)
    #expect(throws: ProtobufError.self) {
      try DynamicValue.encoded(.list, json: json, path: "x", maximumBytes: 10_999)
    }
    #expect(throws: ProtobufError.self) {
      try DynamicValue.json(.list, from: bytes, path: "x", maximumBytes: 1000)
    }
  }

  @Test func `a status is read and written as others do`() throws {
    let golden = try Golden()
    let status = try RPCStatus(golden.status)
    #expect(status.code == 16 && status.message == "токен")
    #expect(status.details.map(\.typeURL) == ["type.googleapis.com/google.rpc.RequestInfo"])
    #expect(status.bytes == golden.status)
  }

  /// Equal as numbers are: 6 and 6.0 are one.
  private func same(_ left: JSONValue, _ right: JSONValue) -> Bool {
    switch (left, right) {
    case (.array(let left), .array(let right)):
      return left.count == right.count && zip(left, right).allSatisfy { same($0, $1) }
    case (.object(let left), .object(let right)):
      return left.members.count == right.members.count
        && left.members.allSatisfy { member in right[member.key].map { same(member.value, $0) } ?? false }
    default:
      if let left = left.doubleValue, let right = right.doubleValue { return left == right }
      return left == right
    }
  }
}
