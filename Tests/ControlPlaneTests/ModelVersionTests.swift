import Domain
import Testing
import Wire

@testable import ControlPlane

@Suite struct ModelVersionTests {
  private func placed(_ name: String, _ version: Int, length: Int = 2) -> PlacedModel {
    PlacedModel(
      id: .random(), name: name, digest: "sha256:0",
      facts: ModelFacts(
        kind: "onnx", sizeBytes: 1, inputs: [ModelTensor(name: "x", datatype: "FP32", shape: [-1, length])],
        outputs: []), version: version)
  }

  private func refusal(_ placed: [PlacedModel]) -> String? {
    do throws(PlatformError) {
      try NodeSpecBuilder.checkLast(of: placed, "asked")
      return nil
    } catch { return error.message }
  }

  @Test func `a model is asked for by name, by another name, or as a version of it`() throws {
    var asked = try AskedModel("iris-1")
    #expect(asked.name == nil && asked.version == 1 && asked.model == "iris-1")
    asked = try AskedModel("iris=iris-1")
    #expect(asked.name == "iris" && asked.version == 1 && asked.model == "iris-1")
    asked = try AskedModel("iris:20261122=iris-1")
    #expect(asked.name == "iris" && asked.version == 20_261_122 && asked.model == "iris-1")
    #expect(try AskedModel("iris:9007199254740991=m").version == NodeSpecBuilder.lastVersion)
  }

  @Test(arguments: ["0", "-1", "", "1.5", "+1", "one", "1:2", "9007199254740992", "99999999999999999999"])
  func `what is no version is refused by name`(_ number: String) {
    #expect {
      try AskedModel("iris:\(number)=m")
    } throws: { error in
      let told = (error as? PlatformError)?.message ?? ""
      return told.contains("'\(number)' of 'iris:\(number)=m' is no version")
        && (error as? PlatformError)?.field == "model.names"
    }
  }

  @Test func `versions stand once each, alike, and not too many`() {
    #expect(refusal([placed("a", 1), placed("a", 2), placed("b", 1)]) == nil)
    #expect(refusal([placed("a", 1), placed("a", 1)])?.contains("version 1 of 'a' is given twice") == true)
    let one = placed("a", 1)
    #expect(refusal([one, one])?.contains("each model stands once") == true)
    let differs = refusal([placed("a", 1), placed("a", 5, length: 3)])
    #expect(
      differs?.contains("input 'x' is x:FP32[-1,2] in version 1, but x:FP32[-1,3] in version 5") == true)
    let many = (1...16).map { placed("a", $0) }
    #expect(refusal(many) == nil)
    #expect(refusal(many + [placed("a", 17)])?.contains("more than 16 versions") == true)
    let names = (1...16).map { placed("m\($0)", 1) }
    #expect(refusal(names + [placed("m1", 2)]) == nil)
    let all = (1...8).flatMap { name in (1...8).map { placed("m\(name)", $0) } }
    #expect(refusal(all) == nil)
    #expect(refusal(all + [placed("m1", 9)])?.contains("may be 64") == true)
    #expect(refusal(names + [placed("m17", 1)])?.contains("at most 16 models") == true)
  }

  @Test func `what Triton counts is kept apart by version`() throws {
    func sample(_ name: String, _ version: String, _ value: Double, _ model: String = "a") -> MetricSample {
      MetricSample(
        name: name, labels: [MetricLabel("model", model), MetricLabel("version", version)],
        value: value)
    }
    let figures = try #require(
      ModelFigures([
        MetricFamily(
          name: "nv_inference_request_success", kind: .counter,
          samples: [
            sample("nv_inference_request_success", "1", 3), sample("nv_inference_request_success", "2", 4),
          ]),
        MetricFamily(
          name: "nv_inference_queue_duration_us", kind: .counter,
          samples: [
            sample("nv_inference_queue_duration_us", "1", 3000),
            sample("nv_inference_queue_duration_us", "2", 40000),
          ]),
      ]))
    #expect(figures.resource(placed("a", 1))?.requests == 3)
    #expect(figures.resource(placed("a", 2))?.requests == 4)
    #expect(figures.resource(placed("a", 2))?.version == 2)
    #expect(figures.resource(placed("a", 3)) == nil)
    // The version whose requests wait longest.
    #expect(figures.queueMilliseconds(since: ModelFigures()) == 10)
  }
}
