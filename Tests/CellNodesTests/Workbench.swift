import Domain
import DriverAPI
import FoundationEssentials
import Sandboxing
import Testing

@testable import CellNodes

/// A data folder, a checkpoint of a cell, and a driver on them; everything it started is ended by `close`.
final class Workbench: Sendable {
  let root: String
  let node = NodeID.random()
  let python: String
  let driver: CellDriver

  static let repository = #filePath.split(separator: "/").dropLast(3).reduce("") { "\($0)/\($1)" }

  init(sandbox: CellDriverConfiguration.Sandbox = .required, bubblewrap: String? = nil) throws {
    root = "/tmp/roost-cells-\(UInt64.random(in: 0 ..< .max))"
    try Files.makeFolder("\(root)/registry")
    let own = "\(Self.repository)/.venv/bin/python"
    python = try Files.exists(own) ? own : #require(Files.findExecutable("python3"))
    driver = CellDriver(
      configuration: Self.configuration(root: root, python: python, sandbox: sandbox, bubblewrap: bubblewrap))
  }

  static func configuration(
    root: String, python: String, sandbox: CellDriverConfiguration.Sandbox = .required,
    bubblewrap: String? = nil
  ) -> CellDriverConfiguration {
    CellDriverConfiguration(
      dataFolder: root, python: python, pythonPath: "\(repository)/python/src", sandbox: sandbox,
      bubblewrap: bubblewrap, restoreDeadline: .seconds(60), now: { Timestamp(seconds: 1_800_000_000) })
  }

  /// A second driver on the same folder, as a restarted service has.
  func anotherDriver() -> CellDriver {
    CellDriver(configuration: Self.configuration(root: root, python: python))
  }

  /// A checkpoint without variables, of this cell.
  func launch(
    _ cell: String, release: Int = 1, memory: Int64 = 400 << 20, timeoutMilliseconds: UInt32 = 15000
  ) throws -> NodeLaunch {
    struct Manifest: Encodable {
      struct Cell: Encodable { var source: String, code: String }
      struct Analysis: Encodable { var uses: [String] = [], stores: [String] = [], dynamic: [String] = [] }
      var formatVersion = 1
      var cell: Cell
      var variables: [String] = []
      var groups: [String] = []
      var errors: [String] = []
      var analysis = Analysis()
    }
    let path = "\(root)/registry/manifest-\(release)"
    let manifest = Manifest(cell: .init(source: cell, code: cell))
    try Files.write(Array(try JSONEncoder().encode(manifest)), to: path)
    return NodeLaunch(
      node: node, nodeName: "doubler", release: release, manifestPath: path, blobPaths: [],
      inputs: [Variable(name: "x", type: .any)], outputs: [Variable(name: "y", type: .any)],
      timeoutMilliseconds: timeoutMilliseconds, cpus: 2, memoryBytes: memory, pids: 64)
  }

  /// A checkpoint with a variable `table`, written as a notebook's kernel writes it.
  func launchWithState() throws -> NodeLaunch {
    let script = """
      import hashlib, json, pickle, platform, sys
      folder = sys.argv[1]
      stream = pickle.dumps({"table": [7, 8, 9]}, protocol=5)
      digest = hashlib.sha256(stream).hexdigest()
      open(folder + "/" + digest, "wb").write(stream)
      json.dump({
        "formatVersion": 1, "cell": {"source": "y = table[x]", "code": "y = table[x]"}, "errors": [],
        "python": {"version": platform.python_version()},
        "variables": [{"name": "table", "type": "builtins.list", "size": len(stream), "group": 0}],
        "groups": [{"id": 0, "names": ["table"], "stream": {"digest": "sha256:" + digest, "size": len(stream)},
                    "buffers": [], "afterFork": False}],
        "analysis": {"uses": [{"name": "table", "line": 1, "via": []}], "stores": [], "dynamic": []},
      }, open(folder + "/manifest-1", "w"))
      print(digest)
      """
    var launch = try launch("")
    let output = try CommandOutput.run(
      python, ["-c", script, "\(root)/registry"],
      environment: SystemEnvironment.values(["HOME", "PATH", "PYENV_ROOT"]))
    launch.blobPaths = ["\(root)/registry/\(output.text.split(separator: "\n").first ?? "")"]
    return launch
  }

