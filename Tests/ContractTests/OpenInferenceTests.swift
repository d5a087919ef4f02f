import Domain
import Testing
import Wire

@testable import Contract

@Suite struct OpenInferenceTests {
  private let contract = NodeContract(
    nodeID: "n", nodeName: "m", release: 2,
    inputs: [
      Variable(name: "x", type: .ndarray, dtype: "int16", shape: [1, 2]),
      Variable(name: "words", type: .list, dtype: "str"),
    ],
    outputs: [Variable(name: "y", type: .ndarray, dtype: "float16", shape: [1, 2])])

  private func words(_ shape: String = "[2]", _ data: String = #"["a","b"]"#) -> String {
    #"{"name":"words","datatype":"BYTES","shape":\#(shape),"data":\#(data)}"#
  }

  private func input(_ inputs: String...) throws -> String {
    let body = #"{"inputs":[\#(inputs.joined(separator: ","))]}"#
    let call = try InferenceCall(body: Array(body.utf8), headCount: nil)
    return String(decoding: try contract.inputJSON(call), as: UTF8.self)
  }

  @Test func `tensors become what the worker takes`() throws {
    let x = #"{"name":"x","datatype":"INT16","shape":[2,2],"data":[[1,-1],[256,0]]}"#
    #expect(
      try input(words(), x)
        == #"{"words":["a","b"],"x":{"dtype":"<i2","shape":[2,2],"data":"AQD//wABAAA="}}"#)
  }

  @Test func `items out of range and wrong counts are refused with the tensor's name`() {
    for (x, message) in [
      (#"{"name":"x","datatype":"INT16","shape":[1,2],"data":[1,32768]}"#, "data is not an array of INT16"),
      (#"{"name":"x","datatype":"INT16","shape":[1,2],"data":[1]}"#, "needs 2 items, got 1"),
      (#"{"name":"x","datatype":"INT16","shape":[2],"data":[1,2]}"#, "Expected [-1,2], got [2]"),
      (#"{"name":"x","datatype":"INT16","shape":[9223372036854775807,2],"data":[1]}"#, "too large"),
    ] {
      let error = #expect(throws: InferenceError.self) { try input(words(), x) }
      #expect(error?.description.contains(message) == true, "\(error?.description ?? "")")
      #expect(error?.description.contains("'x'") == true)
    }
  }

  @Test func `answers are flat in JSON and low bytes first in binary`() throws {
    let cell = Array(#"{"y":[[1,null],[0.5,2]]}"#.utf8)
    var call = try InferenceCall(body: Array(#"{"id":"7","inputs":[]}"#.utf8), headCount: nil)
    let json = try contract.inferenceBody(call, cell)
    #expect(json.headCount == nil)
    #expect(
      String(decoding: json.bytes, as: UTF8.self)
        == #"{"model_name":"m","model_version":"1","id":"7","outputs":[{"name":"y","datatype":"FP16","shape":[2,2],"data":[1,null,0.5,2]}]}"#
    )
    call.binaryOutputs = true
    let binary = try contract.inferenceBody(call, cell)
    #expect(Array(binary.bytes.suffix(8)) == [0x00, 0x3c, 0x00, 0x7e, 0x00, 0x38, 0x00, 0x40])
    #expect(binary.headCount == binary.bytes.count - 8)
  }

  @Test(arguments: [
    ("1", "[1]"), ("[]", "[]"), ("[[],[]]", "[]"), ("[[[1, 2]],[[3,4]]]", "[1,2,3,4]"),
    (#"["a,[b"]"#, #"["a,[b"]"#),
  ])
  func `nested arrays are flattened`(nested: String, flat: String) {
    #expect(String(decoding: NodeContract.flat(Array(nested.utf8)), as: UTF8.self) == flat)
  }

  @Test func `broken binary requests are refused`() {
    for (body, count) in [("", 0), ("{}", 3), (#"{"inputs":[{}]} "#, 2), ("[]", 2)] {
      #expect(throws: InferenceError.self) { try InferenceCall(body: Array(body.utf8), headCount: count) }
    }
  }
}
