import Synchronization
import Testing

@testable import Commands

/// A shell whose output is kept.
final class Recorder: Sendable {
  let out = Mutex("")
  let err = Mutex("")
  let served = Mutex<ServeOptions?>(nil)

  func shell(_ environment: [String: String] = [:]) -> Shell {
    var around = Surroundings.process()
    around.environment = environment
    around.print = { text in self.out.withLock { $0 += text } }
    around.printError = { text in self.err.withLock { $0 += text } }
    (around.inputIsTerminal, around.outputIsTerminal, around.errorIsTerminal) = (false, false, false)
    return Shell(
      surroundings: around,
      serve: { options in
        self.served.withLock { $0 = options }
        return 7
      }, doctor: { _ in 0 })
  }

  var output: String { out.withLock { $0 } }
  var errors: String { err.withLock { $0 } }
}

@Suite struct ParsingTests {
  @Test func `serve hands its options to the service and ends with its code`() async {
    let recorder = Recorder()
    let code = await recorder.shell().run([
      "serve", "--data", "d", "--listen=0.0.0.0:1", "--sandbox", "off", "--loops", "2",
    ])
    #expect(code == 7)
    let expected = ServeOptions(dataFolder: "d", listen: ["0.0.0.0:1"], loops: 2, sandbox: false)
    #expect(recorder.served.withLock { $0 } == expected)
  }

  @Test(arguments: [
    (["nod"], "unknown command 'nod'; did you mean 'roost node'?"),
    (["node", "crate"], "did you mean 'roost node create'?"),
    (["node", "create", "x", "--chekpoint", "y"], "unknown flag --chekpoint; did you mean --checkpoint?"),
    (["node", "create", "x"], "--image for an image node, or --address for an address node"),
    (["node", "create", "--checkpoint", "c"], "NAME is missing"),
    (
      ["node", "create", "x", "--checkpoint", "c", "--timeout", "5 apples"],
      "--timeout: '5 apples' is not a time"
    ),
    (["node", "create", "x", "--checkpoint", "c", "--memory", "big"], "--memory: 'big' is not a size"),
    (["node", "create", "x", "--checkpoint", "c", "--input", "x"], "--input: 'x' must be NAME:TYPE"),
    (
      ["node", "create", "x", "--checkpoint", "c", "--isolation", "z"],
      "--isolation: 'z' is not one of instance, request"
    ),
    (["node", "describe", "a", "b"], "unexpected argument 'b'"),
    (["node", "call", "a", "--input", "{"], "--input: not JSON"),
    (["drill", "a", "--data", "d", "--no-restart"], "--data, --restart and --no-restart exclude each other"),
    (["drill", "a", "--restart", "x", "--data", "d"], "exclude each other: give one"),
    (["node", "list", "--url", "ftp://x"], "url: 'ftp://x' must look like"),
  ]) func `a slip is a usage error that names the fix`(_ arguments: [String], _ message: String) async {
    let recorder = Recorder()
    #expect(await recorder.shell(["HOME": "/nowhere"]).run(arguments) == ExitCode.usage.rawValue)
    #expect(recorder.errors.contains(message))
    #expect(recorder.errors.hasPrefix("error: "))
  }

  @Test func `nobody listening is the exit code of unavailable`() async {
    let recorder = Recorder()
    let code = await recorder.shell(["HOME": "/nowhere"]).run(["node", "list", "--url", "http://127.0.0.1:1"])
    #expect(code == ExitCode.unavailable.rawValue)
    #expect(recorder.errors.contains("hint: is the server running?"))
  }

  @Test func `times, sizes and ages read as people write them`() {
    #expect(Quantity.duration("15s") == .seconds(15))
    #expect(Quantity.duration("1h30m") == .seconds(5400))
    #expect(Quantity.duration("250ms") == .milliseconds(250))
    #expect(Quantity.duration("5x") == nil)
    #expect(Quantity.size("2GiB") == 2 << 30)
    #expect(Quantity.size("512MiB") == 512 << 20)
    #expect(Quantity.size("MiB") == nil)
    #expect(Quantity.age(.seconds(200)) == "3m")
    #expect(Quantity.bytes(1536) == "1.5 KiB")
  }

  @Test func `global flags stand anywhere`() async {
    for arguments in [["-o", "name", "version", "--client"], ["version", "--client", "-oname"]] {
      let recorder = Recorder()
      #expect(await recorder.shell(["HOME": "/nowhere"]).run(arguments) == 0)
      #expect(recorder.output == Shell.version + "\n")
    }
  }

  @Test func `options of another program keep their order`() throws {
    let parsed = try ParsedArguments(
      ["a.ipynb", "--python", "/p", "--user", "x"], for: NotebookRun.command)
    #expect(parsed.text("python") == "/p")
    #expect(parsed.passed == ["a.ipynb", "--user", "x"])
  }
}