  /// An instance that takes requests.
  func instance(of launch: NodeLaunch) async throws -> InstanceHandle {
    let handle = try await driver.start(InstanceID.random(), of: launch)
    try await driver.begin(handle)
    return handle
  }

  func folder(_ release: Int = 1) -> RunFolder { RunFolder(dataFolder: root, key: HostKey(node, release)) }
  func group(_ release: Int = 1) -> Cgroup { driver.launcher.tree.group(folder(release).name) }

  func close() async {
    await driver.sweep(keeping: [])
    driver.close()
    driver.launcher.tree.removeIfEmpty()
    Files.removeTree(root)
  }
}

/// One request to an instance: the text of its answer.
func execute(_ handle: InstanceHandle, _ inputs: String, timeout: Duration = .seconds(20)) async throws
  -> String
{
  try await offload { () throws(UnixConnection.Failure) -> String in
    let deadline = Deadline(after: timeout)
    let connection = try UnixConnection(path: String(handle.endpoint.address.dropFirst(5)))
    var frame: [UInt8] = []
    let payload = [0, 0, 0, 0, 3] + Array("req".utf8) + Array(inputs.utf8)
    withUnsafeBytes(of: UInt32(9 + payload.count).littleEndian) { frame += $0 }
    frame += [2, 7, 0, 0, 0, 0, 0, 0, 0] + payload
    try connection.send(frame, deadline: deadline)
    var bytes: [UInt8] = []
    while bytes.count < 4 || bytes.count < 4 + length(bytes) {
      bytes += try connection.receive(deadline: deadline)
    }
    return String(decoding: bytes[(bytes[4] == 131 ? 17 : 13)...], as: UTF8.self)
  }
}

private func length(_ bytes: [UInt8]) -> Int {
  Int(bytes[0]) | Int(bytes[1]) << 8 | Int(bytes[2]) << 16 | Int(bytes[3]) << 24
}

/// Runs `body` with a workbench and closes it whatever happens.
func withWorkbench(
  sandbox: CellDriverConfiguration.Sandbox = .required, bubblewrap: String? = nil,
  _ body: (Workbench) async throws -> Void
) async throws {
  let bench = try Workbench(sandbox: sandbox, bubblewrap: bubblewrap)
  do { try await body(bench) } catch {
    await bench.close()
    throw error
  }
  await bench.close()
}

/// Waits for a level, at most ten seconds.
func eventually(_ condition: () -> Bool) async throws -> Bool {
  for _ in 0..<1000 {
    if condition() { return true }
    try await Task.sleep(for: .milliseconds(10))
  }
  return condition()
}

/// The next exit, or nil after ten seconds.
func nextExit(_ exits: AsyncStream<InstanceExit>) async -> InstanceExit? {
  await withTaskGroup(of: InstanceExit?.self) { group in
    group.addTask { await exits.first { _ in true } }
    group.addTask {
      try? await Task.sleep(for: .seconds(10))
      return nil
    }
    let first = await group.next() ?? nil
    group.cancelAll()
    return first
  }
}

/// The next exits, fewer when ten seconds pass.
func firstExits(_ count: Int, _ exits: AsyncStream<InstanceExit>) async -> [InstanceExit] {
  var found: [InstanceExit] = []
  while found.count < count, let exit = await nextExit(exits) { found.append(exit) }
  return found
}

/// Why real sandboxes can't be tested on this machine; nil where they can.
let machineLacks: String? = {
  let trouble = Bubblewrap.trouble(Files.findExecutable("bwrap"))
  let tree = CgroupTree.detect(name: "roost-cells-check")
  defer { tree.removeIfEmpty() }
  let reason = trouble ?? tree.missing[.memory]
  if let reason { print("skipped, this machine has no sandboxes: \(reason)") }
  return reason
}()
