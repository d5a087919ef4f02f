public import Domain
internal import HTTPTransport
internal import Reactor
internal import Synchronization
internal import Telemetry

/// Two processes at the same sockets, one of which leaves.
extension GatewayServer {
  /// What it was told to listen on.
  public var listeners: [GatewayConfiguration.Listener] { shared.configuration.listeners }

  /// Its listening sockets with the names of their listeners; they stay open as long as it listens.
  public var handedSockets: [(name: String, descriptor: Int32)] {
    state.withLock { $0.handed.map { ($0.name, $0.descriptor) } }
  }

  /// Instances that the table in use sends requests to.
  public var routedInstances: Set<InstanceID> {
    state.withLock { Set($0.table?.nodes.flatMap { $0.instances.map(\.routed.id) } ?? []) }
  }

  /// Connections open now, over all loops.
  public var openConnections: Int { shared.openConnections }

  /// Accepts connections, after `start(listens: false)`. Returns when every loop does; false when one does not within the time.
  public func listen(within limit: Duration) async -> Bool {
    let byLoop = state.withLock { state in
      defer { state.waiting = [] }
      return state.waiting
    }
    guard !byLoop.isEmpty else { return true }
    shared.post(.listen(byLoop))
    let end = ContinuousClock.now + limit
    while !shared.counters.allSatisfy({ $0.listens.current > 0 }) {
      guard ContinuousClock.now < end else { return false }
      try? await Task.sleep(for: .milliseconds(1))
    }
    return true
  }

  /// Of the table in use goes on with these instances only. A node that would have none keeps those it has.
  public func keep(_ instances: Set<InstanceID>) {
    guard var table = state.withLock({ $0.published }) else { return }
    var changed = false
    for place in table.nodes.indices {
      let left = table.nodes[place].instances.filter { instances.contains($0.id) }
      guard !left.isEmpty, left.count < table.nodes[place].instances.count else { continue }
      table.nodes[place].instances = left
      changed = true
    }
    if changed { publish(table) }
  }

  /// Leaves the listening sockets to another process that has them too, and ends when the last connection has.
  ///
  /// Nothing that goes on is ended before `limit`; then streams end as cleanly as their protocols can (WebSockets with status
  /// 1001, calls of gRPC with UNAVAILABLE, event streams with the end of their answer), and what is left ten seconds later
  /// is answered with UNAVAILABLE. Files of unix sockets stay. Cancelling the task ends the waiting.
  public func leave(limit: Duration) async {
    let threads = state.withLock { state -> [LoopThread] in
      guard case .running(let threads) = state.life else { return [] }
      state.life = .leaving(threads)
      return threads
    }
    guard !threads.isEmpty else { return }
    shared.post(.leave)
    await drained(within: limit)
    if !hasLeft {
      shared.post(.endStreams)
      await drained(within: .seconds(10))
    }
    state.withLock { $0.life = .stopped }
    finish(threads)
  }

  private func drained(within limit: Duration) async {
    let end = ContinuousClock.now + limit
    while !hasLeft, ContinuousClock.now < end, !Task.isCancelled {
      try? await Task.sleep(for: .milliseconds(10))
    }
  }

  /// No connection is open, and no instance has a request: one whose caller was told that it takes too long may still be found
  /// to hang, and only this process sees that.
  private var hasLeft: Bool {
    shared.isDrained
      && state.withLock { state in
        let routed = state.table?.nodes.lazy.flatMap(\.instances).contains { $0.load > 0 } ?? false
        return !routed && !state.leaving.values.contains { $0.load > 0 }
      }
  }
}
