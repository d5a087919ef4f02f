import Testing
import YAMLText

@Suite struct YAMLReaderTests {
  private func read(_ text: String) throws(YAMLError) -> [YAMLNode] {
    try YAMLReader.documents(Array(text.utf8))
  }

  private func refusal(_ text: String) -> String? {
    do {
      _ = try read(text)
      return nil
    } catch { return "\(error.mark.line):\(error.mark.column): \(error.message)" }
  }

  @Test func `documents become JSON by the core schema`() throws {
    let text = """
      # a comment
      name: my-node
      instances: {min: 1, max: 8}
      flags: [true, "true", ~, 1.5, -2e3, 0x1f, 007, yes]
      text: |
        two
        lines
      empty:
      ---
      - 1
      ...
      ---
      """
    #expect(
      try read(text).map(\.json) == [
        #"{"name":"my-node","instances":{"min":1,"max":8},"flags":[true,"true",null,1.5,-2e3,"0x1f","007","yes"],"text":"two\u000alines\u000a","empty":null}"#,
        "[1]",
      ])
    #expect(try read("").isEmpty && read("# nothing\n").isEmpty)
  }

  @Test func `a path leads to its line and column`() throws {
    let node = try #require(
      try read(
        "kind: address\naddresses:\n- address: a:1\n- address: b:2\n  zone: x\nendpoint: {type: http}\n"
      ).first)
    func place(_ path: String) -> [Int] { [node.place(of: path).line, node.place(of: path).column] }
    #expect(place("kind") == [1, 1])
    #expect(place("addresses[1].zone") == [5, 3])
    #expect(place("addresses[1].nothing") == [4, 3])
    #expect(place("endpoint.type") == [6, 12])
    #expect(place("name") == [1, 1])
  }

  @Test(arguments: [
    ("a: 1\nb: *x\n", "2:4: '*' names another part"),
    ("a: &x 1\n", "1:4: '&' gives"),
    ("a: !!str 1\n", "1:4: '!' gives"),
    ("a: 1\nb:\n  <<: {c: 1}\n", "3:3: '<<' is not taken"),
    ("a: 1\nb: 2\na: 3\n", "3:1: 'a' is there twice (first in line 1)"),
    ("[a]: 1\n", "1:1: the name of a field must be a text"),
    ("a: [1, 2\n", "2:1: "),
    ("a: b: c\n", "1:5: mapping values are not allowed"),
    ("a:\n\t- 1\n", "2:1: "),
    ("\"a\n", "2:1: "),
  ]) func `what can't be taken is named with its place`(_ text: String, _ said: String) {
    #expect(refusal(text)?.hasPrefix(said) == true, "\(refusal(text) ?? "taken")")
  }

  @Test func `bytes that are not UTF-8, depth and size are bounded`() {
    #expect(throws: YAMLError.self) { try YAMLReader.documents([0x61, 0x3a, 0x20, 0xff, 0x0a]) }
    #expect(refusal(String(repeating: "[", count: 40))?.contains("more than 32 levels") == true)
    #expect(refusal(String(repeating: "[", count: 100_000)) != nil)
    #expect(
      refusal("[" + String(repeating: "1,", count: 60_000) + "]")?.contains("more than 50000 values") == true)
    #expect(refusal(String(repeating: "a", count: 2 << 20))?.contains("longer than") == true)
  }
}
