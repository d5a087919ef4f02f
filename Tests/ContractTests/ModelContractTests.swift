import Domain
import Testing
import Wire

@testable import Contract

@Suite struct ModelNodeContractTests {
  static let words = RoutedModel(
    id: "m1", name: "words",
    inputs: [
      ModelTensor(name: "text", datatype: "BYTES", shape: [-1, 1]),
      ModelTensor(name: "weights", datatype: "FP16", shape: [-1, 2]),
    ],
    outputs: [
      ModelTensor(name: "label", datatype: "BYTES", shape: [-1]),
      ModelTensor(name: "score", datatype: "FP32", shape: [-1, 1]),
    ])

  static func contract(_ models: RoutedModel...) -> ModelNodeContract {
    ModelNodeContract(nodeID: "n1", nodeName: "my-node", release: 3, models: models)
  }

  private func refusal(_ contract: ModelNodeContract, _ json: String) -> String {
    do throws(InferenceError) {
      _ = try contract.call(input: Array(json.utf8))
      return "taken"
    } catch { return error.description }
  }

  @Test func `nested lists become tensors with the bytes of the protocol`() throws {
    let call = try Self.contract(Self.words).call(
      input: Array(#"{"weights":[[1,-2],[0.5,null]],"text":[["é"],[""]]}"#.utf8))
    let head = try JSONValue(parsing: Array(call.body[..<call.headCount]))
    let inputs = try #require(head["inputs"]?.arrayValue)
    #expect(inputs.map { $0["name"]?.stringValue } == ["text", "weights"])
    #expect(inputs[0]["shape"] == [2, 1] && inputs[1]["datatype"] == "FP16")
    #expect(head["parameters"] == ["binary_data_output": true])
    let text: [UInt8] = [2, 0, 0, 0, 0xc3, 0xa9, 0, 0, 0, 0]
    #expect(Array(call.body[call.headCount...]) == text + [0, 0x3c, 0, 0xc0, 0, 0x38, 0, 0x7e])
  }

  @Test func `tensors of an answer become nested lists`() throws {
    let contract = Self.contract(Self.words)
    let call = try contract.call(input: Array(#"{"text":[["a"]],"weights":[[1,2]]}"#.utf8))
    let head = Array(
      #"{"model_name":"words","outputs":[{"name":"score","datatype":"FP32","shape":[2,1],"parameters":{"binary_data_size":8}},{"name":"label","datatype":"BYTES","shape":[2],"parameters":{"binary_data_size":10}}]}"#
        .utf8)
    let score: [UInt8] = [0xcd, 0xcc, 0xcc, 0x3d, 0, 0, 0xc0, 0x7f]
    let label: [UInt8] = [1, 0, 0, 0, 0x61, 1, 0, 0, 0, 0x62]
    let output = try contract.output(call, head + score + label, headCount: head.count)
    #expect(String(decoding: output, as: UTF8.self) == #"{"label":["a","b"],"score":[[0.1],[null]]}"#)
    #expect(throws: InferenceError.self) {
      try contract.output(call, head + score, headCount: head.count)
    }
    let message = try contract.message(model: 0, output: output)
    #expect(!message.isEmpty)
  }

  static let refused: [(String, String)] = [
    (#"{"weights":[[1,2]]}"#, "input 'text': missing"),
    (#"{"text":[["a"]],"weights":[[1,2]],"more":1}"#, "input 'more': unknown"),
    (#"{"text":["a"],"weights":[[1,2]]}"#, "it has the shape [1], model 'words' takes [-1,1]"),
    (#"{"text":[["a"],"b"],"weights":[[1,2]]}"#, "input 'text': must be nested lists of strings"),
    (#"{"text":[[1]],"weights":[[1,2]]}"#, "is no text"),
    (#"{"text":[["a"]],"weights":[["1",2]]}"#, "input 'weights': must be nested lists of FP16"),
    (#"{"text":[["a"]],"weights":{"dtype":"<f4","shape":[1,2],"data":"AAAAAAAAAAA="}}"#, "dtype '<f4'"),
    (#"{"text":[["a"]],"weights":{"dtype":"<f2","shape":[1,2],"data":"AAA="}}"#, "needs 2 items"),
    (#"[]"#, "input: "),
  ]

  @Test(arguments: refused) func `what does not fit is named`(_ json: String, _ told: String) {
    #expect(refusal(Self.contract(Self.words), json).contains(told))
  }

  @Test func `numbers may come packed, and whole numbers written as others`() throws {
    let model = RoutedModel(
      id: "m", name: "m", inputs: [ModelTensor(name: "x", datatype: "INT32", shape: [-1, 2])], outputs: [])
    let contract = Self.contract(model)
    let lists = try contract.call(input: Array(#"{"x":[[1e2,-1.0]]}"#.utf8))
    let packed = try contract.call(
      input: Array(#"{"x":{"dtype":"int32","shape":[1,2],"data":"ZAAAAP////8="}}"#.utf8))
    #expect(lists.body == packed.body)
    #expect(refusal(contract, #"{"x":[[3000000000,1]]}"#).contains("3000000000 is not of INT32"))
    #expect(refusal(contract, #"{"x":[[1.5,1]]}"#).contains("1.5 is not of INT32"))
  }

  @Test func `of several models one is named, by its name or id`() throws {
    let other = RoutedModel(
      id: "m2", name: "other", inputs: [ModelTensor(name: "x", datatype: "FP32", shape: [-1, 1])],
      outputs: [])
    let contract = Self.contract(Self.words, other)
    for name in ["other", "m2"] {
      let call = try contract.call(input: Array("{\"\(name)\":{\"x\":[[1]]}}".utf8))
      #expect(call.model == 1 && call.name == name)
    }
    #expect(
      refusal(contract, #"{"x":[[1]]}"#).contains(
        "'x' is no model of this node; it has the models words, other"))
    #expect(refusal(contract, #"{"other":{"x":[[1]]},"words":{}}"#).contains("one model"))
    #expect(refusal(contract, "{}").contains("name one model"))
    #expect(contract.serviceNames == ["roost.nodes.my_node.Words", "roost.nodes.my_node.Other"])
    #expect(Self.contract(other).serviceNames == ["roost.nodes.my_node.Node"])
  }

  static func version(_ number: Int?, _ id: String) -> RoutedModel {
    RoutedModel(
      id: id, name: "iris", inputs: [ModelTensor(name: "x", datatype: "FP32", shape: [-1, 1])],
      outputs: [ModelTensor(name: "y", datatype: "FP32", shape: [-1, 1])], version: number)
  }

  @Test func `a request names a version, or gets the highest`() throws {
    let contract = Self.contract(Self.version(10, "m10"), Self.version(nil, "m1"))
    for (text, version) in [
      (#"{"x":[[1]]}"#, nil), (#"{"iris":{"x":[[1]]}}"#, nil), (#"{"iris:1":{"x":[[1]]}}"#, 1),
      (#"{"iris:10":{"x":[[1]]}}"#, 10), (#"{"m1":{"x":[[1]]}}"#, 1), (#"{"m10":{"x":[[1]]}}"#, 10),
    ] as [(String, Int?)] {
      let call = try contract.call(input: Array(text.utf8))
      #expect(call.model == 0 && call.version == version, "\(text)")
    }
    for number in ["2", "01", "", "1 ", "x"] {
      #expect(
        refusal(contract, "{\"iris:\(number)\":{\"x\":[[1]]}}").contains(
          "model 'iris' has no version '\(number)'; it is called as iris, iris:1, iris:10"))
    }
    #expect(contract.serviceNames == ["roost.nodes.my_node.Node"])
    #expect(
      contract.proto.text.contains("version 10, the highest of 1, 10. The metadata model-version names"))
    for number in [1, 10] { #expect(try contract.version(String(number), of: 0) == number) }
    for text in ["2", "01", "", "+1", "iris:1"] {
      let error = #expect(throws: InferenceError.self) { try contract.version(text, of: 0) }
      let words = "model-version: model 'iris' has no version '\(text)'; it has 1, 10, and 10 answers"
      #expect(error.map { "\($0)".contains(words) } == true, "\(text)")
    }
    let document = contract.openAPI(server: "http://x")
    #expect(
      document["info"]?["description"]?.stringValue?.contains("iris (versions 1, 10; 10 answers") == true)
    let either = document["components"]?["schemas"]?["Input"]?["anyOf"]?.arrayValue
    let names = either?.last?["properties"]?.objectValue?.members.map(\.key)
    #expect(names == ["iris", "iris:1", "iris:10"])
  }

  @Test func `versions beside other models have one service for all`() throws {
    let contract = Self.contract(Self.words, Self.version(1, "m1"), Self.version(2, "m2"))
    #expect(contract.serviceNames == ["roost.nodes.my_node.Words", "roost.nodes.my_node.Iris"])
    let call = try contract.call(input: Array(#"{"iris:1":{"x":[[1]]}}"#.utf8))
    #expect(call.model == 1 && call.version == 1 && call.name == "iris:1")
    #expect(
      refusal(contract, #"{"x":[[1]]}"#).contains("it has the models words, iris, iris:1, iris:2"))
    // A model with version 1 alone is shown as it always was.
    let plain = Self.contract(Self.version(nil, "m1")).openAPI(server: "http://x")
    #expect(plain["components"]?["schemas"]?["Input"]?["anyOf"] == nil)
  }

  @Test func `every text of a model node compiles to the descriptor that is served`() throws {
    let bench = try Workbench()
    let odd = RoutedModel(
      id: "m3", name: "9-odd.name",
      inputs: [ModelTensor(name: "serving:0/a b", datatype: "UINT8", shape: [-1, 3])],
      outputs: [ModelTensor(name: "out", datatype: "BOOL", shape: [2])])
    let other = ModelNodeContract(nodeID: "n2", nodeName: "pair", release: 1, models: [Self.words, odd])
    for file in ProtoFile.served + [Self.contract(Self.words).proto, other.proto] {
      try bench.write("protos/\(file.path)", file.text.utf8)
      try bench.write("descriptors/\(file.path).bin", file.descriptor)
    }
    try bench.check("protos")
  }
}
