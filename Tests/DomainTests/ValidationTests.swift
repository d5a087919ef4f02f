import Testing

@testable import Domain

@Suite struct CellValidationTests {
  func manifest(
    variables: [String] = ["x"], uses: [String] = [], stores: [String] = ["out"], unresolved: [String] = [],
    errors: [String] = [], shell: [String] = []
  ) -> CheckpointManifest {
    CheckpointManifest(
      formatVersion: 1, createdAt: Timestamp(seconds: 0), operation: "Cell run",
      cell: .init(source: "first\nsecond", code: "first\nsecond"), python: .init(version: "3.11.7"),
      packages: [:],
      variables: variables.map { .init(name: $0, type: "builtins.int", size: 1) }, groups: [],
      errors: errors.map {
        .init(
          name: $0, type: "builtins.dict", where: "\($0)['c']", culprit: "sqlite3.Connection",
          reason: "TypeError: no",
          hint: "open it inside the cell")
      },
      analysis: .init(
        uses: uses.map { .init(name: $0, line: 2, via: ["helper"]) },
        stores: stores.map { .init(name: $0, line: 2) },
        unresolved: unresolved.map { .init(name: $0, line: 1) }, dynamic: [],
        shell: shell.map { .init(text: $0, line: 1) },
        isAsync: false))
  }

  func refusal(_ inputs: [(String, String)], _ outputs: [(String, String)], _ manifest: CheckpointManifest)
    -> PlatformError?
  {
    do throws(PlatformError) {
      _ = try CellValidation.check(
        inputs: inputs.map { .init(name: $0.0, type: $0.1) },
        outputs: outputs.map { .init(name: $0.0, type: $0.1) },
        manifest: manifest)
      return nil
    } catch { return error }
  }

  @Test func `a good cell is accepted`() {
    #expect(refusal([("x", "int")], [("out", "dict")], manifest(uses: ["x"])) == nil)
  }

  @Test func `each problem names its field, its line and the fix`() {
    let cases: [(PlatformError?, String, [String])] = [
      (
        refusal([("x", "dct")], [("out", "int")], manifest()), "inputs[0].type",
        ["dct", "dict", "numpy.ndarray"]
      ),
      (refusal([("1x", "int")], [("out", "int")], manifest()), "inputs[0].name", ["1x"]),
      (refusal([("x", "int"), ("x", "int")], [("out", "int")], manifest()), "inputs[1].name", ["twice"]),
      (refusal([("x", "int")], [], manifest()), "outputs", ["at least one"]),
      (
        refusal([("out", "int")], [("out", "int")], manifest()), "inputs[0].name",
        ["overwrites", "line 2", "second"]
      ),
      (refusal([], [("out", "int")], manifest(shell: ["!ls"])), "checkpoint", ["!ls", "line 1"]),
      (
        refusal([], [("out", "int")], manifest(uses: ["db"], errors: ["db"])), "checkpoint",
        ["db", "helper", "sqlite3.Connection", "open it inside the cell"]
      ),
      (
        refusal([], [("out", "int")], manifest(unresolved: ["modle"])), "checkpoint",
        ["modle", "--input modle:TYPE"]
      ),
      (refusal([], [("other", "int")], manifest()), "outputs[0].name", ["other", "out"]),
    ]
    for (error, field, words) in cases {
      #expect(error?.field == field)
      #expect(error?.code == .invalidArgument)
      for word in words {
        #expect(error?.message.contains(word) == true, "\(word) in \(error?.message ?? "nothing")")
      }
    }
  }

  @Test func `an unsaved variable that the request binds is no problem`() {
    #expect(refusal([("db", "any")], [("out", "int")], manifest(uses: ["db"], errors: ["db"])) == nil)
  }
}

@Suite struct DomainValueTests {
  @Test(arguments: [
    (0, "1970-01-01T00:00:00.000Z"), (1_000_000_000_123_000, "2001-09-09T01:46:40.123Z"),
    (951_782_400_000_000, "2000-02-29T00:00:00.000Z"), (-1000, "1969-12-31T23:59:59.999Z"),
  ]) func `a time is written as RFC 3339 and read back`(microseconds: Int64, text: String) {
    #expect(Timestamp(microseconds: microseconds).description == text)
    #expect(Timestamp(text)?.microseconds == microseconds)
  }

  @Test(arguments: [
    "", "2001-09-09", "2001-09-09T01:46:40+02:00", "2001-13-09T01:46:40Z", "2001-09-09T01:46:40.1xZ",
  ])
  func `other times are refused`(text: String) { #expect(Timestamp(text) == nil) }

  @Test func `ids of different kinds can't be mixed`() {
    let node = NodeID.random()
    #expect(NodeID(node.text) == node)
    #expect(InstanceID(node.text) == nil)
    #expect(NodeID("nod") == nil)
    #expect(NodeID("nod" + String(repeating: "A", count: 17)) == nil)
  }

  @Test(arguments: ["ab", "Abc", "1abc", "abc-", "a_c", String(repeating: "a", count: 64)])
  func `a malformed name is refused by field`(name: String) {
    #expect(throws: PlatformError.self) { try ResourceName.check(name) }
  }

  @Test(arguments: ["abc", "a-1", "randomizer-node", String(repeating: "a", count: 63)])
  func `a good name is accepted`(name: String) throws { try ResourceName.check(name) }

  @Test func `every error code has a status that clients know`() {
    let statuses = Dictionary(uniqueKeysWithValues: PlatformError.Code.allCases.map { ($0, $0.httpStatus) })
    #expect(statuses[.invalidArgument] == 400)
    #expect(statuses[.resourceExhausted] == 429)
    #expect(statuses[.payloadTooLarge] == 413)
    #expect(statuses[.cancelled] == 499)
    #expect(Set(PlatformError.Code.allCases.map(\.rpcCode)) == Set(1...16))
  }
}
