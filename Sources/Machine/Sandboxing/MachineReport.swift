import CLinux
import Glibc

/// What this machine can do for isolated cells, for `roost doctor`.
public struct MachineReport: Sendable, Codable, Equatable {
  public enum Verdict: String, Sendable, Codable { case ok, warn, missing }

  public struct Finding: Sendable, Codable, Equatable {
    /// What was looked at: `bubblewrap`, `cgroup memory`, `python`...
    public var name: String
    public var verdict: Verdict
    /// What was found.
    public var found: String
    /// What it means for nodes.
    public var meaning: String
    /// How to get it; nil when all is well.
    public var advice: String?

    public init(name: String, verdict: Verdict, found: String, meaning: String, advice: String? = nil) {
      self.name = name
      self.verdict = verdict
      self.found = found
      self.meaning = meaning
      self.advice = advice
    }
  }

  public var findings: [Finding]

  public init(findings: [Finding]) { self.findings = findings }

  /// The worst verdict: `missing` means that isolated nodes can't run here.
  public var verdict: Verdict {
    let all = findings.map(\.verdict)
    return all.contains(.missing) ? .missing : all.contains(.warn) ? .warn : .ok
  }

  /// Looks at the machine; blocks for the time of a few short commands.
  ///
  /// - Parameters:
  ///   - python: interpreter of the nodes; nil looks for `python3`.
  ///   - pythonPath: folder with the `roost` package; nil looks at what is installed.
  public static func make(dataFolder: String, python: String? = nil, pythonPath: String? = nil)
    -> MachineReport
  {
    let tree = CgroupTree.detect(name: "roost-doctor-\(getpid())")
    defer { tree.removeIfEmpty() }
    return MachineReport(
      findings: [bubblewrap(), userNamespaces(), cgroupVersion(tree)]
        + CgroupController.allCases.map { controller(tree, $0) }
        + pythonFindings(python, pythonPath: pythonPath) + [memory(), openFiles(), disk(dataFolder)])
  }

  // MARK: Walls

  private static func bubblewrap() -> Finding {
    let meaning = "runs each node apart: read-only system, private /tmp, own processes, no network"
    let executable = Files.findExecutable("bwrap")
    if let trouble = Bubblewrap.trouble(executable) {
      let parts = trouble.split(separator: ";", maxSplits: 1).map(String.init)
      return Finding(
        name: "bubblewrap", verdict: .missing, found: parts.first ?? trouble, meaning: meaning,
        advice: executable == nil ? "apt-get install bubblewrap" : trouble)
    }
    let version = executable.flatMap { try? CommandOutput.run($0, ["--version"]).text } ?? ""
    return Finding(
      name: "bubblewrap", verdict: .ok, found: "\(firstLine(version)), a sandbox was made", meaning: meaning)
  }

  private static func userNamespaces() -> Finding {
    let meaning = "let the sandbox drop all privileges"
    func number(_ path: String) -> Int? { Files.readText(path).flatMap { Int(firstLine($0)) } }
    if number("/proc/sys/user/max_user_namespaces") == 0 {
      return Finding(
        name: "user namespaces", verdict: .missing, found: "none are allowed", meaning: meaning,
        advice: "sysctl user.max_user_namespaces=15000")
    }
    if getuid() != 0, number("/proc/sys/kernel/unprivileged_userns_clone") == 0 {
      return Finding(
        name: "user namespaces", verdict: .missing, found: "only root may make them", meaning: meaning,
        advice: "sysctl kernel.unprivileged_userns_clone=1")
    }
    return Finding(name: "user namespaces", verdict: .ok, found: "allowed", meaning: meaning)
  }

  private static func cgroupVersion(_ tree: CgroupTree) -> Finding {
    Finding(
      name: "cgroups", verdict: tree.folders.isEmpty ? .missing : .ok,
      found: "version \(tree.version.rawValue)",
      meaning: "limits of instances; both versions are supported",
      advice: tree.folders.isEmpty ? "run as root, or under systemd with Delegate=yes" : nil)
  }

  private static func controller(_ tree: CgroupTree, _ controller: CgroupController) -> Finding {
    let meaning =
      switch controller {
      case .cpu: "limits an instance's share of the processors"
      case .memory: "ends an instance above its memory limit instead of the whole machine"
      case .pids: "keeps a runaway cell from using up all processes"
      }
    guard let reason = tree.missing[controller] else {
      return Finding(
        name: "cgroup \(controller.rawValue)", verdict: .ok,
        found: "writable at \(parent(tree.folders[controller] ?? ""))",
        meaning: meaning)
    }
    return Finding(
      name: "cgroup \(controller.rawValue)", verdict: controller == .memory ? .missing : .warn, found: reason,
      meaning: meaning,
      advice: "run as root, or delegate the controller to this user (systemd: Delegate=cpu memory pids)")
  }

