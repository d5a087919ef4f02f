import Domain
import DriverAPI
import FoundationEssentials
import Planning
import Storage

extension NodeReconciler {
  // MARK: Store

  func persist(_ id: InstanceID) async {
    guard let instance = instances[id], let handle = instance.handle else { return }
    do throws(PlatformError) {
      let memo = try StoredJSON.text(
        InstanceMemo(handle: handle, epoch: instance.epoch, slot: instance.slot))
      let stored = InstanceRecord(
        id: id, nodeID: self.id, release: instance.release, handleJSON: memo, status: instance.status,
        createdAt: instance.createdAt, startedAt: instance.startedAt)
      guard try await world.store.instance(id) == nil else {
        try await world.store.updateInstance(stored)
        instances[id]?.isUnsaved = false
        return
      }
      // Nothing of an address node runs here, so nothing is charged.
      let configuration =
        intent.spec.kind == .address
        ? nil : try Configuration.named(spec(of: id).configuration)
      let usage = configuration.map {
        UsageRecord(
          instanceID: id, nodeID: self.id, configuration: $0.name, unitsPerSecond: $0.unitsPerSecond,
          startedAt: instance.createdAt)
      }
      try await world.store.atomically { store throws(PlatformError) in
        try store.createInstance(stored)
        if let usage { try store.startUsage(usage) }
      }
      instances[id]?.isUnsaved = false
    } catch {
      instances[id]?.isUnsaved = true
      world.log(.error, "instance record not saved", ["instance": id.text, "error": error.message])
    }
  }

  /// Instances that the disk had no room for: without a record they would be strangers to the next start of the service.
  func persistUnsaved() async {
    for live in instances.values where live.isUnsaved && live.status != .deleting { await persist(live.id) }
  }

  /// What the driver needs, from the node's spec and its checkpoint.
  func launchSpec(_ release: Int) async throws(DriverFailure) -> NodeLaunch {
    do throws(PlatformError) {
      var record = record
      record.release = release
      return try await LaunchBuilder(world: world).launch(
        record: record, intent: releases[release]?.intent ?? intent)
    } catch {
      throw DriverFailure(
        LastError(phase: .restore, exitClass: .missing, message: error.message, at: world.now()))
    }
  }

  func checkpointLabel(of instance: InstanceID) async -> String {
    guard let id = spec(of: instance).cell?.checkpointId else { return "(none)" }
    return (try? await world.store.checkpoint(id))?.label ?? "\(id)"
  }

  // MARK: Views

  /// This node's line of the routing table.
  func route() -> RoutedNode? {
    guard !isForgotten else { return nil }
    let spec = intent.spec.with(contentOf: routedSpec)
    let healthy = inRotation.sorted { $0.id < $1.id }
    if let endpoint = spec.endpoint { return route(endpoint, healthy) }
    let routed = healthy.compactMap { instance in
      instance.handle.map {
        RoutedInstance(
          id: instance.id, endpoint: $0.endpoint, pid: $0.pid, limit: 1,
          pipelineLimit: spec.cell?.isolation == "request" ? 1 : 32)
      }
    }
    return RoutedNode(
      id: id, name: record.name, release: routedRelease, folderID: record.folderID, acl: spec.acl,
      refusal: refusal(healthy: routed.count), timeoutMilliseconds: UInt32(spec.timeoutSeconds * 1000),
      queueLimit: spec.queueLimit, queueAgeMilliseconds: UInt32(spec.timeoutSeconds * 1000),
      rateLimit: spec.rateLimit, callerRateLimit: spec.callerRateLimit, instances: routed,
      inputs: spec.cell?.inputs ?? [], outputs: spec.cell?.outputs ?? [])
  }

