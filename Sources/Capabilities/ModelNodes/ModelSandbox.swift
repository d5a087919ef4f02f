import Domain
import FoundationEssentials
import Sandboxing
import Synchronization

/// Starts Python with models in it inside walls and limits. Every call blocks its thread.
struct ModelSandbox: Sendable {
  let configuration: ModelDriverConfiguration
  let tree: CgroupTree
  private let bubblewrap: String?
  private let trouble: String?

  init(configuration: ModelDriverConfiguration) {
    self.configuration = configuration
    tree = CgroupTree.detect(name: configuration.treeName)
    bubblewrap = Files.findExecutable("bwrap")
    trouble = configuration.sandboxed ? Bubblewrap.trouble(bubblewrap) : nil
  }

  /// What to start.
  struct Order {
    var module: [String]
    var python: String
    var network: Bool
    var bindings: [Bubblewrap.Binding]
    var hostname: String
    /// Where standard output and error go.
    var output: String
    var limits: CgroupLimits
    var group: String
    var diesWithParent: Bool
  }

  /// Why models can't be run here, and what to do.
  func refusal() -> String? {
    guard configuration.sandboxed else { return nil }
    if let trouble { return "models can't be isolated: \(trouble)" }
    guard tree.folders[.memory] != nil else {
      return
        "memory limits can't be set: \(tree.missing[.memory] ?? "no memory controller"); run as root, or delegate the memory, pids and cpu controllers to this user (systemd: Delegate=yes)"
    }
    return nil
  }

  func group(_ name: String) -> Cgroup? { tree.folders.isEmpty ? nil : tree.group(name) }

  func start(_ order: Order) throws(SystemFailure) -> ProcessHandle {
    let interpreter = try Self.interpreter(order.python)
    let group = group(order.group)
    if let group {
      try group.make()
      try group.limit(order.limits)
    }
    let nothing = try FileHandle.open("/dev/null", .read)
    let output = try FileHandle.open(order.output, .append)
    var environment = [
      "HOME": "/tmp", "LANG": "C.UTF-8", "PATH": "/usr/local/bin:/usr/bin:/bin", "TMPDIR": "/tmp",
      "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1",
      "PYTHONPATH": configuration.sandboxed ? "/run/roost/python" : configuration.pythonPath,
    ]
    var request = SpawnRequest(
      executable: interpreter.executable, arguments: ["-m"] + order.module,
      descriptors: [nothing.number, output.number, output.number], cgroupFiles: group?.entryFiles ?? [],
      limits: [ResourceLimit(.coreBytes, 0)])
    guard configuration.sandboxed, let bubblewrap else {
      environment["HOME"] = SystemEnvironment.values(["HOME"])["HOME"] ?? "/tmp"
      request.environment = environment
      request.noNewPrivileges = true
      return try request.start()
    }
    let filter = try SyscallFilter.makeFile()
    request.descriptors.append(filter.number)
    var sandbox = Bubblewrap(
      bindings: Bubblewrap.prefixBindings(interpreter.prefixes)
        + [.init(configuration.pythonPath, at: "/run/roost/python")] + order.bindings,
      hidden: [Files.resolved(configuration.dataFolder)], network: order.network, hostname: order.hostname,
      environment: environment, filterDescriptor: 3)
    sandbox.diesWithParent = order.diesWithParent
    request.executable = bubblewrap
    request.arguments = sandbox.arguments([interpreter.executable, "-m"] + order.module)
    request.environment = ["PATH": "/usr/bin:/bin"]
    return try request.start()
  }

  /// What a Python says of itself: the program, and folders it needs besides the system's.
  private static let known = Mutex<[String: (executable: String, prefixes: [String])]>([:])

  private static func interpreter(_ python: String) throws(SystemFailure) -> (
    executable: String, prefixes: [String]
  ) {
    if let found = known.withLock({ $0[python] }) { return found }
    let code = "import sys\nfor x in (sys.executable, sys.prefix, sys.base_prefix, sys.exec_prefix): print(x)"
    let output = try CommandOutput.run(
      python, ["-I", "-c", code], environment: SystemEnvironment.values(["HOME", "PATH", "PYENV_ROOT"]))
    let lines = output.text.split(separator: "\n").map(String.init)
    guard output.succeeded, lines.count == 4 else {
      throw SystemFailure("ask \(python) for its folders (\(output.text.prefix(200)))", code: 8)
    }
    let found = (executable: lines[0], prefixes: Set(lines[1...]).sorted())
    known.withLock { $0[python] = found }
    return found
  }
}
