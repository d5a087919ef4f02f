import Domain
import DriverAPI
import Planning
import Storage

/// Keeps one node as its user wants it.
///
/// Every pass observes, plans and begins the steps; a first start, a change, a crash and a restart of the service run this very
/// code. Steps run as children of `run`, so that a slow restore never delays the answer to an exit.
actor NodeReconciler {
  let id: NodeID
  let world: NodeWorld
  let driver: any InstanceDriver
  /// Tells the fleet that this node's routes changed; returns when the gateway follows them.
  let routesChanged: @Sendable (NodeID) async -> Void
  let outstanding: @Sendable (InstanceID) async -> Int
  /// What still streams at an instance ends.
  let endStreams: @Sendable (InstanceID) async -> Void
  /// What is asked of this node now.
  let load: @Sendable (NodeID) async -> NodeLoad?

  var record: NodeRecord
  var intent: NodeIntent
  var instances: [InstanceID: LiveInstance] = [:]
  /// Releases that something runs of, or may be started of, by number.
  var releases: [Int: LiveRelease] = [:]
  /// The release that served last; nil while none has.
  var stable: Int?
  /// The wished release was given up.
  var halt: RollOutHalt?
  /// How the wished release does while it is rolled out.
  var watched: RollOutWatch?
  var lastError: LastError?
  /// All failures there were.
  var failures = 0
  /// How many there had been when an operation that is not done was first seen.
  var failuresBefore: [OperationID: Int] = [:]
  /// Failures of any kind since an instance last became healthy.
  var attemptsFailed = 0
  /// Those of them in which nothing came up at all.
  var launchesFailed = 0
  var everHealthy = false
  var restarts = 0
  /// Models that were loaded anew since this object was made.
  var reloads = 0
  var since: [String: (status: Bool, reason: String, at: Timestamp)] = [:]
  private(set) var isForgotten = false
  /// How many instances there should be, where the load decides.
  var scaling = Scaling()
  /// The zones of the node as they were last seen.
  var zones: [DriverZone] = []
  /// Those of them in which the target release is ready.
  var preparedZones: Set<String> = []
  /// The next try to make a zone ready, by the uptime.
  var zonesNotBefore = Duration.zero
  /// The instances of the last run are being looked for.
  var isRecovering = false

  private let wakeups: AsyncStream<Void>
  private let waker: AsyncStream<Void>.Continuation

  init(
    record: NodeRecord, intent: NodeIntent, world: NodeWorld,
    routesChanged: @escaping @Sendable (NodeID) async -> Void,
    outstanding: @escaping @Sendable (InstanceID) async -> Int,
    endStreams: @escaping @Sendable (InstanceID) async -> Void,
    load: @escaping @Sendable (NodeID) async -> NodeLoad?
  ) {
    id = record.id
    self.record = record
    self.intent = intent
    self.world = world
    driver = world.driver(of: intent.spec.kind)
    releases[record.release] = LiveRelease(intent)
    self.routesChanged = routesChanged
    self.outstanding = outstanding
    self.endStreams = endStreams
    self.load = load
    (wakeups, waker) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
  }

  /// Makes the next pass come soon. Carries no data.
  nonisolated func wake() { waker.yield() }

  /// Takes a new wish; the pass that follows acts on it.
  func adopt(_ record: NodeRecord, _ intent: NodeIntent) {
    guard record.generation >= self.record.generation else { return }
    followRelease(record, intent)
    self.record = record
    self.intent = intent
    followScaling()
    probeAll()
    wake()
  }

  /// Runs until the node is forgotten or the task is cancelled. Cancelling leaves instances running.
  func run() async {
    followScaling()
    await withDiscardingTaskGroup { group in
      group.addTask { await self.tick() }
      group.addTask { await self.scale() }
      if intent.spec.image != nil { group.addTask { await self.keepZones() } }
      for id in isProbed ? Array(instances.keys) : [] { group.addTask { await self.watch(id) } }
      var alarm: Duration?
      var passes = wakeups.makeAsyncIterator()
      while !Task.isCancelled, !isForgotten {
        await judgeRollOut()
        await seeZones()
        for step in NodePlanner.plan(observation()) {
          for work in begin(step) { group.addTask { await work() } }
        }
        let now = world.uptime()
        let next = releases.values.map(\.notBefore).filter { $0 > now }.min()
        if let next, next != alarm {
          alarm = next
          let delay = next - now
          group.addTask {
            try? await Task.sleep(for: delay)
            self.wake()
          }
        }
        await settleOperations()
        if isForgotten { break }
        _ = await passes.next(isolation: self)
      }
      group.cancelAll()
    }
    // Not as a child of the loop that has just ended: a driver whose engine is away tries again until it is cancelled.
    if isForgotten { await forget() }
  }

  /// Level-triggered: a lost wake-up costs two seconds at most.
  private func tick() async {
    while !Task.isCancelled {
      try? await Task.sleep(for: .seconds(2))
      await checkInstances()
      await probeOverdue()
      await persistUnsaved()
      wake()
    }
  }

  // MARK: Steps

  /// Marks a step as begun, so that the next plan doesn't repeat it, and returns the work.
  private func begin(_ step: NodeStep) -> [@Sendable () async -> Void] {
    switch step {
    case .prepareHost(let release):
      releases[release]?.host = .preparing
      return [{ await self.prepareHost(release) }]
    case .launch(let count, let release, let epoch, let zone):
      return (0..<count).map { _ in
        let instance = LiveInstance(
          id: .random(), release: release, epoch: epoch, status: .undefined, createdAt: world.now(),
          madeAt: world.uptime(), zone: zone ?? zones.first?.name)
        instances[instance.id] = instance
        return { await self.isProbed ? self.run(instance.id) : self.launch(instance.id) }
      }
    case .fill(let slot, let epoch):
      let instance = LiveInstance(
        id: .random(), release: target, epoch: epoch, status: .undefined, createdAt: world.now(),
        madeAt: world.uptime(), slot: slot)
      instances[instance.id] = instance
      return [{ await self.occupy(instance.id) }]
    case .drainAndStop(let id):
      instances[id]?.status = .deleting
      instances[id]?.bell?.finish()
      return [{ await self.drainAndStop(id) }]
    case .retireHost(let release):
      releases[release]?.host = .preparing
      return [{ await self.retireHost(release) }]
    case .forget:
      isForgotten = true
      return []
    }
  }

  private func prepareHost(_ release: Int) async {
    do throws(DriverFailure) {
      let launch = try await launchSpec(release)
      let report = try await driver.prepare(launch)
      releases[release]?.report = report
      releases[release]?.host = .ready
      world.log(
        .info, "host ready",
        [
          "node": id.text, "release": String(release), "mode": report.mode, "reason": report.modeReason,
          "warmUp": report.warmUp?.state ?? "off",
        ])
    } catch {
      releases[release]?.host = .down
      launchesFailed += 1
      failed(error.error, of: release)
      world.note(id, nil, release, error.error.message)
      await routesChanged(id)
    }
    wake()
  }

  private func launch(_ instance: InstanceID) async {
    do throws(DriverFailure) {
      let launch = try await launchSpec(release(of: instance))
      let asked = world.uptime()
      let handle = try await driver.start(instance, of: launch)
      let created = world.uptime()
      guard advance(instance, to: .started, { $0.handle = handle }) else {
        return await driver.stop(handle, grace: .zero)
      }
      // Its record reaches the disk while it begins: one without a record is stopped by the sweep of the next start.
      async let recorded: Void = persist(instance)
      guard advance(instance, to: .preparing, { _ in }) else { return await recorded }
      try await driver.begin(handle)
      let started = world.uptime()
      guard await driver.probe(handle, timeout: .seconds(5)) else {
        throw DriverFailure(
          LastError(
            phase: .probe, exitClass: .timeout,
            message: "instance \(instance) did not answer its first health check in 5 s",
            at: world.now()))
      }
      await recorded
      let startedAt = world.now()
      guard advance(instance, to: .healthy, { $0.startedAt = startedAt }) else { return }
      if intent.spec.kind == .cell {
        world.meters.coldStart(.cell, .create, created - asked)
        world.meters.coldStart(.cell, .start, started - created)
        world.meters.coldStart(.cell, .healthy, world.uptime() - started)
      }
      becameHealthy(instance)
      await persist(instance)
      await routesChanged(id)
    } catch {
      launchesFailed += 1
      await discard(instance, because: error.error)
    }
    wake()
  }

  /// Moves an instance on unless it was asked to go in the meantime.
  func advance(_ id: InstanceID, to status: InstanceStatus, _ change: (inout LiveInstance) -> Void)
    -> Bool
  {
    guard var instance = instances[id], instance.status != .deleting else {
      if var instance = instances[id] {
        change(&instance)
        instances[id] = instance
      }
      return false
    }
    change(&instance)
    instance.status = status
    instances[id] = instance
    return true
  }

  private func drainAndStop(_ instance: InstanceID) async {
    await routesChanged(id)
    // The gateway has let go of it: what is under way may end, within the node's own deadline.
    let spec = spec(of: instance)
    let grace =
      spec.image.map { Duration.seconds($0.drainSeconds) }
      ?? Duration.milliseconds(Int64(spec.timeoutSeconds * 1000) + 1000)
    await wait(grace, forRequestsAt: instance)
    // The next service goes on with it: what runs there may end, and streams have their whole time.
    guard !Task.isCancelled else { return }
    if await outstanding(instance) > 0 {
      await endStreams(instance)
      await wait(min(grace, .seconds(1)), forRequestsAt: instance)
    }
    guard !Task.isCancelled else { return }
    let stopGrace = Duration.seconds(spec.image?.stopSeconds ?? 2)
    if let handle = instances[instance]?.handle { await driver.stop(handle, grace: stopGrace) }
    await drop(instance)
    wake()
  }

  private func wait(_ time: Duration, forRequestsAt instance: InstanceID) async {
    let deadline = world.uptime() + time
    while await outstanding(instance) > 0, world.uptime() < deadline, !Task.isCancelled {
      try? await Task.sleep(for: .milliseconds(5))
    }
  }

  private func retireHost(_ release: Int) async {
    await driver.retire(id, release: release)
    releases[release]?.host = .down
    releases[release]?.report = nil
    if release != record.release, release != stable { releases[release] = nil }
    wake()
  }

  private func forget() async {
    for release in Set(releases.keys).union([record.release]) { await driver.retire(id, release: release) }
    await driver.forget(id)
    await removeRecord()
    await routesChanged(id)
    wake()
  }

  // MARK: What happened

  /// The driver saw an instance or the host end, or the process of a request, which is told and changes nothing.
  func ended(_ exit: InstanceExit) async {
    if let rotation = exit.rotation { return await turned(exit, rotation) }
    if exit.instanceGoesOn {
      lastError = exit.error
      if let instance = exit.instance { instances[instance]?.lastError = exit.error }
      return world.note(id, exit.instance, exit.release, exit.error.message)
    }
    guard let instance = exit.instance else {
      guard releases[exit.release]?.host == .ready else { return }
      releases[exit.release]?.host = .down
      releases[exit.release]?.report = nil
      for (id, live) in instances where live.release == exit.release { instances[id]?.hostDied = true }
      failed(exit.error, of: exit.release)
      world.note(id, nil, exit.release, exit.error.message)
      return wake()
    }
    if isProbed, instances[instance]?.startedAt == nil { launchesFailed += 1 }
    // When the host died its instances died with it: that is one failure, and it has been counted.
    await discard(instance, because: exit.error, counts: !(instances[instance]?.hostDied ?? false))
    wake()
  }

  /// The gateway saw something odd: look, don't believe.
  func observed(_ observation: GatewayObservation) async {
    switch observation {
    case .waiting: await scaleOnce()
    case .unreachable(let instance, _) where isProbed, .hung(let instance, _) where isProbed:
      return probeSoon(instance)
    case .unreachable(let instance, _):
      guard let handle = instances[instance]?.handle, instances[instance]?.status == .healthy else { return }
      if await driver.recover(handle), await driver.probe(handle, timeout: .seconds(1)) { return }
      await checkInstances()
    case .hung(let instance, let request):
      guard let handle = instances[instance]?.handle, instances[instance]?.status != .deleting else { return }
      let error = LastError(
        phase: .execute, exitClass: .hang,
        message:
          "instance \(instance) did not end request \(request) within the node's timeout of \(spec(of: instance).timeoutSeconds) s plus 1 s; it was killed and is being recreated from checkpoint \(await checkpointLabel(of: instance))",
        logReference: "roost node logs \(record.name) --instance \(instance)", at: world.now())
      // Its exit may be reported before the call below returns.
      instances[instance]?.fate = error
      await driver.kill(handle)
      await discard(instance, because: error)
    }
    wake()
  }

  /// Looks for processes that vanished without a word.
  private func checkInstances() async {
    for instance in instances.values where instance.status == .healthy {
      guard let handle = instance.handle, !(await driver.recover(handle)) else { continue }
      // Its exit event may be on its way with a better reason.
      instances[instance.id]?.failedProbes += 1
      guard (instances[instance.id]?.failedProbes ?? 0) > 1 else { continue }
      await discard(
        instance.id,
        because: LastError(
          phase: .execute, exitClass: .missing, message: "the process of instance \(instance.id) is gone",
          at: world.now()))
    }
  }

  func discard(_ instance: InstanceID, because error: LastError, counts: Bool = true) async {
    guard let live = instances[instance], live.status != .deleting else { return }
    let error = live.fate ?? error
    instances[instance]?.status = .deleting
    restarts += 1
    if counts { failed(error, of: live.release) }
    world.note(id, instance, live.release, error.message)
    await routesChanged(id)
    if let handle = live.handle { await driver.stop(handle, grace: .zero) }
    await drop(instance)
    wake()
  }

  func failed(_ error: LastError, of release: Int) {
    lastError = error
    failures += 1
    attemptsFailed += 1
    let now = world.uptime()
    let next = releases[release]?.backoff.failed(at: now)
    releases[release]?.notBefore = next ?? now
    if release == record.release, error.isOfRelease {
      watched?.failed(isHopeless: isHopeless(error, isNew: true))
    }
    world.log(
      .warn, "node failure",
      ["node": id.text, "phase": error.phase.rawValue, "class": error.exitClass.rawValue])
  }

  func drop(_ instance: InstanceID) async {
    instances[instance] = nil
    do throws(PlatformError) {
      try await world.store.removeInstance(instance, at: world.now())
    } catch {
      world.log(.error, "instance record not ended", ["instance": instance.text, "error": error.message])
    }
  }
}
