import CLinux
import Glibc

/// What a new process is started with.
public struct SpawnRequest: Sendable {
  public var executable: String
  public var arguments: [String]
  /// The whole environment; nothing is inherited.
  public var environment: [String: String]
  public var directory: String?
  /// Descriptors that become 0, 1, 2, 3... of the process; all others are closed.
  public var descriptors: [Int32]
  /// Files that the process writes `0` into, to enter cgroups, before it executes anything.
  public var cgroupFiles: [String]
  public var limits: [ResourceLimit]
  public var noNewPrivileges: Bool

  public init(
    executable: String, arguments: [String] = [], environment: [String: String] = [:],
    directory: String? = nil,
    descriptors: [Int32], cgroupFiles: [String] = [], limits: [ResourceLimit] = [],
    noNewPrivileges: Bool = false
  ) {
    self.executable = executable
    self.arguments = arguments
    self.environment = environment
    self.directory = directory
    self.descriptors = descriptors
    self.cgroupFiles = cgroupFiles
    self.limits = limits
    self.noNewPrivileges = noNewPrivileges
  }
}

/// A limit that the process inherits and can't raise.
public struct ResourceLimit: Sendable {
  public enum Kind: Sendable { case openFiles, coreBytes, addressSpaceBytes, fileBytes }
  public var kind: Kind
  public var value: UInt64

  public init(_ kind: Kind, _ value: UInt64) {
    self.kind = kind
    self.value = value
  }

  var number: Int32 {
    switch kind {
    case .openFiles: 7
    case .coreBytes: 4
    case .addressSpaceBytes: 9
    case .fileBytes: 1
    }
  }
}

extension SpawnRequest {
  /// Starts the process in a session of its own, inside its cgroups and limits from its first instruction on.
  public func start() throws(SystemFailure) -> ProcessHandle {
    var stage: Int32 = 0
    var code: Int32 = 0
    let pid = withCStrings([executable] + arguments) { argv in
      withCStrings(environment.map { "\($0.key)=\($0.value)" }.sorted()) { envp in
        withCStrings(cgroupFiles) { cgroups in
          limits.map { roost_rlimit(resource: $0.number, soft: $0.value, hard: $0.value) }
            .withUnsafeBufferPointer { limits in
              descriptors.withUnsafeBufferPointer { fds in
                executable.withCString { path in
                  withOptionalCString(directory) { directory in
                    cgroups.withMemoryRebound(to: UnsafePointer<CChar>?.self) { cgroups in
                      var options = roost_spawn_options()
                      options.path = path
                      options.argv = UnsafePointer(argv.baseAddress)
                      options.envp = UnsafePointer(envp.baseAddress)
                      options.directory = directory
                      options.fds = fds.baseAddress
                      options.fd_count = fds.count
                      options.cgroup_procs = UnsafePointer(cgroups.baseAddress)
                      options.cgroup_count = cgroupFiles.count
                      options.limits = limits.baseAddress
                      options.limit_count = limits.count
                      options.no_new_privileges = noNewPrivileges ? 1 : 0
                      return roost_spawn(&options, &stage, &code)
                    }
                  }
                }
              }
            }
        }
      }
    }
    guard pid > 0 else {
      throw SystemFailure("start \(executable) (\(Self.stageName(stage)))", code: code)
    }
    return try ProcessHandle(pid: pid)
  }

  private static func stageName(_ stage: Int32) -> String {
    switch UInt32(stage) {
    case ROOST_SPAWN_FORK.rawValue: "fork"
    case ROOST_SPAWN_SESSION.rawValue: "own session"
    case ROOST_SPAWN_CGROUP.rawValue: "enter the cgroup"
    case ROOST_SPAWN_LIMIT.rawValue: "set a limit"
    case ROOST_SPAWN_FILES.rawValue: "arrange file descriptors"
    case ROOST_SPAWN_DIRECTORY.rawValue: "change the directory"
    case ROOST_SPAWN_PRIVILEGES.rawValue: "give up privileges"
    default: "execute"
    }
  }
}

/// Runs `body` with a NULL-terminated array of C strings.
private func withCStrings<Result>(
  _ strings: [String], _ body: (UnsafeMutableBufferPointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
  var pointers: [UnsafeMutablePointer<CChar>?] = strings.map { strdup($0) }
  pointers.append(nil)
  defer { for pointer in pointers { free(pointer) } }
  return pointers.withUnsafeMutableBufferPointer { body($0) }
}

private func withOptionalCString<Result>(_ text: String?, _ body: (UnsafePointer<CChar>?) -> Result) -> Result
{
  guard let text else { return body(nil) }
  return text.withCString { body($0) }
}
