import Domain
import FoundationEssentials
import Testing

@testable import ModelNodes

@Suite struct WordsTests {
  @Test func `what Python said is told without what Triton wraps around it`() {
    let told = ModelDriver.cause(
      "load failed for model 'm': version 1 is at UNAVAILABLE state: Internal: ModelError: ModuleNotFoundError: No module named 'x'\n\nAt:\n  /a/model.py(1): <module>\n  /b.py(2): load\n;\n"
    )
    #expect(told.message == "ModuleNotFoundError: No module named 'x'")
    #expect(told.traceback == ["/a/model.py(1): <module>", "/b.py(2): load"])
  }

  @Test func `a message without a traceback stays whole`() {
    let told = ModelDriver.cause(
      "load failed for model 'm': version 1 is at UNAVAILABLE state: Stub process 'm_0_0' is not healthy.;\n")
    #expect(told.message == "Stub process 'm_0_0' is not healthy.")
    #expect(told.traceback.isEmpty)
  }

  @Test func `a folder of a release is known by its name`() throws {
    let node = NodeID.random()
    let folder = try #require(ModelFolder(dataFolder: "/d", name: "\(node)-12"))
    #expect(folder.node == node)
    #expect(folder.release == 12)
    #expect(folder.repository == "/d/models/\(node)-12/repository")
    #expect(ModelFolder(dataFolder: "/d", name: "look-opn") == nil)
  }

  @Test func `only a dead process of a model is healed by loading it anew`() {
    #expect(TritonClient.Trouble.refused("Stub process 'm_0_0' is not healthy.").isDeadStub)
    #expect(!TritonClient.Trouble.refused("ValueError: boom").isDeadStub)
    #expect(!TritonClient.Trouble.timedOut.isDeadStub)
  }

  @Test func `an instance whose model can not be loaded anew is given up at once and told`() {
    let lost = TritonClient.Trouble.lost("model 'm' can't be loaded anew: no answer in time")
    #expect(lost.isFinal && !lost.isDeadStub)
    #expect(!TritonClient.Trouble.timedOut.isFinal && !TritonClient.Trouble.silent("gone").isFinal)
    #expect(ModelDriver.verdict(lost) == "is replaced: model 'm' can't be loaded anew: no answer in time")
    #expect(ModelDriver.verdict(.timedOut).hasSuffix("signatures of its models: no answer in time"))
  }

  @Test func `of a crash the reason is told, not its frames`() {
    let words = ModelDriver.lastWords(
      "terminate called after throwing an instance of 'boost::interprocess::lock_exception'\nSignal (6) received.\n 0# 0x000055F79CFEE52D in /triton/tritonserver\n12# gsignal in /lib/libc.so.6\n# a heading\n"
    )
    #expect(
      words
        == "terminate called after throwing an instance of 'boost::interprocess::lock_exception'\nSignal (6) received.\n# a heading"
    )
    #expect(ModelDriver.lastWords(" 0# main in /t\n") == "it said nothing")
  }

  @Test func `the version that could not be loaded is told`() throws {
    let text =
      "load failed for model 'm': version 20 is at UNAVAILABLE state: Internal: ModelError: no;version 1 is at UNAVAILABLE state: Internal: ModelError: no\n"
    #expect(ModelDriver.version(text) == 20)
    #expect(ModelDriver.version("failed to poll from model repository") == nil)
    let plan = try JSONDecoder().decode(
      ModelPlan.self,
      from: Data(
        #"{"models":[{"name":"m","alias":"i","canary":{}},{"name":"n","alias":"n","versions":[{"number":1,"alias":"n"},{"number":3,"alias":"j"}],"canary":{}}],"loadSeconds":5}"#
          .utf8))
    // The first is as a former server wrote it.
    #expect(plan.models[0].served.map(\.number) == [1] && plan.models[0].aliases == ["i"])
    #expect(plan.models[0].title(1) == "model 'm'" && plan.seconds(plan.models[0]) == 5)
    #expect(plan.models[1].aliases == ["j"] && plan.seconds(plan.models[1]) == 10)
    #expect(plan.models[1].title(3) == "version 3 of model 'n'")
  }
}