  // MARK: Python

  private static func pythonFindings(_ given: String?, pythonPath: String?) -> [Finding] {
    let meaning = "runs the cells of nodes; 3.9 or newer, the minor version of the notebook"
    guard let python = given ?? Files.findExecutable("python3") else {
      return [
        Finding(
          name: "python", verdict: .missing, found: "no python3 on PATH", meaning: meaning,
          advice: "apt-get install python3 python3-venv, or give the path of an interpreter")
      ]
    }
    let code = """
      import sys
      print("%d.%d.%d" % sys.version_info[:3])
      print(1 if sys.version_info >= (3, 9) else 0)
      for name in ("cloudpickle", "roost.worker"):
        try:
          module = __import__(name)
          print(getattr(module, "__version__", "found"))
        except Exception as error:
          print("!%s: %s" % (type(error).__name__, error))
      """
    var environment = SystemEnvironment.values(["HOME", "PATH", "PYENV_ROOT"])
    if let pythonPath { environment["PYTHONPATH"] = pythonPath }
    let output = try? CommandOutput.run(python, ["-c", code], environment: environment)
    let lines = (output?.text ?? "").split(separator: "\n").map(String.init)
    guard let output, output.succeeded, lines.count == 4 else {
      return [
        Finding(
          name: "python", verdict: .missing,
          found: "\(python) doesn't run (\(firstLine(output?.text ?? "")))",
          meaning: meaning, advice: "give the path of a working interpreter")
      ]
    }
    let recent = lines[1] == "1"
    return [
      Finding(
        name: "python", verdict: recent ? .ok : .missing, found: "\(lines[0]) (\(python))", meaning: meaning,
        advice: recent ? nil : "install Python 3.9 or newer"),
      module(
        "cloudpickle", lines[2], meaning: "restores functions and classes of notebooks",
        advice:
          "\(python) -m pip install cloudpickle; for the Python of Debian itself: apt-get install python3-cloudpickle"
      ),
      module(
        "roost package", lines[3], meaning: "the worker that restores checkpoints and runs cells",
        advice: "set ROOST_PYTHONPATH to the folder python/src of Roost's sources"),
    ]
  }

  private static func module(_ name: String, _ line: String, meaning: String, advice: String) -> Finding {
    line.hasPrefix("!")
      ? Finding(
        name: name, verdict: .missing, found: String(line.dropFirst()), meaning: meaning, advice: advice)
      : Finding(name: name, verdict: .ok, found: line, meaning: meaning)
  }

  // MARK: Sizes

  private static func memory() -> Finding {
    let (total, available) = ProcFS.machineMemory()
    let scarce = available < 1 << 30
    return Finding(
      name: "memory", verdict: scarce ? .warn : .ok,
      found: "\(available >> 20) MB of \(total >> 20) MB available",
      meaning: "holds the restored state of nodes (shared by their instances) and what instances change",
      advice: scarce ? "free memory, or run fewer nodes" : nil)
  }

  private static func openFiles() -> Finding {
    var hard: UInt64 = 0
    let soft = roost_open_files_limit(&hard)
    let few = hard < 4096
    return Finding(
      name: "open files", verdict: few ? .warn : .ok,
      found: "limit \(soft), which the server raises to \(hard) for itself",
      meaning:
        "each client connection and each instance takes one or two; a quarter (at most 8,192) is kept from clients",
      advice: few ? "raise the limit (systemd: LimitNOFILE=65536; shell: ulimit -n 65536)" : nil)
  }

  /// Looks at the nearest folder that exists, as the data folder is made at the first start.
  private static func disk(_ dataFolder: String) -> Finding {
    var folder = dataFolder
    while !Files.exists(folder), let slash = folder.lastIndex(of: "/") { folder = String(folder[..<slash]) }
    let free = roost_filesystem_free_bytes(folder.isEmpty ? "/" : folder)
    let scarce = free < 2 << 30
    return Finding(
      name: "disk space", verdict: scarce ? .warn : .ok, found: "\(free >> 20) MB free at \(dataFolder)",
      meaning: "holds checkpoints and logs",
      advice: scarce ? "free some space, or choose another data folder" : nil)
  }

  private static func parent(_ path: String) -> String {
    String(path[..<(path.lastIndex(of: "/") ?? path.endIndex)])
  }

  private static func firstLine(_ text: String) -> String {
    text.split(separator: "\n").first.map(String.init) ?? ""
  }
}
