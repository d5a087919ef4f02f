import Domain
import DriverAPI
import Planning
import Storage

/// A release as its reconciler knows it.
struct LiveRelease: Sendable {
  /// Its own content with the settings that are wished now.
  var intent: NodeIntent
  var host = NodeObservation.Host.down
  var report: HostReport?
  var backoff = Backoff()
  /// Nothing of it is launched before this uptime.
  var notBefore = Duration.zero

  init(_ intent: NodeIntent) { self.intent = intent }
}

/// A release that was given up.
struct RollOutHalt: Sendable, Equatable {
  var release: Int
  var message: String
}

extension LastError {
  /// Whether it speaks against the release: what the container engine or a registry can't do now, it may do later.
  var isOfRelease: Bool { !(phase == .launch && exitClass == .hang) }
}

/// How a new release takes the place of the former one.
extension NodeReconciler {
  /// The release that instances are to be of in the end.
  var target: Int { halt == nil ? record.release : stable ?? record.release }

  var host: NodeObservation.Host { releases[target]?.host ?? .down }
  var hostReport: HostReport? { releases[target]?.report }
  var notBefore: Duration { releases[target]?.notBefore ?? .zero }

  func release(of instance: InstanceID) -> Int { instances[instance]?.release ?? record.release }

  /// What an instance was made of.
  func spec(of instance: InstanceID) -> NodeSpec {
    releases[release(of: instance)]?.intent.spec ?? intent.spec
  }

  private var settings: RollOutSpec { intent.spec.rollOut ?? RollOutSpec() }
  private var failureLimit: Int { settings.failures ?? 3 }
  private var deadline: Duration { .seconds(settings.deadlineSeconds ?? 600) }

  var rollOutPolicy: RollOutPolicy {
    if let stable, let former = releases[stable]?.intent.spec, !former.hasSameContract(as: intent.spec) {
      return .atOnce
    }
    return settings.strategy == "recreate"
      ? .recreate(max(1, intent.spec.maintenanceLimit)) : .surge(settings.surge ?? 1)
  }

  // MARK: Routing

  /// The release whose contract callers are served by.
  var routedRelease: Int {
    guard rollOutPolicy == .atOnce, let stable else { return target }
    return stable
  }

  var routedSpec: NodeSpec { releases[routedRelease]?.intent.spec ?? intent.spec }

  /// Healthy instances, less those that callers of the release that serves can't be given to.
  var inRotation: [LiveInstance] {
    let routed = routedSpec
    return instances.values.filter {
      $0.status == .healthy && (releases[$0.release]?.intent.spec.hasSameContract(as: routed) ?? true)
    }
  }

  // MARK: What happens

  /// The wish names this release from now on; called before it is taken over.
  func followRelease(_ next: NodeRecord, _ wish: NodeIntent) {
    // A user who changes something wants to see it tried now.
    for release in Array(releases.keys) {
      guard let live = releases[release] else { continue }
      releases[release]?.notBefore = .zero
      releases[release]?.intent.epoch = wish.epoch
      releases[release]?.intent.spec = wish.spec.with(contentOf: live.intent.spec)
    }
    if releases[next.release] == nil { releases[next.release] = LiveRelease(wish) }
    releases[next.release]?.intent = wish
    guard next.release != record.release else { return }
    keepPlaces(for: next.release, wish)
    halt = nil
    watched = stable == nil || stable == next.release ? nil : RollOutWatch(at: world.uptime())
    attemptsFailed = 0
  }

  /// Instances of address nodes whose place is wanted by another release too belong to that from now on: nothing of them changes.
  func keepPlaces(for release: Int, _ wish: NodeIntent) {
    guard let slots = wish.spec.address?.slots.map(\.key) else { return }
    for (id, live) in instances where live.slot.map(slots.contains) ?? false {
      instances[id]?.release = release
    }
  }

  func becameHealthy(_ instance: InstanceID) {
    everHealthy = true
    attemptsFailed = 0
    launchesFailed = 0
    if release(of: instance) == record.release { watched?.progressed(at: world.uptime()) }
  }

  /// Ends the roll-out when the new release serves, or gives it up.
  func judgeRollOut() async {
    guard stable != record.release, halt == nil, record.deletedAt == nil else { return }
    guard !record.suspended else {
      watched?.paused(at: world.uptime())
      return
    }
    let release = record.release
    if isUp(release) { return await promote(release) }
    // The addresses of others are probed on, whatever they answer.
    guard let former = stable, intent.spec.kind != .address,
      let verdict = watched?.verdict(at: world.uptime(), failureLimit: failureLimit, deadline: deadline)
    else { return }
    let seen = lastError.map { ": \($0.message)" } ?? ""
    let cause =
      switch verdict {
      case .failures(let count): count == 1 ? "it failed\(seen)" : "it failed \(count) times\(seen)"
      case .noProgress(let deadline):
        "no instance became healthy within \(deadline.components.seconds) s\(seen)"
      }
    await giveUp(release, for: former, because: cause)
  }

