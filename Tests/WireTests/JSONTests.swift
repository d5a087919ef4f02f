import Testing
import Wire

@Suite struct JSONTests {
  static let good = [
    "null", " true ", "[]", "{}", "-0", "1.5e3", "[1,[2,{\"a\":[]}]]", "\"\\u00e9\\ud83d\\ude00\"", "\"é😀\"",
    "{\"a\":1,\"b\":{\"a\":2}}", "123456789012345678901234567890",
  ]
  static let bad = [
    "", " ", "nul", "[1,]", "{\"a\":1,}", "{a:1}", "01", "+1", "1.", ".5", "1e", "NaN", "Infinity", "-", "\"",
    "\"\u{1}\"", "\"\\x\"", "\"\\ud800\"", "\"\\udc00\"", "\"\\ud800\\u0041\"", "[1 2]", "{\"a\" 1}", "1 2",
    "[", "{",
    "{\"a\":1,\"a\":2}", "{\"a\":1,\"\\u0061\":2}", "'a'", "[1]]", "\u{feff}1", "1e999",
  ]

  @Test(arguments: good) func `good texts are parsed and written back to an equal value`(text: String) throws
  {
    let value = try JSONValue(parsing: text)
    #expect(try JSONValue(parsing: value.bytes) == value)
  }

  @Test(arguments: bad) func `bad texts are refused with an offset inside the text`(text: String) {
    let error = #expect(throws: JSONError.self) { try JSONValue(parsing: text) }
    #expect((0...text.utf8.count).contains(error?.offset ?? -1))
  }

  @Test(
    arguments: [
      [0xc0, 0xaf], [0xe0, 0x80, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xff], [0x80], [0xc3],
    ] as [[UInt8]])
  func `bytes that are not UTF-8 are refused`(bytes: [UInt8]) {
    #expect(throws: JSONError.self) { try JSONValue(parsing: [0x22] + bytes + [0x22]) }
  }

