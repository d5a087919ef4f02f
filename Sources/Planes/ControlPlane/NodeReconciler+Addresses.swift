import Domain
import DriverAPI
import Planning
import Storage

/// A place that an instance of an address node takes: the same address in another protocol is another place.
struct AddressSlot: Sendable {
  var key: String
  var endpoint: Endpoint
  var zone: String?
}

extension AddressSource {
  var slots: [AddressSlot] {
    let wire = endpoint.type == "http" ? Endpoint.WireProtocol.http1 : .http2
    return addresses.map {
      AddressSlot(
        key: "\(wire.rawValue) \($0.address)", endpoint: Self.endpoint($0.address, wire), zone: $0.zone)
    }
  }

  private static func endpoint(_ text: String, _ wire: Endpoint.WireProtocol) -> Endpoint {
    guard text.hasPrefix("https://"), let colon = text.lastIndex(of: ":") else {
      return Endpoint(address: text, wireProtocol: wire)
    }
    var name = text[..<colon].dropFirst(8)
    if name.hasPrefix("[") { name = name.dropFirst().dropLast() }
    return Endpoint(address: String(text.dropFirst(8)), wireProtocol: wire, serverName: String(name))
  }
}

/// Instances of addresses and images: they are probed, and the verdicts put them in rotation and take them out.
extension NodeReconciler {
  var isProbed: Bool { intent.spec.kind == .address || intent.spec.kind == .image }

  private func slot(of instance: LiveInstance) -> AddressSlot? {
    intent.spec.address?.slots.first { $0.key == instance.slot }
  }

  func zone(of instance: LiveInstance) -> String? { slot(of: instance)?.zone ?? instance.zone }

  /// Takes a place and watches it until the instance leaves.
  func occupy(_ instance: InstanceID) async {
    guard let live = instances[instance], let slot = slot(of: live) else { return }
    do throws(DriverFailure) {
      var launch = try await launchSpec(live.release)
      launch.endpoint = slot.endpoint
      let handle = try await driver.start(instance, of: launch)
      guard advance(instance, to: .preparing, { $0.handle = handle }) else { return }
      await persist(instance)
      await watch(instance)
    } catch { await discard(instance, because: error.error) }
  }

  /// Probes instances whose watch has not done so for much longer than it may: an instance that nobody looks at would stay as it
  /// is for ever. Its watch goes on when it can.
  func probeOverdue() async {
    let now = world.uptime()
    for live in instances.values where isProbed && live.handle != nil && live.status != .deleting {
      let policy = ProbePolicy(
        intent.spec.healthCheck,
        connectTimeout: .seconds(intent.spec.endpoint?.connectTimeoutSeconds ?? 5))
      // Names may be slow to resolve, and have several addresses that don't answer.
      let limit = policy.interval + policy.timeout * 4 + world.probePatience
      guard let probedAt = live.probedAt else {
        instances[live.id]?.probedAt = now
        continue
      }
      guard now - probedAt > limit else { continue }
      instances[live.id]?.probedAt = now
      world.log(.error, "probe overdue", ["node": id.text, "instance": live.id.text])
      await probe(live.id)
    }
  }

  /// Probes an instance until it leaves or the task is cancelled.
  func watch(_ instance: InstanceID) async {
    while !Task.isCancelled, let live = instances[instance], live.status != .deleting {
      if let pause = pause(of: live), pause > .zero {
        // One stream for each pause: the end of an iteration that is cancelled ends its stream.
        let (rings, bell) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        instances[instance]?.bell = bell
        await Self.wait(pause, or: rings)
      }
      await probe(instance)
    }
  }

  private static func wait(_ pause: Duration, or rings: AsyncStream<Void>) async {
    await withTaskGroup { group in
      group.addTask { try? await Task.sleep(for: pause) }
      group.addTask { for await _ in rings { break } }
      await group.next()
      group.cancelAll()
    }
  }

