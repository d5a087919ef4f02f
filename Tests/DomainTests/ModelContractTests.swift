import Domain
import Planning
import Testing

@Suite struct ModelContractTests {
  private func model(_ name: String, _ inputs: [ModelTensor], _ outputs: [ModelTensor]) -> PlacedModel {
    PlacedModel(
      id: .random(), name: name, digest: "sha256:0",
      facts: ModelFacts(kind: "onnx", sizeBytes: 1, inputs: inputs, outputs: outputs))
  }

  private func tensor(_ text: String, _ datatype: String, _ shape: Int...) -> ModelTensor {
    ModelTensor(name: text, datatype: datatype, shape: shape)
  }

  private func kinds(
    inputs: ([ModelTensor], [ModelTensor]) = ([], []), outputs: ([ModelTensor], [ModelTensor]) = ([], [])
  ) -> [ContractChange.Kind] {
    ContractChange.breaking(
      from: [model("m", inputs.0, outputs.0)], to: [model("m", inputs.1, outputs.1)]
    ).map(\.kind)
  }

  /// A tensor before, the tensor now, and what breaks where it is sent; the same pair the other way round where it comes back.
  static let rules: [(ModelTensor, ModelTensor, Bool)] = [
    (
      .init(name: "x", datatype: "FP32", shape: [-1, 4]), .init(name: "x", datatype: "FP32", shape: [-1, 4]),
      false
    ),
    (
      .init(name: "x", datatype: "FP32", shape: [-1, 4]),
      .init(name: "x", datatype: "FP32", shape: [-1, -1]), false
    ),
    (
      .init(name: "x", datatype: "FP32", shape: [-1, -1]),
      .init(name: "x", datatype: "FP32", shape: [-1, 4]), true
    ),
    (
      .init(name: "x", datatype: "FP32", shape: [-1, 4]), .init(name: "x", datatype: "FP32", shape: [-1, 5]),
      true
    ),
    (
      .init(name: "x", datatype: "FP32", shape: [-1, 4]),
      .init(name: "x", datatype: "FP32", shape: [-1, 4, 1]), true
    ),
    (
      .init(name: "x", datatype: "FP32", shape: [1, 4]), .init(name: "x", datatype: "FP32", shape: [-1, 4]),
      false
    ),
    (
      .init(name: "x", datatype: "FP32", shape: [-1, 4]), .init(name: "x", datatype: "FP64", shape: [-1, 4]),
      true
    ),
    (
      .init(name: "x", datatype: "INT32", shape: [-1, 4]),
      .init(name: "x", datatype: "INT64", shape: [-1, 4]), true
    ),
    (
      .init(name: "x", datatype: "BYTES", shape: [-1, 1]),
      .init(name: "x", datatype: "BYTES", shape: [-1, 1]), false
    ),
  ]

  @Test(arguments: rules.indices)
  func `lengths may become any length where they are sent, and fixed where they come back`(_ index: Int) {
    let (old, new, breaks) = Self.rules[index]
    #expect(kinds(inputs: ([old], [new])) == (breaks ? [.narrowedInput] : []))
    #expect(kinds(outputs: ([new], [old])) == (breaks ? [.widenedOutput] : []))
  }

  @Test func `what is new, gone or elsewhere is named`() {
    let (x, y) = (tensor("x", "FP32", -1, 4), tensor("y", "FP32", -1, 1))
    #expect(kinds(inputs: ([x], [x, y])) == [.newInput])
    #expect(kinds(inputs: ([x, y], [x])) == [.removedInput])
    #expect(kinds(inputs: ([x, y], [y, x])) == [.movedField, .movedField])
    #expect(kinds(outputs: ([x], [x, y])) == [])
    #expect(kinds(outputs: ([x, y], [x])) == [.removedOutput])
    let found = ContractChange.breaking(from: [model("m", [x], [])], to: [model("m", [x, y], [])])
    #expect(found.map(\.description) == ["models.m.inputs.y: FP32[-1,1] is needed that callers don't send"])
  }

  @Test func `models are known by their names`() {
    let (a, b) = (model("a", [], []), model("b", [], []))
    #expect(ContractChange.breaking(from: [a], to: [b]).map(\.kind) == [.removedModel])
    #expect(ContractChange.breaking(from: [a, b], to: [b]).map(\.kind) == [.removedModel])
    // Who named no model because there was one must name it now.
    #expect(ContractChange.breaking(from: [a], to: [a, b]).map(\.kind) == [.addedModel])
    #expect(ContractChange.breaking(from: [a, b], to: [b, a, model("c", [], [])]).isEmpty)
  }
}