  @Test func `64 levels are accepted and 65 are not`() throws {
    func nested(_ levels: Int) -> String {
      String(repeating: "[", count: levels) + String(repeating: "]", count: levels)
    }
    _ = try JSONValue(parsing: nested(64))
    #expect(throws: JSONError(offset: 64, reason: "nested deeper than 64 levels")) {
      try JSONValue(parsing: nested(65))
    }
  }

  @Test func `strings are written with the escapes that they need`() {
    var writer = JSONWriter()
    writer.beginObject()
    writer.member("a\"b", "x\n\u{1}\\é")
    writer.member("n", 3)
    writer.key("d")
    writer.double(2)
    writer.endObject()
    #expect(
      String(decoding: writer.bytes, as: UTF8.self) == #"{"a\"b":"x\n\u0001\\é","n":3,"d":2.0}"#)
  }

  @Test func `the slicer finds the folder and the input in any order and spelling`() throws {
    let text = #" { "node_id" : "n", "\u0069nput" : {"a": [1, "}"]} , "folderId":"fld" } "#
    let slice = try JSONSlicer.slice(Array(text.utf8))
    let bytes = Array(text.utf8)
    #expect(slice.folderID.map { String(decoding: bytes[$0], as: UTF8.self) } == "fld")
    #expect(slice.input.map { String(decoding: bytes[$0], as: UTF8.self) } == #"{"a": [1, "}"]}"#)
  }

  @Test(arguments: [
    (#"{"input":{},"input":{}}"#, "byte 12: the field input is given twice"),
    (#"{"folder_id":"a","folderId":"b"}"#, "byte 17: the field folder_id is given twice"),
    (#"{"input":[]}"#, "byte 9: expected an object of variables as input, found '['"),
    (#"{"node_id":5}"#, "byte 11: expected a string as node_id, found '5'"),
    (#"{"input":{}} x"#, "byte 13: unexpected 'x' after the end of the value"),
    (#"{"input":{"a":1,"\u0061":2}}"#, "byte 16: input.a: the variable is given twice"),
    (#"{"inputs":{}}"#, "byte 1: unknown field 'inputs'; the known ones are folder_id, node_id, input"),
  ])
  func `the slicer says what is wrong and where`(text: String, message: String) {
    let error = #expect(throws: JSONError.self) { try JSONSlicer.slice(Array(text.utf8)) }
    #expect(error?.description == message)
  }

  @Test(arguments: [
    (#"{}"#, true), (#"{"a":{"left":1,"right":-10},"b":[{"x":0.5},{"x":""}]}"#, true),
    (#"{"a":123456789012345678}"#, true), (#"{"a":1234567890123456789}"#, false),
    (#"{"a":-0}"#, false), (#"{"a":-0.5}"#, false), (#"{"a":1e5}"#, false), (#"{"a":[[1E400]]}"#, false),
    (#"{"a":{"k":1,"k":2}}"#, false), (#"{"a":{"":1,"":2}}"#, false), (#"{"a":{"\u006b":1,"k":2}}"#, false),
    (#"{"\u0061":1}"#, false), (#"{"a":{"k":{"k":1},"l":[{"k":2}]}}"#, true),
    (#"{"a":{"1":0,"2":0,"3":0,"4":0,"5":0,"6":0,"7":0,"8":0}}"#, true),
    (#"{"a":{"1":0,"2":0,"3":0,"4":0,"5":0,"6":0,"7":0,"8":0,"9":0}}"#, false),
    (#"{"a":{"measured_value_1":0,"measured_value_2":0}}"#, true),
  ])
  func `plain inputs are those that every parser reads alike`(input: String, plain: Bool) throws {
    #expect(try JSONSlicer.slice(Array(#"{"folder_id":"a-0","input":\#(input)}"#.utf8)).isPlain == plain)
  }

  @Test func `many variables are compared with each other`() {
    let members = (0..<20).map { "\"v\($0)\":\($0)" } + ["\"v15\":0"]
    let text = "{\"input\":{" + members.joined(separator: ",") + "}}"
    let error = #expect(throws: JSONError.self) { try JSONSlicer.slice(Array(text.utf8)) }
    #expect(error?.reason == "input.v15: the variable is given twice")
  }
}

@Suite struct JSONDecoderTests {
  enum Kind: String, Decodable, CaseIterable { case dict, list }
  struct Item: Decodable, Equatable {
    var type: Kind
    var size: Int8?
  }
  struct Spec: Decodable, Equatable {
    var inputs: [Item]
    var labels: [String: String]?
    var extra: JSONValue?
  }
  struct Body: Decodable, Equatable { var spec: Spec }

  @Test func `a body that fits is decoded`() throws {
    let text =
      #"{"spec": {"inputs": [{"type": "list", "size": 3}], "labels": {"a": "b"}, "extra": {"x": [1]}}}"#
    let body = try JSONDecoderStrict.decode(Body.self, from: Array(text.utf8))
    #expect(body.spec.inputs == [Item(type: .list, size: 3)])
    #expect(body.spec.extra == ["x": [1]])
  }

  @Test(arguments: [
    (
      #"{"spec": {"inputs": [{"type": "dct"}]}}"#,
      "spec.inputs[0].type: unknown type 'dct'; use one of dict, list"
    ),
    (
      #"{"spec": {"inputs": [{"type": "dict", "sise": 1}]}}"#,
      "spec.inputs[0].sise: unknown field; the known ones are size, type"
    ),
    (#"{"spec": {}}"#, "spec.inputs: missing; it is required"),
    (#"{"spec": {"inputs": {}}}"#, "spec.inputs: must be an array, it is an object"),
    (
      #"{"spec": {"inputs": [{"type": "dict", "size": 300}]}}"#,
      "spec.inputs[0].size: 300 is out of range; use -128 to 127"
    ),
    (
      #"{"spec": {"inputs": [{"type": 1}]}}"#,
      "spec.inputs[0].type: must be a string, one of dict, list; it is an integer"
    ),
    (#"[]"#, "the body: must be an object, it is an array"),
    (
      #"{"spec": {"inputs": [], "inputs": []}}"#,
      "the body is not valid JSON: byte 24: the key 'inputs' is given twice"
    ),
  ])
  func `a body that does not fit names the field and the fix`(text: String, message: String) {
    let error = #expect(throws: JSONFieldError.self) {
      try JSONDecoderStrict.decode(Body.self, from: Array(text.utf8))
    }
    #expect(error?.description == message)
  }
}