  func refusal(healthy: Int) -> String? {
    if record.deletedAt != nil { return "node '\(record.name)' is being deleted" }
    if record.suspended {
      return "node '\(record.name)' is suspended; resume it with: roost node resume \(record.name)"
    }
    // While an instance is replaced, or looked for after a restart, requests wait in the queue rather than fail.
    // One that may rest wakes for the request, which waits meanwhile: also right after a restart of the service.
    if intent.spec.scaling != nil, intent.spec.instances.min == 0, launchesFailed < 2 { return nil }
    let isProbedDown = isProbed && instances.values.contains { $0.status == .unhealthy }
    if healthy == 0, !isRecovering,
      launchesFailed > 1 || !everHealthy || isProbedDown || intent.spec.kind == .address
    {
      let preparing = intent.spec.kind == .address ? "probed for the first time" : "prepared"
      let reason = lastError.map { ": \($0.message)" } ?? ": its first instance is being \(preparing)"
      return "node '\(record.name)' has no healthy instance\(reason)"
    }
    return nil
  }

  func status() -> NodeStatus {
    NodePlanner.status(
      observation(), minimum: wantedCount == 0 ? 0 : max(1, min(intent.spec.instances.min, wantedCount)),
      everHealthy: everHealthy || attemptsFailed > 0)
  }

  func snapshot() async -> NodeSnapshot {
    let healthy = instances.values.count { $0.status == .healthy }
    var resources: [InstanceResource] = []
    var handles: [InstanceID: InstanceHandle] = [:]
    for instance in instances.values.sorted(by: { ($0.madeAt, $0.id) < ($1.madeAt, $1.id) }) {
      handles[instance.id] = instance.handle
      var usage: InstanceUsage?
      if let handle = instance.handle { usage = await driver.usage(handle) }
      resources.append(
        InstanceResource(
          id: instance.id, nodeId: id, nodeName: record.name, release: instance.release,
          status: instance.status,
          pid: instance.handle.flatMap { $0.pid > 0 ? $0.pid : nil },
          createdAt: instance.createdAt, startedAt: instance.startedAt,
          proportionalBytes: usage?.proportionalBytes,
          sharedBytes: usage?.sharedBytes, privateBytes: usage?.privateBytes, cpuSeconds: usage?.cpuSeconds,
          lastError: instance.lastError,
          address: spec(of: instance.id).kind != .cell ? instance.handle?.endpoint.text : nil,
          wireProtocol: spec(of: instance.id).kind != .cell
            ? instance.handle?.endpoint.wireProtocol.rawValue : nil,
          zone: zone(of: instance), lastProbe: instance.lastProbe))
    }
    var status = NodeStatusResource(
      status: status(), healthyInstances: healthy,
      desiredInstances: record.suspended ? 0 : wantedCount,
      release: record.release, conditions: conditions(healthy: healthy, trouble: await driver.trouble()),
      lastError: lastError, startMode: isProbed ? nil : hostReport.map { "\($0.mode): \($0.modeReason)" },
      restarts: restarts, rollOut: rollOutResource())
    if let source = intent.spec.model {
      let figures = world.telemetry.figures(of: id)
      let models = source.models.compactMap { figures.resource($0) }
      status.models = models.isEmpty ? nil : models
      status.reloads = reloads
    }
    return NodeSnapshot(status: status, instances: resources, handles: handles)
  }

  private func conditions(healthy: Int, trouble: String?) -> [Condition] {
    let all =
      intent.spec.address.map { addressFacts($0, healthy: healthy) }
      ?? intent.spec.image.map { imageFacts($0, healthy: healthy, trouble: trouble) }
      ?? (intent.spec.model == nil
        ? cellFacts(healthy: healthy) : modelFacts(healthy: healthy, trouble: trouble))
    return (all + rollOutFacts()).map { type, fact in
      if since[type]?.status != fact.0 || since[type]?.reason != fact.1 {
        since[type] = (fact.0, fact.1, world.now())
      }
      return Condition(
        type: type, status: fact.0, reason: fact.1, message: fact.2, since: since[type]?.at ?? world.now())
    }
  }

  /// A condition's type with its status, reason and message.
  typealias Fact = (String, (Bool, String, String))

