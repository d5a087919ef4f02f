import Domain
import FoundationEssentials
import Glibc
import Sandboxing
import Synchronization

/// Runs single steps of a build inside walls and limits.
struct StepRun {
  let builder: EnvironmentBuilder
  let id: EnvironmentID
  let folder: String
  let interpreter: EnvironmentBuilder.Found
  let uv: String
  let wheelFolders: [String]
  /// Code of packages runs in this build: it must not touch the cache of others.
  let ownCache: Bool

  var cache: String { ownCache ? "\(folder)/cache" : builder.folders.cache }
  private var log: String { builder.folders.log(id) }
  private var limits: EnvironmentConfiguration.Limits { builder.configuration.limits }

  /// A line of the service in the build's log.
  func note(_ message: String) {
    let line = LogLine(
      time: builder.configuration.now().description, stream: "system", message: message)
    guard let bytes = try? JSONEncoder().encode(line) else { return }
    try? Files.append(String(decoding: bytes, as: UTF8.self) + "\n", to: log)
  }

  /// Throws what its user is told when the step fails, takes too long or takes too much.
  func step(_ step: BuildRun.Step, network: Bool, until deadline: Deadline) throws(PlatformError) {
    builder.say(id, step.words)
    if builder.isCancelled(id) { throw PlatformError(.cancelled, "the build was cancelled") }
    let group = builder.tree.folders.isEmpty ? nil : builder.tree.group("build-\(id)")
    defer {
      if let group {
        group.killAll()
        group.remove()
      }
    }
    let process: ProcessHandle
    do throws(SystemFailure) {
      if let group {
        try group.make()
        try group.limit(
          CgroupLimits(cpus: limits.cpus, memoryBytes: limits.memoryBytes, pids: limits.processes))
      }
      process = try start(step, network: network, group: group)
      try Files.write(Array("\(process.pid) \(process.startTicks)".utf8), to: "\(folder)/process")
    } catch { throw PlatformError(.internal, "the build can't be started: \(error)") }
    builder.state.withLock { $0.running[id] = process }
    let before = FileTree.bytes(cache)
    while !process.wait(.seconds(1)) {
      let size = FileTree.bytes(folder) + (ownCache ? 0 : max(0, FileTree.bytes(cache) - before))
      if size > limits.diskBytes {
        end(process)
        throw PlatformError(
          .resourceExhausted,
          "the environment needs more than \(limits.diskBytes >> 20) MiB of disk, the limit of a build; leave packages out, or raise the server's --environment-disk",
          origin: .caller)
      }
      if deadline.hasPassed {
        end(process)
        throw PlatformError(
          .deadlineExceeded,
          "the build took longer than \(limits.time.components.seconds) s, its limit, and was ended while \(step.words); raise the server's --environment-time",
          origin: .caller)
      }
    }
    let how = process.reap()
    builder.state.withLock { $0.running[id] = nil }
    if how == .exited(0) { return }
    if builder.isCancelled(id) { throw PlatformError(.cancelled, "the build was cancelled") }
    throw failure(step, how, group)
  }

  private func end(_ process: ProcessHandle) {
    kill(-process.pid, SIGKILL)
    process.signal(SIGKILL)
    _ = process.wait(.seconds(5))
    _ = process.reap()
  }

  private func failure(_ step: BuildRun.Step, _ how: ProcessEnd?, _ group: Cgroup?) -> PlatformError {
    struct Told: Decodable { var message: String }
    if let bytes = Files.readPlain("\(folder)/error.json", limit: 1 << 16),
      let told = try? JSONDecoder().decode(Told.self, from: Data(bytes))
    {
      return PlatformError(.failedPrecondition, told.message, origin: .caller)
    }
    if (group?.outOfMemoryKills ?? 0) > 0 {
      return PlatformError(
        .resourceExhausted,
        "the build needed more than \(limits.memoryBytes >> 20) MiB of memory, its limit, while \(step.words); raise the server's --environment-memory",
        origin: .caller)
    }
    let tail = Files.tail("\(folder)/output.txt", count: 2000)
    note("\(step.words) ended: \(tail)")
    return PlatformError(
      .internal,
      "\(step.words) ended unexpectedly (\(how.map { "\($0)" } ?? "unknown")): \(tail.suffix(500))")
  }

  private func start(
    _ step: BuildRun.Step, network: Bool, group: Cgroup?
  ) throws(SystemFailure) -> ProcessHandle {
    let nothing = try FileHandle.open("/dev/null", .read)
    let output = try FileHandle.open("\(folder)/output.txt", .append)
    let script = "\(builder.configuration.pythonPath)/roost/environment/__main__.py"
    let command = ["-I", "-S", script, step.rawValue, "\(folder)/order.json"]
    var environment = SystemEnvironment.values([
      "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "ALL_PROXY",
    ])
    environment.merge(["LANG": "C.UTF-8", "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp"]) { $1 }
    var request = SpawnRequest(
      executable: interpreter.executable, arguments: command, environment: environment,
      descriptors: [nothing.number, output.number, output.number], cgroupFiles: group?.entryFiles ?? [],
      limits: [ResourceLimit(.coreBytes, 0), ResourceLimit(.fileBytes, UInt64(limits.diskBytes))],
      noNewPrivileges: true)
    guard builder.configuration.sandboxed, let bubblewrap = builder.bubblewrap else {
      return try request.start()
    }
    let filter = try SyscallFilter.makeFile()
    request.descriptors.append(filter.number)
    let folders = builder.folders
    // Installing wheels runs no code of theirs, and files are linked out of the cache only within one mount.
    let writable = ownCache || step == .finish ? folder : folders.work
    var sandbox = Bubblewrap(
      bindings: Bubblewrap.prefixBindings(interpreter.prefixes)
        + [.init(uv), .init(builder.configuration.pythonPath), .init(log, writable: true)]
        + wheelFolders.map { .init($0) } + [.init(writable, writable: true)],
      hidden: [Files.resolved(builder.configuration.dataFolder)], network: network, hostname: "build",
      environment: environment, filterDescriptor: 3)
    sandbox.diesWithParent = true
    request.executable = bubblewrap
    request.arguments = sandbox.arguments([interpreter.executable] + command)
    request.environment = ["PATH": "/usr/bin:/bin"]
    request.noNewPrivileges = false
    return try request.start()
  }
}
