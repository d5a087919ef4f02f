import Domain
import DriverAPI
import FoundationEssentials
import Glibc
import Sandboxing
import Testing

@testable import Environments

/// Real builds with uv from wheels made here.
@Suite(.serialized) struct EnvironmentBuilderTests {
  @Test func `a requirements file becomes a locked environment that imports its packages`() async throws {
    let bench = try await Bench()
    defer { bench.remove() }
    try await bench.wheels("greeting==1.0", "greeting==2.0")
    let built = try await bench.builder.build(bench.order("greeting<2"))
    #expect(built.packages.map(\.name) == ["greeting"] && built.packages.map(\.version) == ["1.0"])
    #expect(built.packages.first?.modules == ["greeting"])
    #expect(built.lock.contains("greeting==1.0 \\\n    --hash=sha256:"))
    let python = EnvironmentBuilder.python(built.digest, dataFolder: bench.data)
    let said = try CommandOutput.run(python, ["-I", "-c", "import greeting; print(greeting.VERSION)"])
    #expect(said.text == "1.0\n")
    let folder = bench.builder.folders.ready(built.digest)
    let compiled = try CommandOutput.run(
      "/usr/bin/find", [folder, "-name", "__init__.cpython-*.pyc", "-path", "*greeting*"])
    #expect(compiled.text.contains(".pyc"), "bytecode is made at build")
    let writable = try CommandOutput.run("/usr/bin/find", [folder, "-perm", "/222", "-not", "-type", "l"])
    #expect(writable.text == "", "nothing in it can be written")
    #expect(Files.list(bench.builder.folders.building) == [])
  }

  @Test func `the same lock is never built twice`() async throws {
    let bench = try await Bench()
    defer { bench.remove() }
    try await bench.wheels("greeting==1.0")
    let first = try await bench.builder.build(bench.order("greeting"))
    let made = try #require(Files.size(bench.builder.folders.facts(first.digest)))
    let second = try await bench.builder.build(bench.order("greeting==1.0  # another text"))
    #expect(second == first && made > 0)
    let log = try await bench.log()
    #expect(log.contains("the same environment was made before") && !log.contains("pip sync"))
    let locked = try await bench.builder.build(bench.order(first.lock, isLock: true))
    #expect(locked == first)
  }

  @Test func `what can't be resolved is told in words`() async throws {
    let bench = try await Bench()
    defer { bench.remove() }
    try await bench.wheels("greeting==1.0")
    let unknown = await bench.failure(bench.order("greeting==9"))
    #expect(unknown.code == .failedPrecondition && unknown.message.contains("greeting==9"))
    let wrong = "greeting==1.0 --hash=sha256:" + String(repeating: "0", count: 64)
    let mismatch = await bench.failure(bench.order(wrong, isLock: true))
    #expect(mismatch.message.contains("hash") && mismatch.message.contains("--generate-hashes"))
    #expect(Files.list(bench.builder.folders.ready) == [] && Files.list(bench.builder.folders.building) == [])
  }

  @Test
  func
    `packages without a wheel are refused until that is allowed, and their code sees nothing of the server`()
    async throws
  {
    let bench = try await Bench()
    defer { bench.remove() }
    try Files.write(Array("secret".utf8), to: "\(bench.data)/secret")
    try await bench.source(
      "handmade", "1.0",
      hook: "assert not os.path.exists('\(bench.data)/secret'); open(os.environ['TMPDIR'] + '/x', 'w')")
    let refused = await bench.failure(bench.order("handmade"))
    #expect(refused.message.contains("--allow-source"), "\(refused.message)")
    let built = try await bench.builder.build(bench.order("handmade", allowSource: true))
    #expect(built.packages.map(\.name) == ["handmade"])
    let shared = try CommandOutput.run(
      "/usr/bin/find", [bench.builder.folders.cache, "-name", "*handmade*"])
    #expect(shared.text == "", "what ran code leaves nothing in the cache of others")
  }

  @Test func `a build that takes too long or too much is ended and says which limit`() async throws {
    let slow = try await Bench(limits: .init(time: .seconds(4)))
    defer { slow.remove() }
    try await slow.source("endless", "1.0", hook: "import time; time.sleep(600)")
    let late = await slow.failure(slow.order("endless", allowSource: true))
    #expect(late.code == .deadlineExceeded && late.message.contains("--environment-time"), "\(late.message)")
    let big = try await Bench(limits: .init(diskBytes: 8 << 20))
    defer { big.remove() }
    try await big.source(
      "huge", "1.0",
      hook:
        "import time\n    for n in range(16): open(os.environ['TMPDIR'] + '/%d' % n, 'wb').write(os.urandom(1 << 20))\n    time.sleep(600)"
    )
    let full = await big.failure(big.order("huge", allowSource: true))
    #expect(full.code == .resourceExhausted && full.message.contains("--environment-disk"), "\(full.message)")
  }

