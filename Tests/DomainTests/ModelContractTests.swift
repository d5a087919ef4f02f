import Domain
import FoundationEssentials
import Planning
import Testing

@Suite struct ModelContractTests {
  private func model(
    _ name: String, _ inputs: [ModelTensor], _ outputs: [ModelTensor], version: Int = 1
  ) -> PlacedModel {
    PlacedModel(
      id: .random(), name: name, digest: "sha256:0",
      facts: ModelFacts(kind: "onnx", sizeBytes: 1, inputs: inputs, outputs: outputs), version: version)
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

  @Test func `a version that is gone breaks who named it, one more breaks nobody`() {
    let (one, two) = (model("a", [], []), model("a", [], [], version: 2))
    #expect(ContractChange.breaking(from: [one], to: [one, two]).isEmpty)
    let gone = ContractChange.breaking(from: [one, two], to: [two])
    #expect(gone.map(\.kind) == [.removedModel])
    #expect(gone.map(\.path) == ["models.a.versions.1"])
    let moved = ContractChange.breaking(from: [one], to: [two])
    #expect(moved.map(\.path) == ["models.a.versions.1"])
    // Two versions are one model: who named none need not name it now.
    #expect(
      ContractChange.breaking(from: [one], to: [two, one, model("b", [], [])]).map(\.kind) == [.addedModel])
  }

  @Test func `what was stored without a version is version 1`() throws {
    let text =
      #"{"id":"\#(ModelID.random())","name":"a","digest":"d","facts":{"kind":"onnx","sizeBytes":1,"inputs":[],"outputs":[]}}"#
    let stored = try JSONDecoder().decode(PlacedModel.self, from: Data(text.utf8))
    #expect(stored.number == 1)
    let anew = PlacedModel(id: stored.id, name: "a", digest: "d", facts: stored.facts, version: 1)
    #expect(anew == stored)
    let other = PlacedModel(id: stored.id, name: "a", digest: "d", facts: stored.facts, version: 7)
    let source = ModelSource(models: [stored, other, model("b", [], []), model("c", [], [], version: 3)])
    #expect(source.titles == ["a:1", "a:7", "b", "c:3"])
    var spec = NodeSpec(
      model: ModelSource(models: [stored]), configuration: "c1.4",
      instances: InstanceRange(min: 1, max: 1, count: 1), acl: [])
    let former = spec
    spec.model?.models.append(other)
    #expect(!former.hasSameContract(as: spec))
  }
}
