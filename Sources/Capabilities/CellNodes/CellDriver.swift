public import Domain
public import DriverAPI
import FoundationEssentials
import Sandboxing
import Synchronization

/// Runs the instances of cell nodes: one zygote per release in a sandbox, forks of it as instances.
///
/// Hosts and instances outlive this object and its process; `prepare` finds them again. Two drivers must not
/// work on one data folder at the same time.
public final class CellDriver: InstanceDriver {
  public let capabilities: DriverCapabilities
  let configuration: CellDriverConfiguration
  let launcher: HostLauncher
  let hosts = Mutex<[HostKey: CellHost]>([:])
  let gates = KeyedGate()
  private let stream: AsyncStream<InstanceExit>
  let reports: AsyncStream<InstanceExit>.Continuation

  /// Looks at what this machine can enforce (starts `bwrap` once: some milliseconds).
  public init(configuration: CellDriverConfiguration) {
    self.configuration = configuration
    let tree = CgroupTree.detect(name: Self.treeName(configuration.dataFolder))
    let bubblewrap = configuration.bubblewrap ?? Files.findExecutable("bwrap")
    let trouble = Bubblewrap.trouble(bubblewrap)
    launcher = HostLauncher(
      configuration: configuration, tree: tree, bubblewrap: trouble == nil ? bubblewrap : nil,
      bubblewrapTrouble: trouble, interpreters: InterpreterBook())
    capabilities = Self.capabilities(configuration, tree: tree, bubblewrapTrouble: trouble)
    (stream, reports) = AsyncStream.makeStream(of: InstanceExit.self)
  }

  /// Of the data folder, so that services with different folders don't sweep each other's groups.
  public static func treeName(_ dataFolder: String) -> String {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in Files.resolved(dataFolder).utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return "roost-\(String(hash, radix: 16))"
  }

  private static func capabilities(
    _ configuration: CellDriverConfiguration, tree: CgroupTree, bubblewrapTrouble: String?
  ) -> DriverCapabilities {
    var enforced = tree.folders.keys.map(\.rawValue)
    var missing = Dictionary(uniqueKeysWithValues: tree.missing.map { ($0.key.rawValue, $0.value) })
    for wall in ["network", "filesystem", "syscalls"] {
      if configuration.sandbox == .off {
        missing[wall] = "the sandbox is off"
      } else if let bubblewrapTrouble {
        missing[wall] = bubblewrapTrouble
      } else {
        enforced.append(wall)
      }
    }
    return DriverCapabilities(enforced: enforced.sorted(), missing: missing)
  }

  /// Lets go of all hosts without ending them, as the end of the process would.
  public func close() {
    let all = hosts.withLock { hosts in
      defer { hosts = [:] }
      return Array(hosts.values)
    }
    for host in all { host.stopSignal.ring() }
    reports.finish()
    // Stays while a node runs; after the last delete nothing of this server is left behind.
    launcher.tree.removeIfEmpty()
  }

  public func exits() -> AsyncStream<InstanceExit> { stream }

  func folder(_ key: HostKey) -> RunFolder { RunFolder(dataFolder: configuration.dataFolder, key: key) }

  // MARK: Hosts

  public func prepare(_ launch: NodeLaunch) async throws(DriverFailure) -> HostReport {
    let key = HostKey(launch.node, launch.release)
    await gates.enter(key)
    let result: Result<HostReport, DriverFailure>
    // A host that runs already needs none.
    let variables: Result<[String: String], DriverFailure>
    do throws(DriverFailure) { variables = .success(try await self.variables(of: launch)) } catch {
      variables = .failure(error)
    }
    do throws(DriverFailure) {
      result = .success(
        try await offload { () throws(DriverFailure) in try self.bringUp(launch, key, variables) })
    } catch {
      result = .failure(error)
    }
    await gates.leave(key)
    return try result.get()
  }

  private func bringUp(
    _ launch: NodeLaunch, _ key: HostKey, _ variables: Result<[String: String], DriverFailure>
  ) throws(DriverFailure) -> HostReport {
    let folder = folder(key)
    let known = hosts.withLock { $0[key] }
    if let known, known.launch.runsLike(launch), !known.process.hasEnded { return known.report }
    if let known {
      forget(known)
    } else if let adopted = launcher.adopt(launch, folder: folder) {
      watch(adopted)
      return adopted.report
    }
    launcher.tearDown(folder, host: known)
    do throws(DriverFailure) {
      let host = try launcher.launch(launch, folder: folder, variables: try variables.get())
      watch(host)
      return host.report
    } catch {
      launcher.tearDown(folder, host: nil)
      throw error
    }
  }

  func watch(_ host: CellHost) {
    hosts.withLock { $0[host.key] = host }
    let reports = reports
    HostWatch(host: host, report: { reports.yield($0) }, log: configuration.log).start()
  }

  /// Blocks until its watcher has ended.
  private func forget(_ host: CellHost) {
    // A zygote that has just ended is still reported, with its instances.
    if !host.process.hasEnded {
      host.state.withLock { $0.silent = true }
      host.stopSignal.ring()
    }
    _ = waitForAny([host.watchEnded.descriptor], timeout: .seconds(15))
    hosts.withLock { hosts in
      if hosts[host.key] === host { hosts[host.key] = nil }
    }
  }

  public func retire(_ node: NodeID, release: Int) async {
    let key = HostKey(node, release)
    await gates.enter(key)
    await offload {
      let host = self.hosts.withLock { $0[key] }
      if let host { self.forget(host) }
      self.launcher.tearDown(self.folder(key), host: host)
    }
    await gates.leave(key)
  }

  public func sweep(keeping: @Sendable () async -> [(node: NodeID, release: Int)]?) async {
    let found = await offload {
      Set(
        (Files.list("\(self.configuration.dataFolder)/run") + self.launcher.tree.groups()).compactMap(
          HostKey.init))
    }
    guard !found.isEmpty, let keep = await keeping() else { return }
    let kept = Set(keep.map { HostKey($0.node, $0.release) })
    for key in found.subtracting(kept).sorted(by: { $0.description < $1.description }) {
      configuration.log("\(key): ending a host that no node needs")
      await retire(key.node, release: key.release)
    }
  }
}

/// Lets one caller at a time work on a host.
actor KeyedGate {
  private var waiting: [HostKey: [CheckedContinuation<Void, Never>]] = [:]

  func enter(_ key: HostKey) async {
    guard waiting[key] != nil else {
      waiting[key] = []
      return
    }
    await withCheckedContinuation { waiting[key, default: []].append($0) }
  }

  func leave(_ key: HostKey) {
    guard var queue = waiting[key], !queue.isEmpty else {
      waiting[key] = nil
      return
    }
    let next = queue.removeFirst()
    waiting[key] = queue
    next.resume()
  }
}
