public import Domain
import DriverAPI
import Storage

/// All nodes of this server: owns a reconciler each, and publishes what they route as one table.
public actor Fleet {
  let world: NodeWorld
  let sink: any RoutingSink
  var reconcilers: [NodeID: NodeReconciler] = [:]
  private(set) var routes: [NodeID: RoutedNode] = [:]
  private var started: AsyncStream<NodeReconciler>
  private let starter: AsyncStream<NodeReconciler>.Continuation
  private var isRecovered = false
  /// Nodes whose instances of the last run are still being looked for.
  private var recovering = 0
  /// How long the first table waits for them: what answers at all answers within some milliseconds.
  private let firstTableDelay: Duration
  private var publishing = false
  private var dirty = false
  private var waiters: [CheckedContinuation<Void, Never>] = []

  public init(world: NodeWorld, sink: any RoutingSink, firstTableDelay: Duration = .milliseconds(50)) {
    self.firstTableDelay = firstTableDelay
    self.world = world
    self.sink = sink
    (started, starter) = AsyncStream.makeStream()
  }

  /// True once the instances of the last run were found again.
  public var isReady: Bool { isRecovered && recovering == 0 }

  /// Keeps every node as wanted until `stop` or cancellation. Instances live on. `recover` must have ended.
  public func run() async {
    await withDiscardingTaskGroup { group in
      for driver in world.drivers {
        group.addTask { await self.followExits(of: driver) }
        group.addTask { await self.sweep(driver) }
      }
      for await reconciler in started {
        if Task.isCancelled { break }
        group.addTask {
          await reconciler.run()
          await self.ended(reconciler)
        }
      }
      group.cancelAll()
    }
  }

  /// Ends `run`; instances live on.
  public func stop() { starter.finish() }

  /// Looks for the instances of the last run and publishes the first table, which names every node. Before `run`, and before
  /// requests are taken.
  ///
  /// An instance that answers late (one that still runs a request of the service that was killed) delays no other: it enters
  /// rotation when it has answered, and requests of a node none of whose instances has yet wait.
  public func recover() async throws(PlatformError) {
    let records = try await world.store.allNodes()
    var found: [(NodeReconciler, [InstanceRecord])] = []
    for record in records {
      let intent = try StoredJSON.value(NodeIntent.self, from: record.specJSON)
      found.append((make(record, intent), try await world.store.instances(node: record.id)))
    }
    recovering = found.count
    for (reconciler, instances) in found {
      Task {
        await reconciler.recoverInstances(instances)
        await self.recovered(reconciler)
      }
    }
    let deadline = ContinuousClock.now + firstTableDelay
    while recovering > 0, ContinuousClock.now < deadline { try? await Task.sleep(for: .milliseconds(1)) }
    for (reconciler, _) in found { routes[reconciler.id] = await reconciler.route() }
    isRecovered = true
    await publish()
    world.log(
      .info, "first routing table", ["nodes": String(records.count), "recovering": String(recovering)])
  }

  private func recovered(_ reconciler: NodeReconciler) async {
    recovering -= 1
    starter.yield(reconciler)
    await routesChanged(reconciler.id)
  }

  /// Orphans of deletes that a crash cut short.
  private func sweep(_ driver: any InstanceDriver) async {
    await driver.sweep { [world] in
      do throws(PlatformError) { return try await world.store.liveReleases() } catch {
        world.log(.error, "orphans not looked for", ["error": error.message])
        return nil
      }
    }
  }

  private func make(_ record: NodeRecord, _ intent: NodeIntent) -> NodeReconciler {
    let sink = self.sink
    let reconciler = NodeReconciler(
      record: record, intent: intent, world: world,
      routesChanged: { [weak self] in await self?.routesChanged($0) },
      outstanding: { await sink.outstanding(on: $0) }, endStreams: { await sink.endStreams(on: $0) },
      load: { await sink.load(of: $0) })
    reconcilers[record.id] = reconciler
    return reconciler
  }

  /// A node was created or changed in the store.
  func changed(_ record: NodeRecord, _ intent: NodeIntent) async {
    if let reconciler = reconcilers[record.id] {
      await reconciler.adopt(record, intent)
    } else {
      let reconciler = make(record, intent)
      starter.yield(reconciler)
    }
    await routesChanged(record.id)
  }

  private func ended(_ reconciler: NodeReconciler) async {
    guard await reconciler.isForgotten else { return }
    reconcilers[reconciler.id] = nil
    routes[reconciler.id] = nil
    await publish()
  }

  private func followExits(of driver: any InstanceDriver) async {
    for await exit in driver.exits() { await reconcilers[exit.node]?.ended(exit) }
  }

  /// How a node is routed now: also what callers of the release that serves may count on.
  public func routed(_ node: NodeID) -> RoutedNode? { routes[node] }

  /// A hint from the gateway.
  public func observed(_ observation: GatewayObservation) async {
    let instance: InstanceID
    switch observation {
    case .unreachable(let id, _), .hung(let id, _): instance = id
    case .waiting(let node):
      await reconcilers[node]?.observed(observation)
      return
    }
    guard let node = routes.values.first(where: { $0.instances.contains { $0.id == instance } }) else {
      return
    }
    await reconcilers[node.id]?.observed(observation)
  }

  // MARK: Routing table

  private func routesChanged(_ node: NodeID) async {
    routes[node] = await reconcilers[node]?.route()
    await publish()
  }

  /// Grants or tokens changed.
  public func accessChanged() async { await publish() }

  /// Publishes the newest routes. Callers return when a table at least as new as their change is in use; changes that come
  /// meanwhile share one table.
  func publish() async {
    guard isRecovered else { return }
    dirty = true
    if publishing {
      return await withCheckedContinuation { waiters.append($0) }
    }
    publishing = true
    while dirty {
      dirty = false
      let served = waiters
      waiters = []
      await publishOnce()
      for waiter in served { waiter.resume() }
    }
    publishing = false
  }

  private func publishOnce() async {
    do throws(PlatformError) {
      let table = RoutingTable(
        generation: try await world.store.nextRoutingGeneration(),
        nodes: routes.values.sorted { $0.id < $1.id }, aliases: try await routedAliases(),
        grants: try await world.store.grants().filter { $0.role != "viewer" }.map {
          RoutedGrant(
            subject: $0.subject, folderID: $0.folderID,
            mayChoose: ["developer", "editor", "admin"].contains($0.role))
        },
        revokedTokens: try await world.store.revokedLiveTokens(at: world.time.cautious()))
      await sink.publish(table)
    } catch { world.log(.error, "routing table not published", ["error": error.message]) }
  }

  // MARK: Views

  /// What is seen of a node; nil when it has no reconciler (any more).
  public func snapshot(of node: NodeID) async -> NodeSnapshot? { await reconcilers[node]?.snapshot() }

  /// How the number of a node's instances follows its load; nil when it has no reconciler (any more).
  public func scaling(of node: NodeID) async -> ScalingResource? {
    await reconcilers[node]?.scalingResource()
  }

  public func progress(of node: NodeID) async -> String? { await reconcilers[node]?.progress() }
}