  /// One probe and what follows from it.
  func probe(_ instance: InstanceID) async {
    guard let live = instances[instance], live.status != .deleting, !Task.isCancelled,
      let handle = live.handle, let endpoint = spec(of: instance).endpoint
    else { return }
    let check = spec(of: instance).healthCheck
    let connectTimeout = Duration.seconds(endpoint.connectTimeoutSeconds)
    let target = ProbeTarget(handle.endpoint, check: check, connectTimeout: connectTimeout)
    let outcome = await world.probe(target)
    guard var live = instances[instance], live.status != .deleting, !Task.isCancelled else { return }
    let policy = ProbePolicy(check, connectTimeout: connectTimeout)
    var machine = live.probes ?? ProbeMachine(policy)
    machine.policy = policy
    let event = machine.probed(passed: outcome.passed)
    let now = world.now()
    live.probes = machine
    live.probedAt = world.uptime()
    live.lastProbe = ProbeResource(
      at: now, passed: outcome.passed, message: outcome.message, inARow: machine.inARow)
    let moved = outcome.passed && outcome.resolved != nil && outcome.resolved != live.resolved
    if outcome.passed { live.resolved = outcome.resolved ?? live.resolved }
    // A server that runs already is judged by its first answer; a container may take its time to start.
    let isStarting = live.status == .preparing && !machine.isHealthy && intent.spec.image != nil
    let firstVerdict = live.status == .preparing && !isStarting
    if !isStarting { live.status = machine.isHealthy ? .healthy : .unhealthy }
    if event == .entersRotation {
      live.healthySince = now
      if live.startedAt == nil, let outSince = live.outSince, intent.spec.image != nil {
        world.meters.coldStart(.image, .healthy, world.uptime() - outSince)
      }
      live.startedAt = live.startedAt ?? now
    }
    live.outSince = machine.isHealthy ? nil : live.outSince ?? world.uptime()
    let error = outcome.passed ? nil : failure(target, outcome, at: now)
    live.lastError = error ?? live.lastError
    instances[instance] = live
    if isStarting { return await replaceIfLate(instance) }
    if let error { note(error, instance, isNew: event == .leavesRotation || firstVerdict) }
    switch event {
    case .entersRotation:
      becameHealthy(instance)
      world.note(
        id, instance, live.release, "\(handle.endpoint.text) entered rotation: \(outcome.message)")
    case .leavesRotation:
      world.note(id, instance, live.release, "\(handle.endpoint.text) left rotation: \(outcome.message)")
    case .stays:
      guard moved || firstVerdict else {
        wakeIfUnsettled()
        return await replaceIfLate(instance)
      }
    }
    await persist(instance)
    await routesChanged(id)
    wake()
  }

  /// Operations that wait for this node look again; with all verdicts good there is nothing to look at.
  private func wakeIfUnsettled() {
    if instances.values.contains(where: { $0.status != .healthy }) { wake() }
  }

  func failure(_ target: ProbeTarget, _ outcome: ProbeOutcome, at now: Timestamp) -> LastError {
    LastError(
      phase: .probe, exitClass: .refused, message: "\(target.description): \(outcome.message)",
      logReference: "roost node logs \(record.name)", at: now)
  }

  private func note(_ error: LastError, _ instance: InstanceID, isNew: Bool) {
    let release = release(of: instance)
    lastError = error
    attemptsFailed += 1
    if isNew {
      world.note(id, instance, release, error.message)
      world.log(.warn, "probe failed", ["node": id.text, "instance": instance.text, "error": error.message])
    }
  }

  /// The next probe of an instance comes now.
  func probeSoon(_ instance: InstanceID) { instances[instance]?.bell?.yield() }

  func probeAll() {
    for instance in instances.values { instance.bell?.yield() }
  }

  // MARK: Views

  func route(_ endpoint: EndpointSettings, _ healthy: [LiveInstance]) -> RoutedNode {
    let spec = intent.spec.with(contentOf: routedSpec)
    let limit = endpoint.perInstanceLimit
    let routed = healthy.compactMap { instance in
      instance.handle.map {
        RoutedInstance(
          id: instance.id,
          endpoint: Endpoint(
            address: instance.resolved ?? $0.endpoint.address, wireProtocol: $0.endpoint.wireProtocol,
            serverName: $0.endpoint.serverName),
          limit: limit, pipelineLimit: limit, zone: zone(of: instance) ?? "",
          healthySince: instance.healthySince, callEndpoint: $0.callEndpoint)
      }
    }
    return RoutedNode(
      id: id, name: record.name, release: routedRelease, folderID: record.folderID, acl: spec.acl,
      refusal: refusal(healthy: routed.count),
      timeoutMilliseconds: milliseconds(endpoint.totalTimeoutSeconds), queueLimit: spec.queueLimit,
      queueAgeMilliseconds: milliseconds(spec.timeoutSeconds),
      proxying: RoutedProxying(
        connectTimeoutMilliseconds: milliseconds(endpoint.connectTimeoutSeconds),
        firstByteTimeoutMilliseconds: milliseconds(spec.timeoutSeconds),
        idleTimeoutMilliseconds: milliseconds(endpoint.idleTimeoutSeconds),
        passCredentials: endpoint.passCredentials,
        slowStartMilliseconds: milliseconds(endpoint.slowStartSeconds)),
      rateLimit: spec.rateLimit, callerRateLimit: spec.callerRateLimit, instances: routed,
      models: spec.model?.models.map { RoutedModel($0) })
  }