  private func cellFacts(healthy: Int) -> [Fact] {
    let wanted = wantedCount
    let waiting = notBefore > world.uptime()
    let hostFact: (Bool, String, String) =
      switch host {
      case .ready:
        (
          true, "Restored",
          hostReport.map {
            "the zygote restored \($0.restored.count) variables in \(rounded($0.restoreSeconds)) s; instances start by \($0.mode) (\($0.modeReason))"
          }
            ?? "the zygote runs"
        )
      case .preparing: (false, "Restoring", "the zygote is restoring the checkpoint")
      case .down where record.suspended: (false, "Suspended", "nothing runs while the node is suspended")
      case .down where waiting:
        (false, "BackingOff", "the next attempt is at \(world.now() + (notBefore - world.uptime()))")
      case .down: (false, "NotStarted", "the zygote is not running yet")
      }
    let readyFact: (Bool, String, String) =
      if record.suspended { (false, "Suspended", "the user suspended the node") } else if wanted == 0 {
        (true, "Resting", "nobody called for long enough: no instance runs, the first request starts one")
      } else if healthy >= wanted {
        (true, "AllHealthy", "\(healthy) of \(wanted) instances are in rotation")
      } else if healthy > 0 { (false, "Replacing", "\(healthy) of \(wanted) instances are in rotation") } else
      {
        (false, waiting ? "BackingOff" : "NoInstance", lastError?.message ?? "no instance is ready yet")
      }
    let startFacts = slowStart().map { [("Starting", $0)] } ?? []
    let network = intent.spec.subnet
    let networkFact = (
      true, network == "none" ? "NoNetwork" : "HostNetwork",
      network == "none"
        ? "instances reach no network; create the node with --subnet host if its cell needs one"
        : "instances share the network of this machine"
    )
    return [("Ready", readyFact)] + startFacts + [("HostReady", hostFact)] + warmUpFacts()
      + environmentFacts() + [("Subnet", networkFact)]
  }

  /// Only where there is something to say: an environment of its own, or one that differs from the notebook's.
  private func environmentFacts() -> [Fact] {
    let pin = intent.spec.cell?.environment
    if let differences = intent.differences {
      return [("Environment", (false, "Differs", differences.joined(separator: "; ")))]
    }
    guard let pin else { return [] }
    return [
      (
        "Environment",
        (
          true, "Fits",
          "instances run in environment '\(pin.name)' (lock \(pin.lockDigest.prefix(12))), which has what the checkpoint needs"
        )
      )
    ]
  }

  /// How the example went that was run before callers' requests.
  private func warmUpFacts() -> [Fact] {
    guard let report = hostReport?.warmUp else { return [] }
    switch report.state {
    case "done": return [("WarmUp", (true, "Done", report.message))]
    case "skipped": return [("WarmUp", (false, "Skipped", report.message))]
    default:
      return [
        ("WarmUp", (false, "Failed", "\(report.message); instances take requests all the same"))
      ]
    }
  }

  /// An instance that has been starting for longer than any should.
  func slowStart() -> (Bool, String, String)? {
    let starting = instances.values.filter { [.undefined, .started, .preparing].contains($0.status) }
    guard !isRecovering, let oldest = starting.min(by: { $0.madeAt < $1.madeAt }),
      world.uptime() - oldest.madeAt > Self.slowStartAfter
    else { return nil }
    let doing =
      oldest.status == .undefined ? "its process is not there yet" : "it has not said that it is ready"
    return (
      true, "Slow",
      "instance \(oldest.id) has been starting since \(oldest.createdAt): \(doing); see: roost node logs \(record.name)"
    )
  }

  private static let slowStartAfter = Duration.seconds(5)

  private func rounded(_ seconds: Double) -> String { String((seconds * 1000).rounded() / 1000) }

  // MARK: Operations

  /// Ends the user's operations on this node whose aim is reached, or can't be.
  func settleOperations() async {
    do throws(PlatformError) {
      let pending = try await world.store.pendingOperations(resource: id.text).filter(Self.endsHere)
      // An operation is written together with its wish, which comes here a moment later: until then it can't be judged.
      if !pending.isEmpty, let stored = try await world.store.node(id),
        stored.generation > record.generation
      {
        return
      }
      failuresBefore = failuresBefore.filter { known, _ in pending.contains { $0.id == known } }
      for operation in pending {
        if failuresBefore[operation.id] == nil { failuresBefore[operation.id] = failures }
        guard let verdict = verdict(on: operation) else { continue }
        // It may have been cancelled since it was read.
        try await world.store.endOperation(try Self.ended(operation, verdict, at: world.now()))
      }
    } catch { world.log(.error, "operations not settled", ["node": id.text, "error": error.message]) }
  }

