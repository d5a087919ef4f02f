public import Domain
public import DriverAPI
import Synchronization

/// A driver whose instances exist only in memory and which fails as it is told to.
public actor FakeDriver: InstanceDriver {
  public nonisolated let capabilities = DriverCapabilities(enforced: [], missing: [:])
  /// What the next restores fail with, until set to nil.
  public var restoreFailure: LastError?
  /// How many of the next starts fail.
  public var failingStarts = 0
  /// Instances that run.
  public private(set) var running: [InstanceID: InstanceHandle] = [:]
  /// Instances whose stop was asked for, in order.
  public private(set) var stopped: [InstanceID] = []
  public private(set) var killed: [InstanceID] = []
  public private(set) var retired: [NodeID] = []
  public private(set) var prepared = 0
  /// Nodes whose instances don't answer until they are let go.
  private var held: [NodeID: Gate] = [:]
  /// As `held`, for every node.
  private var heldAll: Gate?
  private var nextPID: Int32 = 1000
  private let ended: AsyncStream<InstanceExit>
  private let tell: AsyncStream<InstanceExit>.Continuation

  public init() { (ended, tell) = AsyncStream.makeStream() }

  public func failRestores(with error: LastError?) { restoreFailure = error }
  /// Restores and instances of releases from this number on fail with this error, until set to nil.
  private var broken: (from: Int, with: LastError, inStart: Bool)?
  public func breakReleases(from release: Int, with error: LastError, inStart: Bool = false) {
    broken = (release, error, inStart)
  }
  public func mend() { broken = nil }
  /// How many instances each release was started.
  public private(set) var starts: [Int: Int] = [:]

  public func failStarts(_ count: Int) { failingStarts = count }

  /// Checks and first moments of a node's instances hang until `release`.
  public func hold(_ node: NodeID) { held[node] = Gate() }
  public func release(_ node: NodeID) { held.removeValue(forKey: node)?.open() }
  /// The same for all nodes, those that are yet to come too.
  public func holdAll() { heldAll = Gate() }
  public func releaseAll() {
    heldAll?.open()
    heldAll = nil
  }

  /// An instance dies with this error.
  public func exit(_ id: InstanceID, _ error: LastError) {
    guard let handle = running.removeValue(forKey: id) else { return }
    tell.yield(InstanceExit(node: handle.node, release: handle.release, instance: id, error: error))
  }

  /// The process of one request ends with this error; its instance goes on.
  public func requestEnds(_ id: InstanceID, _ error: LastError) {
    guard let handle = running[id] else { return }
    tell.yield(
      InstanceExit(
        node: handle.node, release: handle.release, instance: id, error: error, instanceGoesOn: true))
  }

  /// The host of a node dies, and its instances with it.
  public func hostDies(_ node: NodeID, _ error: LastError) {
    tell.yield(InstanceExit(node: node, release: 1, instance: nil, error: error))
    for id in running.values.filter({ $0.node == node }).map(\.instance) { exit(id, error) }
  }

  /// An instance vanishes while nobody looks.
  public func vanish(_ id: InstanceID) { running[id] = nil }

  public func prepare(_ launch: NodeLaunch) async throws(DriverFailure) -> HostReport {
    prepared += 1
    if let restoreFailure { throw DriverFailure(restoreFailure) }
    if let broken, launch.release >= broken.from, !broken.inStart { throw DriverFailure(broken.with) }
    return HostReport(pid: 1, mode: "fork", modeReason: "in memory", restoreSeconds: 0)
  }

  public func start(_ id: InstanceID, of launch: NodeLaunch) async throws(DriverFailure) -> InstanceHandle {
    if failingStarts > 0 {
      failingStarts -= 1
      throw DriverFailure(
        LastError(phase: .start, exitClass: .exit, message: "no start", at: Timestamp(seconds: 0)))
    }
    starts[launch.release, default: 0] += 1
    if let broken, launch.release >= broken.from, broken.inStart { throw DriverFailure(broken.with) }
    nextPID += 1
    let handle = InstanceHandle(
      instance: id, node: launch.node, release: launch.release, pid: nextPID, startTicks: 1,
      endpoint: Endpoint(address: "unix:/run/\(id)", wireProtocol: .frames))
    running[id] = handle
    return handle
  }

  public func begin(_ handle: InstanceHandle) async throws(DriverFailure) {
    await (heldAll ?? held[handle.node])?.wait()
  }
  public func recover(_ handle: InstanceHandle) async -> Bool { running[handle.instance] == handle }
  public func probe(_ handle: InstanceHandle, timeout: Duration) async -> Bool {
    await (heldAll ?? held[handle.node])?.wait()
    return running[handle.instance] == handle
  }
  public func stop(_ handle: InstanceHandle, grace: Duration) async {
    running[handle.instance] = nil
    stopped.append(handle.instance)
  }
  public func kill(_ handle: InstanceHandle) async {
    running[handle.instance] = nil
    killed.append(handle.instance)
  }
  public nonisolated func exits() -> AsyncStream<InstanceExit> { ended }
  public func retire(_ node: NodeID, release: Int) async {
    retired.append(node)
    running = running.filter { $0.value.node != node || $0.value.release != release }
  }
  public func sweep(keeping: @Sendable () async -> [(node: NodeID, release: Int)]?) async {
    guard let keep = await keeping() else { return }
    let kept = Set(keep.map(\.node))
    running = running.filter { kept.contains($0.value.node) }
  }
  public func usage(_ handle: InstanceHandle) async -> InstanceUsage? { nil }
}

/// Lets nobody through until it is opened, then everybody.
final class Gate: Sendable {
  private let state = Mutex<(isOpen: Bool, waiting: [CheckedContinuation<Void, Never>])>((false, []))

  func wait() async {
    await withCheckedContinuation { continuation in
      let isOpen = state.withLock { state in
        if !state.isOpen { state.waiting.append(continuation) }
        return state.isOpen
      }
      if isOpen { continuation.resume() }
    }
  }

  func open() {
    let waiting = state.withLock { state in
      state.isOpen = true
      defer { state.waiting = [] }
      return state.waiting
    }
    for continuation in waiting { continuation.resume() }
  }
}
