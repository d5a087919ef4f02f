public import Domain
public import DriverAPI

/// Instances that somebody else runs: there is nothing to launch, to limit or to kill.
///
/// A handle holds the address as the user wrote it. Whether anybody answers there is for probes to find out.
public struct AddressDriver: InstanceDriver {
  public let capabilities = DriverCapabilities(
    enforced: [],
    missing: Dictionary(
      uniqueKeysWithValues: ["memory", "cpu", "pids", "network", "filesystem", "syscalls"].map {
        ($0, "the servers of an address node run elsewhere")
      }))
  private let now: @Sendable () -> Timestamp

  public init(now: @escaping @Sendable () -> Timestamp) { self.now = now }

  public func prepare(_ launch: NodeLaunch) async throws(DriverFailure) -> HostReport {
    HostReport(
      pid: 0, mode: "external", modeReason: "the servers are run by somebody else", restoreSeconds: 0)
  }

  public func start(_ id: InstanceID, of launch: NodeLaunch) async throws(DriverFailure) -> InstanceHandle {
    guard let endpoint = launch.endpoint else {
      throw DriverFailure(
        LastError(
          phase: .launch, exitClass: .missing, message: "instance \(id) has no address to stand for",
          at: now()))
    }
    return InstanceHandle(
      instance: id, node: launch.node, release: launch.release, pid: 0, startTicks: 0, endpoint: endpoint)
  }

  public func begin(_ handle: InstanceHandle) async throws(DriverFailure) {}

  /// Always: an address does not end with this process.
  public func recover(_ handle: InstanceHandle) async -> Bool { true }

  /// Says nothing of health, only that this driver knows nothing against it.
  public func probe(_ handle: InstanceHandle, timeout: Duration) async -> Bool { true }

  public func stop(_ handle: InstanceHandle, grace: Duration) async {}
  public func kill(_ handle: InstanceHandle) async {}
  public func exits() -> AsyncStream<InstanceExit> { AsyncStream { $0.finish() } }
  public func retire(_ node: NodeID, release: Int) async {}
  public func sweep(keeping: @Sendable () async -> [(node: NodeID, release: Int)]?) async {}
  public func usage(_ handle: InstanceHandle) async -> InstanceUsage? { nil }
}
