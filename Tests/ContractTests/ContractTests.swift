import Domain
import Testing
import Wire

@testable import Contract

@Suite struct ContractTests {
  @Test func `every text compiles to the descriptor that is served`() throws {
    let bench = try Workbench()
    for file in ProtoFile.served + [everything().proto] {
      try bench.write("protos/\(file.path)", file.text.utf8)
      try bench.write("descriptors/\(file.path).bin", file.descriptor)
    }
    try bench.check("protos")
  }

  @Test func `the committed texts of the served services are those that are served`() throws {
    let bench = try Workbench()
    for file in ProtoFile.served where !ProtoFile.foreign.contains(file) {
      if Workbench.writesCommitted { try bench.writeRepository("api/proto/\(file.path)", file.text.utf8) }
      let committed = String(decoding: try bench.readRepository("api/proto/\(file.path)"), as: UTF8.self)
      #expect(committed == file.text, "make it again with: scripts/make-protos")
    }
  }

  @Test func `a message of generated Python classes becomes the inputs of the cell`() throws {
    let bench = try Workbench()
    let contract = everything()
    try writeProtos(contract, bench)
    try bench.check("input")
    let json = try contract.inputJSON(try bench.read("input.bin"))
    let text = String(decoding: json, as: UTF8.self)
    let value = try JSONValue(parsing: json)
    #expect(value["count"] == 9_007_199_254_740_993, "\(text)")
    #expect(value["ratio"] == 0.5 && value["text"] == "é" && value["flag"] == false && value["raw"] == "AP8=")
    #expect(value["options"] == ["a": [1, 2.5, nil], "b": ["c": true]])
    #expect(value["items"] == [1, "two"] && value["größe"] == "any")
    #expect(value["when"] == "2026-11-21T10:00:00.123456Z")
    #expect(
      value["matrix"] == ["dtype": "<f4", "shape": [2, 2], "data": "AACAPwAAAEAAAEBAAADAfw=="], "\(text)")
    #expect(value["pixels"] == ["dtype": "|u1", "shape": [2], "data": "AP8="])
    #expect(value["table"]?.arrayValue?.first?["price"] == 1.5)
    try contract.check(input: value)
  }

  @Test func `the answer of the cell is read by generated Python classes`() throws {
    let bench = try Workbench()
    let contract = everything()
    try writeProtos(contract, bench)
    let answer = #"""
      {"options":{"a":1},"items":[1,null,"x"],"count":-9223372036854775808,"ratio":null,"text":"ж","flag":true,
      "raw":"AP8=","when":"2026-11-21T10:00:00.5+03:00","matrix":[[1,2.5],[3,null]],"größe":[],
      "pixels":[[1],[2],[3]],"table":{"columns":["price","name"],"index":[0,1],"data":[[1.5,"x"],[null,"y"]]},
      "_hidden":["2026-01-01"],"a_b":"","aB":"","message":0}
      """#
    try bench.write("output.bin", try contract.outputMessage(Array(answer.utf8)))
    try bench.check("output")
  }

  @Test func `an example has the checkpoint's values that fit and for the rest values of the types`() throws {
    let contract = everything()
    let given = Array(#"{"count":7,"ratio":1.50,"text":5,"options":{"a":[1]},"unused":1}"#.utf8)
    let example = contract.exampleInput(from: given)
    let value = try JSONValue(parsing: example)
    try contract.check(input: value)
    #expect(value["count"] == 7 && value["options"] == ["a": [1]] && value["text"] == "text")
    #expect(value["matrix"] == [[0.5, 0.5], [0.5, 0.5]] && value["pixels"] == [[0], [0], [0]])
    #expect(value["table"] == [["price": 1.5, "name": "text"]] && value["unused"] == nil)
    #expect(String(decoding: example, as: UTF8.self).contains("\"ratio\":1.50"))
    try contract.check(input: try JSONValue(parsing: contract.exampleInput(from: nil)))
  }

  @Test func `an example is bounded whatever the checkpoint says`() throws {
    let long = "\"" + String(repeating: "x", count: 50_000) + "\""
    let contract = NodeContract(
      nodeID: "nod1", nodeName: "n", release: 1,
      inputs: [
        Variable(name: "a", type: .str), Variable(name: "b", type: .str),
        Variable(name: "c", type: .ndarray, dtype: "float64", shape: [1_000_000, 1_000_000, 1_000_000]),
        Variable(name: "d", type: .ndarray, dtype: "int64", shape: [1_000_000, 4]),
      ], outputs: [])
    let example = contract.exampleInput(from: Array("{\"a\":\(long),\"b\":\(long)}".utf8))
    #expect(example.count <= NodeContract.exampleLimit + 8192)
    let value = try JSONValue(parsing: example)
    #expect(value["a"]?.stringValue?.count == 50_000 && value["b"] == "text" && value["c"] == [])
    #expect(value["d"]?.arrayValue?.count == 512)
  }

  @Test func `the OpenAPI document is valid and its schemas say what the node takes`() throws {
    let bench = try Workbench()
    let contract = everything()
    try bench.write("openapi.json", contract.openAPI(server: "https://localhost:8800", folder: "fld1").bytes)
    let good: JSONValue = [
      "options": [:], "items": [], "count": 1, "ratio": 1, "text": "", "flag": true, "raw": "",
      "when": "2026-01-01",
      "matrix": ["dtype": "<f4", "shape": [0], "data": ""], "größe": nil, "pixels": [1],
      "table": [["price": 1]],
    ]
    var bad: [JSONValue] = [[:], []]
    for (name, value) in [
      ("options", []), ("items", [:]), ("count", 1.5), ("ratio", "1"), ("text", 1), ("flag", 0),
      ("matrix", 1),
      ("table", [["price": "x"]]),
    ] as [(String, JSONValue)] {
      guard case .object(let object) = good else { continue }
      bad.append(.object(JSONObject(object.members.map { $0.key == name ? (name, value) : $0 })))
    }
    try bench.write("Input.good.json", JSONValue.array([good]).bytes)
    try bench.write("Input.bad.json", JSONValue.array(bad).bytes)
    let output: JSONValue = [
      "options": [:], "items": [], "count": 1, "ratio": nil, "text": "", "flag": true, "raw": "", "when": nil,
      "matrix": [[1, nil]], "größe": nil, "pixels": [[1]], "table": ["columns": [], "index": [], "data": []],
      "_hidden": [], "a_b": "", "aB": "", "message": 1,
    ]
    try bench.write("Output.good.json", JSONValue.array([output]).bytes)
    try bench.write("Output.bad.json", JSONValue.array([[:]]).bytes)
    try bench.check("openapi")
  }

  @Test func `a value that its field can't hold is refused with the variable's name`() throws {
    let contract = NodeContract(
      nodeID: "n", nodeName: "n", release: 1, inputs: [],
      outputs: [
        Variable(name: "n", type: .int), Variable(name: "a", type: .ndarray),
        Variable(name: "d", type: .dict),
        Variable(name: "t", type: .datetime),
      ])
    for (json, path) in [
      (#"{"n":1e30,"a":[],"d":{},"t":null}"#, "output.n"), (#"{"n":1,"a":{},"d":{},"t":null}"#, "output.a"),
      (#"{"n":1,"a":[],"d":{"x":1e999},"t":null}"#, "output.d"), (#"{"n":1,"a":[],"d":{}}"#, "output.t"),
      (#"{"n":1,"a":[],"d":{},"t":"soon"}"#, "output.t"), ("[]", "output"),
    ] {
      let error = #expect(throws: ProtobufError.self) { try contract.outputMessage(Array(json.utf8)) }
      #expect(error?.path == path, "\(json): \(error.map(String.init(describing:)) ?? "")")
    }
  }

  @Test func `a shape that its values don't fill is refused`() throws {
    let contract = everything()
    guard let matrix = contract.inputs.first(where: { $0.name == "matrix" }) else { return }
    var message = ProtobufWriter()
    message.message(matrix.number) {
      $0.packed(1, [2, 2])
      $0.packed(2, bits: [Float(1).bitPattern])
    }
    #expect(throws: ProtobufError(path: "input.matrix", "the shape (2, 2) needs 4 values, 1 were sent")) {
      try contract.inputJSON(message.bytes)
    }
  }

  @Test func `times of every form that Python writes are read`() throws {
    for (text, expected) in [
      ("2026-11-21", "2026-11-21T00:00:00.000000Z"), ("2026-11-21 10:00", "2026-11-21T10:00:00.000000Z"),
      ("2026-11-21T10:00:00.000000001", "2026-11-21T10:00:00.000000Z"),
      ("2026-11-21T10:00:00.1234567891", "2026-11-21T10:00:00.123456Z"),
      ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
      ("1969-12-31T23:59:59.5-01:00", "1970-01-01T00:59:59.500000Z"),
    ] {
      let message = try TimeText.message(text)
      let back = try ProtobufReader.reading(message) { (reader) throws(ProtobufError) in
        try TimeText.text(&reader)
      }
      #expect(back == expected)
    }
    for text in ["", "now", "2026-13-01", "2026-11-21T25:00", "2026-11-21T10:00:00+0300", "2026-11-21X"] {
      #expect(throws: ProtobufError.self, "\(text)") { try TimeText.message(text) }
    }
  }

  @Test func `numbers of 16 bits are rounded as IEEE 754 says`() {
    for (value, bits) in [
      (0, 0), (-0.0, 0x8000), (1, 0x3c00), (65504, 0x7bff), (65519, 0x7bff), (65520, 0x7c00), (1e9, 0x7c00),
      (5.9604645e-8, 1), (6.1e-5, 0x03ff), (6.1035156e-5, 0x0400), (0.1, 0x2e66), (2049, 0x6800),
      (2051, 0x6802),
    ] as [(Float, UInt16)] {
      #expect(Half.bits(value) == bits, "\(value)")
    }
    #expect(Half.bits(.nan) & 0x7fff > 0x7c00)
  }

  @Test func `nodes of numbers are models of the Open Inference Protocol and others say why not`() throws {
    let contract = everything()
    #expect(throws: OpenInferenceMisfit(variable: "options", declared: "dict")) {
      try contract.openInference.get()
    }
    var plain = contract
    plain.inputs = contract.inputs.filter { ["count", "matrix", "text"].contains($0.name) }
    plain.outputs = contract.outputs.filter { $0.name == "pixels" }
    let model = try plain.openInference.get()
    #expect(model["name"] == "my-node" && model["versions"] == ["1"])
    #expect(model["inputs"]?.arrayValue?.last == ["name": "matrix", "datatype": "FP32", "shape": [-1, 2]])
    #expect(model["outputs"] == [["name": "pixels", "datatype": "UINT8", "shape": [-1, 1]]])
  }

  @Test func `inputs are checked by name and kind`() {
    let contract = NodeContract(
      nodeID: "n", nodeName: "n", release: 1, inputs: [Variable(name: "x", type: .int)],
      outputs: [Variable(name: "y", type: .int)])
    for (input, message) in [
      ([:], "input.x: missing; this node takes x (int)"),
      (["x": "1"], "input.x: expected an integer, it is a JSON string"),
      (["x": 1, "z": 2], "input.z: unknown variable; this node takes x (int)"),
      ([], "input: must be an object of variables, it is a JSON array"),
    ] as [(JSONValue, String)] {
      let error = #expect(throws: PlatformError.self) { try contract.check(input: input) }
      #expect(error?.message == message)
    }
  }

  @Test func `names that protobuf does not take are replaced and stay names in JSON`() {
    #expect(ProtoNames.packagePart("My-node.1") == "my_node_1" && ProtoNames.packagePart("1st") == "n1st")
    #expect(ProtoNames.fields(["ok", "größe", "_x", "a_b", "aB"]) == ["ok", "v2", "v3", "a_b", "v5"])
  }

  private func writeProtos(_ contract: NodeContract, _ bench: Workbench) throws {
    for file in [ProtoFile.structure, .timestamp, contract.proto] {
      try bench.write("protos/\(file.path)", file.text.utf8)
    }
  }
}
