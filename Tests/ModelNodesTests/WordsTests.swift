import Domain
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
}