  @Test func `a cancelled build ends at once`() async throws {
    let bench = try await Bench()
    defer { bench.remove() }
    try await bench.source("endless", "1.0", hook: "import time; time.sleep(600)")
    let order = bench.order("endless", allowSource: true)
    async let failure = bench.failure(order)
    let deadline = Deadline(after: .seconds(60))
    while try await !bench.log(order.id).contains("pip sync"), !deadline.hasPassed {
      try await Task.sleep(for: .milliseconds(20))
    }
    bench.builder.cancel(order.id)
    #expect(await failure.code == .cancelled)
    #expect(Files.list(bench.builder.folders.building) == [])
  }

  @Test func `what nobody needs is swept, with what an earlier process began`() async throws {
    let bench = try await Bench()
    defer { bench.remove() }
    try await bench.wheels("greeting==1.0", "greeting==2.0")
    let one = try await bench.builder.build(bench.order("greeting==1.0"))
    let two = try await bench.builder.build(bench.order("greeting==2.0"))
    let process = try SpawnRequest(
      executable: "/bin/sleep", arguments: ["600"], descriptors: []
    ).start()
    let left = bench.builder.folders.building(.random())
    try Files.makeFolder(left)
    try Files.write(Array("\(process.pid) \(process.startTicks)".utf8), to: "\(left)/process")
    await bench.builder.sweep(keeping: [two.digest])
    #expect(Files.list(bench.builder.folders.ready) == [two.digest] && one.digest != two.digest)
    #expect(Files.list(bench.builder.folders.building) == [])
    #expect(process.wait(.seconds(5)))
    _ = process.reap()
  }

  @Test func `a folder of wheels that the operator did not name is refused`() async throws {
    let bench = try await Bench()
    defer { bench.remove() }
    var order = bench.order("greeting")
    order.findLinks = ["/etc"]
    let refused = await #expect(throws: PlatformError.self) { try await bench.builder.check(order) }
    #expect(refused?.field == "findLinks[0]" && refused?.message.contains("--wheels") == true)
    order.findLinks = []
    order.python = "3.4"
    let missing = await #expect(throws: PlatformError.self) { try await bench.builder.check(order) }
    #expect(missing?.message.contains("no Python 3.4") == true)
  }

  @Test func `the server's own packages are listed`() async throws {
    let bench = try await Bench()
    defer { bench.remove() }
    let standard = try await bench.builder.standard()
    let names = Set(standard.packages.map(\.name))
    #expect(names.isSuperset(of: EnvironmentRequirements.standard), "\(EnvironmentRequirements.standard)")
    let listed = try String(contentsOfFile: Bench.root + "/python/requirements-default.txt", encoding: .utf8)
    let lines = listed.split(separator: "\n").filter { !$0.hasPrefix("#") }
    #expect(lines.map { String($0.prefix { $0 != ">" }) } == EnvironmentRequirements.standard)
    #expect(standard.packages.first { $0.name == "scikit-learn" }?.modules.contains("sklearn") == true)
  }
}

/// A builder with a data folder and a folder of wheels of its own.
private struct Bench: Sendable {
  let top: String
  let data: String
  let links: String
  let builder: EnvironmentBuilder

  static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().path
  static let python = root + "/.venv/bin/python"

  init(limits: EnvironmentConfiguration.Limits = .init()) async throws {
    top = "/tmp/roost-environments-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    data = "\(top)/data"
    links = "\(top)/wheels"
    try Files.makeFolder(data)
    try Files.makeFolder(links)
    builder = EnvironmentBuilder(
      configuration: EnvironmentConfiguration(
        dataFolder: data, python: Self.python, pythonPath: Self.root + "/python/src", wheels: [links],
        limits: limits, now: { Timestamp(microseconds: 0) }),
      treeName: "roost-test-\(getpid())-\(UInt32.random(in: 0 ... .max))")
  }

  func remove() {
    builder.removeReadOnly(top)
    builder.tree.removeIfEmpty()
  }

  func wheels(_ names: String...) async throws {
    let made = try CommandOutput.run(
      Self.python, ["\(Self.root)/Tests/EndToEnd/wheels.py", links] + names)
    try #require(made.succeeded, "\(made.text)")
  }

  func source(_ name: String, _ version: String, hook: String) async throws {
    let code =
      "import pathlib, sys; sys.path.insert(0, sys.argv[1]); import wheels; wheels.source(pathlib.Path(sys.argv[2]), *sys.argv[3:])"
    let made = try CommandOutput.run(
      Self.python, ["-c", code, "\(Self.root)/Tests/EndToEnd", links, name, version, hook])
    try #require(made.succeeded, "\(made.text)")
  }

  private static let id = EnvironmentID("env00000000000000000")

  func order(_ text: String, isLock: Bool = false, allowSource: Bool = false) -> EnvironmentOrder {
    EnvironmentOrder(
      id: Self.id ?? .random(), requirements: text, isLock: isLock, offline: true, allowSource: allowSource)
  }

  func failure(_ order: EnvironmentOrder) async -> PlatformError {
    do throws(PlatformError) {
      let built = try await builder.build(order)
      Issue.record("built \(built.digest)")
      return PlatformError(.internal, "built")
    } catch { return error }
  }

  func log(_ id: EnvironmentID? = nil) async throws -> String {
    let page = try await builder.log(of: id ?? Self.id ?? .random(), after: nil, tail: 1000)
    return page.lines.map(\.message).joined(separator: "\n")
  }
}