  private func milliseconds(_ seconds: Double) -> UInt32 { UInt32((seconds * 1000).rounded()) }

  func addressFacts(_ source: AddressSource, healthy: Int) -> [Fact] {
    let wanted = source.addresses.count
    let ready: (Bool, String, String) =
      if record.suspended {
        (false, "Suspended", "the user suspended the node: nothing is probed and nothing gets requests")
      } else if healthy >= wanted {
        (true, "AllHealthy", "\(healthy) of \(wanted) addresses are in rotation")
      } else if healthy > 0 {
        (false, "SomeUnhealthy", "\(healthy) of \(wanted) addresses are in rotation; \(complaint)")
      } else {
        (false, "NoneHealthy", complaint)
      }
    return [("Ready", ready), ("HealthCheck", healthFact())]
  }

  func healthFact() -> (Bool, String, String) {
    guard let check = intent.spec.healthCheck else {
      let what = intent.spec.image == nil ? "an address" : "an instance"
      return (
        false, "ConnectOnly",
        "no health check: \(what) is in rotation while a connection to it can be made, whatever it answers"
      )
    }
    let question =
      check.type == "grpc"
      ? "gRPC health\(check.service.isEmpty ? "" : " of \(check.service)")" : "GET \(check.path)"
    return (
      true, "Configured",
      "\(question) every \(check.intervalSeconds) s within \(check.timeoutSeconds) s; out after \(check.failsThreshold) fails in a row, back after \(check.passesThreshold) passes"
    )
  }

  var complaint: String {
    let failing = instances.values.filter { $0.status == .unhealthy }.sorted { $0.id < $1.id }
    return failing.first?.lastError?.message ?? "no address has answered yet"
  }

  /// Ends an operation when each wanted address has been judged: reached when enough are healthy.
  func addressVerdict() -> Verdict? {
    let keys = Set(intent.spec.address?.slots.map(\.key) ?? [])
    let wanted = instances.values.filter { $0.slot.map(keys.contains) ?? false && $0.status != .deleting }
    let healthy = wanted.count { $0.status == .healthy }
    guard wanted.count == keys.count, wanted.allSatisfy({ $0.status == .healthy || $0.status == .unhealthy })
    else { return nil }
    if healthy >= intent.spec.instances.min { return instances.count == keys.count ? .reached : nil }
    // A server that is just starting deserves a few looks.
    guard wanted.allSatisfy({ $0.status == .healthy || ($0.lastProbe?.inARow ?? 0) >= 3 }) else { return nil }
    let former = instances.count > keys.count ? "; the former addresses stay in rotation" : ""
    return .failed(
      "node '\(record.name)': \(healthy) of \(keys.count) addresses are healthy, \(intent.spec.instances.min) must be: \(complaint)\(former); they are probed on, see: roost node describe \(record.name)"
    )
  }

  // MARK: Restart of the service

  /// Takes the places of the last run again. Each instance is judged anew by a probe before the first table is published.
  func recoverAddresses(_ records: [InstanceRecord]) async {
    for stored in records {
      guard let memo = stored.handleJSON.flatMap({ try? StoredJSON.value(InstanceMemo.self, from: $0) }),
        let slot = memo.slot
      else {
        await drop(stored.id)
        continue
      }
      instances[stored.id] = LiveInstance(
        id: stored.id, release: stored.release, epoch: memo.epoch, status: .preparing, handle: memo.handle,
        createdAt: stored.createdAt, madeAt: .nanoseconds(instances.count), startedAt: stored.startedAt,
        slot: slot)
    }
    keepPlaces(for: record.release, intent)
    releases[target]?.host = instances.isEmpty ? .down : .ready
    await withDiscardingTaskGroup { group in
      for instance in instances.keys {
        trust(instance)
        group.addTask { await self.probe(instance) }
      }
    }
  }
}
