import FoundationEssentials
import Testing

@testable import Commands

@Suite struct HelpTests {
  @Test func `the help of a command has purpose, usage, arguments, flags and an example`() {
    let expected = """
      Pins a checkpoint under a name: it is kept, and nodes can be made from it.

      Usage:
        roost checkpoint pin CHECKPOINT --name NAME [flags]

      Arguments:
        CHECKPOINT  id of the checkpoint

      Flags:
        --name NAME        3 to 63 characters a-z, 0-9 and - (required)
        --project PROJECT  id or name of the project (default)

      Examples:
        roost checkpoint pin CHECKPOINT_ID --name my-checkpoint

      Global flags:
        --url URL                          the server (ROOST_URL; default http://127.0.0.1:8800)
        --token-file FILE                  file with the token (ROOST_TOKEN_FILE; or ROOST_TOKEN)
        --profile NAME                     profile of this call (ROOST_PROFILE)
        -o, --output table|json|yaml|name  how to print (default table)
        -q, --quiet                        no progress and no closing lines
        --no-color                         no colors (NO_COLOR)
        -h, --help                         this help

      """
    #expect(Help.command(CheckpointPin.command) == expected)
  }

  @Test(arguments: CommandTree.visible.map(\.name))
  func `every command has help with an example`(_ name: String) async {
    let recorder = Recorder()
    let words = name.split(separator: " ").map(String.init)
    #expect(await recorder.shell().run(words + ["--help"]) == 0)
    #expect(recorder.output.contains("\nUsage:\n  roost \(name)"))
    #expect(recorder.output.contains("\nExamples:\n  "))
  }

  @Test func `the manual names every command and exit code`() throws {
    let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    let manual = String(decoding: try Data(contentsOf: URL(filePath: "/\(root)/docs/cli.md")), as: UTF8.self)
    for command in CommandTree.visible { #expect(manual.contains("`\(command.usage)`"), "\(command.usage)") }
    for code in ExitCode.allCases { #expect(manual.contains("| \(code.rawValue) | \(code.meaning) |")) }
  }

  @Test func `completion knows nouns, verbs, flags and choices`() {
    #expect(CompletionWords.candidates(["che"]) == ["checkpoint"])
    #expect(CompletionWords.candidates(["node", "re"]) == ["replace", "reset", "resume"])
    #expect(CompletionWords.candidates(["node", "create", "--iso"]) == ["--isolation"])
    #expect(CompletionWords.candidates(["node", "create", "--isolation", ""]) == ["instance", "request"])
  }

  @Test func `YAML quotes what a reader would take for something else`() throws {
    let text = try YAMLEmitter.text(
      json: #"{"a":"true","b":[{"c":1,"d":"x: y"},[]],"e":"l1\nl2","f":"1","g":{},"h":"plain text"}"#)
    #expect(
      text == """
        a: "true"
        b:
        - c: 1
          d: "x: y"
        - []
        e: |-
          l1
          l2
        f: "1"
        g: {}
        h: plain text

        """)
  }
}