  /// The node is no more, and its operations end with it: whoever waited for its deletion does not find it any more.
  func removeRecord() async {
    let (id, name, now) = (id, record.name, world.now())
    do throws(PlatformError) {
      try await world.store.atomically { store throws(PlatformError) in
        try store.removeNode(id)
        for operation in try store.pendingOperations(resource: id.text).filter(Self.endsHere) {
          let verdict =
            operation.kind == "deleteNode" ? .reached : Verdict.failed("node '\(name)' was deleted meanwhile")
          try store.endOperation(try Self.ended(operation, verdict, at: now))
        }
      }
    } catch { world.log(.error, "node record not removed", ["node": id.text, "error": error.message]) }
  }

  /// What concerns more than this node ends elsewhere.
  private static func endsHere(_ operation: OperationRecord) -> Bool { operation.kind != ReplaceMemo.kind }

  private static func ended(
    _ operation: OperationRecord, _ verdict: Verdict, at now: Timestamp
  ) throws(PlatformError) -> OperationRecord {
    var ended = operation
    ended.done = true
    // The clock may have been set back since it was begun.
    ended.modifiedAt = max(now, operation.createdAt)
    if case .failed(let message) = verdict {
      ended.errorJSON = try StoredJSON.text(StatusResource(code: 9, message: message))
    }
    return ended
  }

  enum Verdict {
    case reached
    case failed(String)
  }

  private func verdict(on operation: OperationRecord) -> Verdict? {
    let seen = observation()
    let current = instances.values.count {
      $0.epoch == intent.epoch && $0.release == target && $0.status == .healthy
    }
    // What can't be ended while its zone is down is not waited for.
    let present = seen.instances.count { seen.waits(for: $0) }
    let settled = current >= seen.desiredCount && present == current && stable == target
    switch operation.kind {
    case "deleteNode": return nil
    case "suspendNode": return record.suspended && instances.isEmpty && host == .down ? .reached : nil
    case _ where record.suspended: return .failed("node '\(record.name)' was suspended meanwhile")
    case _ where isSuperseded(operation): return .failed(superseding(operation))
    case _ where halt != nil && made(by: operation) == halt?.release: return .failed(haltMessage)
    case _ where settled: return .reached
    case _ where intent.spec.kind == .address: return addressVerdict()
    default:
      // A failing restore fails the same way again; a died instance deserves a few attempts.
      guard let lastError, failures > failuresBefore[operation.id] ?? failures else { return nil }
      // While a release is rolled out it is the roll-out that is judged.
      guard watched == nil, isHopeless(lastError) || attemptsFailed >= 5 else { return nil }
      return .failed(
        "node '\(record.name)' did not become healthy: \(lastError.message); see: roost node describe \(record.name)"
      )
    }
  }

  /// What an unfinished operation waits for, for people.
  func progress() async -> String {
    let healthy = instances.values.count {
      $0.status == .healthy && $0.epoch == intent.epoch && $0.release == target
    }
    switch host {
    case _ where intent.spec.kind == .address:
      return record.deletedAt != nil || record.suspended
        ? "draining \(instances.count) addresses"
        : "\(healthy) of \(intent.spec.instances.count) addresses healthy"
    case .preparing where intent.spec.image != nil:
      return await driver.progress(of: id)
        ?? (record.deletedAt == nil && !record.suspended ? "getting the image" : "removing containers")
    case .down where intent.spec.image != nil && notBefore <= world.uptime(): return "getting the image"
    case .preparing where intent.spec.model != nil:
      return await driver.progress(of: id) ?? "making the model repository"
    case .preparing:
      return record.deletedAt == nil && !record.suspended ? "restoring the checkpoint" : "stopping the zygote"
    case .down where notBefore > world.uptime():
      return "backing off after: \(lastError?.message ?? "a failure")"
    case .down: return "starting the zygote"
    case .ready:
      if record.deletedAt != nil || record.suspended { return "draining \(instances.count) instances" }
      return rollOutProgress ?? "\(healthy) of \(wantedCount) instances healthy"
    }
  }
}