  private func isUp(_ release: Int) -> Bool {
    let healthy = instances.values.filter {
      $0.status == .healthy && $0.release == release && $0.epoch == intent.epoch
    }
    if let slots = intent.spec.address?.slots.map(\.key) {
      let filled = instances.values.filter {
        $0.status == .healthy && ($0.slot.map(slots.contains) ?? false)
      }
      return filled.count >= intent.spec.instances.min
        && !instances.values.contains { !($0.slot.map(slots.contains) ?? false) && $0.status != .deleting }
    }
    // A node at rest shows no more than that its host comes up.
    return wantedCount == 0 ? releases[release]?.host == .ready : healthy.count >= wantedCount
  }

  private func promote(_ release: Int) async {
    guard await store(release, .serving, "") else { return }
    if stable != nil { world.note(id, nil, release, "release \(release) serves") }
    stable = release
    if record.release == release { watched = nil }
    await routesChanged(id)
  }

  private func giveUp(_ release: Int, for former: Int, because cause: String) async {
    let message = "\(cause); see: roost node logs \(record.name)"
    guard await store(release, .failed, message), record.release == release else { return }
    halt = RollOutHalt(release: release, message: message)
    watched = nil
    world.note(id, nil, release, haltMessage)
    world.log(
      .warn, "release failed", ["node": id.text, "release": String(release), "serving": String(former)])
    await routesChanged(id)
  }

  private func store(_ release: Int, _ state: ReleaseState, _ message: String) async -> Bool {
    do throws(PlatformError) {
      try await world.store.judgeRelease(release, of: id, state, message, at: world.now())
      return true
    } catch {
      world.log(.error, "release not judged", ["node": id.text, "error": error.message])
      return false
    }
  }

  // MARK: Operations

  /// The release that an operation is about, where it made or wished one.
  func made(by operation: OperationRecord) -> Int? {
    (try? StoredJSON.value(OperationMemo.self, from: operation.metadataJSON))?.release
  }

  func isSuperseded(_ operation: OperationRecord) -> Bool {
    guard let release = made(by: operation) else { return false }
    return release != record.release
  }

  func superseding(_ operation: OperationRecord) -> String {
    "release \(made(by: operation) ?? 0) of node '\(record.name)' gave way to release \(record.release) before it served"
  }

  // MARK: Views

  var haltMessage: String {
    guard let halt else { return "" }
    return "release \(halt.release) failed; release \(stable ?? 0) serves: \(halt.message)"
  }

  private var updated: Int {
    instances.values.count { $0.status == .healthy && $0.release == record.release }
  }

  var rollOutProgress: String? {
    guard let stable, stable != record.release, halt == nil else { return nil }
    return
      "release \(record.release): \(updated) of \(wantedCount) instances healthy; \(instances.values.count - instances.values.count { $0.release == record.release }) of former releases left"
  }

  func rollOutFacts() -> [Fact] {
    if halt != nil { return [("RollOut", (false, "ReleaseFailed", haltMessage))] }
    guard let rollOutProgress else { return [] }
    return [("RollOut", (true, "RollingOut", rollOutProgress))]
  }

  func rollOutResource() -> RollOutResource {
    let state: ReleaseState =
      halt != nil ? .failed : stable == record.release ? .serving : .rollingOut
    let message =
      halt != nil
      ? haltMessage
      : stable == record.release
        ? "release \(record.release) serves"
        : rollOutProgress ?? "release \(record.release) has not served yet"
    return RollOutResource(
      release: record.release, state: state, serving: stable, updated: updated,
      failures: watched?.failures ?? 0, message: message)
  }

  // MARK: Restart of the service

  /// Reads which release serves, which failed, and what those instances are made of that may still run.
  func recoverReleases(_ records: [InstanceRecord]) async {
    do throws(PlatformError) {
      let all = try await world.store.releases(node: id)
      let needed = Set(records.map(\.release))
      for stored in all {
        switch stored.state {
        case .serving: stable = stored.number
        case .failed where stored.number == record.release:
          halt = RollOutHalt(release: stored.number, message: stored.message)
        default: break
        }
        guard stored.number != record.release, stored.state == .serving || needed.contains(stored.number)
        else { continue }
        var live = LiveRelease(try StoredJSON.value(NodeIntent.self, from: stored.specJSON))
        live.intent.spec = intent.spec.with(contentOf: live.intent.spec)
        live.intent.epoch = intent.epoch
        // What nothing is to be started of any more may have a host that is to be ended.
        if stored.state != .serving { live.host = .ready }
        releases[stored.number] = live
      }
      for release in needed where releases[release] == nil {
        releases[release] = LiveRelease(intent)
        releases[release]?.host = .ready
      }
    } catch { world.log(.error, "releases not read", ["node": id.text, "error": error.message]) }
    if stable == nil { halt = nil }
    // Nothing needs a failed release but its instances, which go.
    if halt != nil { releases[record.release]?.host = .ready }
    if let stable, stable != record.release, halt == nil { watched = RollOutWatch(at: world.uptime()) }
  }
}
