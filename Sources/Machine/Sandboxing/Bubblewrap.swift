import Glibc

/// What a sandbox shows of the machine. `arguments` gives the command line of `bwrap`.
///
/// The sandbox has: the system's programs and libraries read only, a private `/tmp`, its own process, user,
/// IPC, host name and cgroup namespaces, no network unless asked for, no capabilities, user 65534, and a
/// small environment.
public struct Bubblewrap: Sendable {
  /// A folder or file of the machine in the sandbox.
  public struct Binding: Sendable, Equatable {
    public var source: String
    public var target: String
    public var writable: Bool

    public init(_ source: String, at target: String? = nil, writable: Bool = false) {
      self.source = source
      self.target = target ?? source
      self.writable = writable
    }

    var arguments: [String] { [writable ? "--bind" : "--ro-bind", source, target] }
  }

  public var bindings: [Binding]
  /// Folders that must not be seen even when a binding includes them.
  public var hidden: [String]
  public var network: Bool
  public var hostname: String
  public var environment: [String: String]
  /// Descriptors of the sandbox's `bwrap` process: filter program and the file for its status.
  public var filterDescriptor: Int32?
  public var statusDescriptor: Int32?
  /// The sandbox ends with the thread that started it.
  public var diesWithParent = false
  /// A folder that is shown as `/` in place of the system's programs and libraries: the files of an image. `/etc/passwd`,
  /// `/proc`, `/dev`, `/run`, `/tmp` and `/var/tmp` must be in it.
  public var root: Root?

  public struct Root: Sendable, Equatable {
    public var folder: String
    public var writable: Bool

    public init(_ folder: String, writable: Bool = false) {
      self.folder = folder
      self.writable = writable
    }
  }

  public init(
    bindings: [Binding], hidden: [String] = [], network: Bool = false, hostname: String = "cell",
    environment: [String: String] = [:], filterDescriptor: Int32? = nil, statusDescriptor: Int32? = nil
  ) {
    self.bindings = bindings
    self.hidden = hidden
    self.network = network
    self.hostname = hostname
    self.environment = environment
    self.filterDescriptor = filterDescriptor
    self.statusDescriptor = statusDescriptor
  }

  /// Folders of the system that every sandbox has.
  static let systemFolders = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"]
  /// Files that libraries need to work; none says anything of users or services of the machine.
  static let settings = [
    "/etc/alternatives", "/etc/ca-certificates", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d",
    "/etc/localtime", "/etc/mime.types", "/etc/nsswitch.conf", "/etc/pki", "/etc/ssl", "/etc/timezone",
    "/etc/fonts",
  ]
  static let networkSettings = ["/etc/hosts", "/etc/resolv.conf", "/etc/services", "/etc/protocols"]

  /// The prefixes that aren't part of the system folders already, the outer ones first.
  public static func prefixBindings(_ prefixes: [String]) -> [Binding] {
    Set(prefixes.filter { $0.hasPrefix("/") && $0 != "/" }).sorted()
      .filter { prefix in !systemFolders.contains { prefix == $0 || prefix.hasPrefix("\($0)/") } }
      .map { Binding($0) }
  }

  /// Arguments for `bwrap` up to and with the command.
  public func arguments(_ command: [String]) -> [String] {
    var list = ["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    if !network { list.append("--unshare-net") }
    if diesWithParent { list.append("--die-with-parent") }
    list += [
      "--uid", "65534", "--gid", "65534", "--cap-drop", "ALL", "--new-session", "--hostname", hostname,
    ]
    if let root {
      list += [root.writable ? "--bind" : "--ro-bind", root.folder, "/"]
      for file in network ? Self.networkSettings : [] where Files.exists("\(root.folder)\(file)") {
        list += ["--ro-bind-try", file, file]
      }
      list += ["--proc", "/proc", "--dev", "/dev"]
      for folder in ["/tmp", "/run", "/var/tmp"] { list += ["--tmpfs", folder] }
    } else {
      for folder in Self.systemFolders where Files.exists(folder) {
        list += linkTarget(folder).map { ["--symlink", $0, folder] } ?? ["--ro-bind", folder, folder]
      }
      for file in Self.settings + (network ? Self.networkSettings : []) {
        list += ["--ro-bind-try", file, file]
      }
      list += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--dir", "/run", "--dir", "/var/tmp"]
    }
    // What lies in a hidden folder and is wanted is shown again after it's hidden.
    let inHidden = { (path: String) in hidden.contains { path.hasPrefix("\($0)/") } }
    for binding in bindings where !inHidden(binding.target) { list += binding.arguments }
    for folder in hidden where root == nil && isVisible(folder) { list += ["--tmpfs", folder] }
    for binding in bindings where inHidden(binding.target) { list += binding.arguments }
    list += ["--chdir", "/tmp", "--clearenv"]
    for (name, value) in environment.sorted(by: { $0.key < $1.key }) { list += ["--setenv", name, value] }
    if let filterDescriptor { list += ["--seccomp", "\(filterDescriptor)"] }
    if let statusDescriptor { list += ["--json-status-fd", "\(statusDescriptor)"] }
    return list + ["--"] + command
  }

  /// On most systems `/bin` is a link into `/usr`.
  private func linkTarget(_ path: String) -> String? {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = readlink(path, &buffer, buffer.count)
    guard count > 0 else { return nil }
    return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  private func isVisible(_ folder: String) -> Bool {
    let shown = Self.systemFolders + bindings.filter { $0.source == $0.target }.map(\.source)
    return shown.contains { folder == $0 || folder.hasPrefix("\($0)/") }
  }
}

extension Bubblewrap {
  /// Why no sandbox can be made, and what to do; nil when one was made just now.
  public static func trouble(_ executable: String?) -> String? {
    guard let executable else {
      return "bubblewrap (bwrap) isn't installed; install it (apt-get install bubblewrap)"
    }
    let arguments = Bubblewrap(bindings: []).arguments(["/bin/true"])
    let output: CommandOutput
    do {
      output = try CommandOutput.run(executable, arguments, timeout: .seconds(10))
    } catch {
      return "bubblewrap (\(executable)) can't be started: \(error)"
    }
    if output.succeeded { return nil }
    return
      "bubblewrap doesn't work here (\(output.text.prefix(300).split(separator: "\n").joined(separator: "; "))); "
      + "allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, and kernel.apparmor_restrict_unprivileged_userns=0 on Ubuntu)"
  }
}
