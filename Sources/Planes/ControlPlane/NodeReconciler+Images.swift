import Domain
import DriverAPI
import Planning
import Storage

/// Instances of images: containers that are started here, and probed as addresses are.
extension NodeReconciler {
  /// Starts an instance and watches it until it leaves.
  func run(_ instance: InstanceID) async {
    do throws(DriverFailure) {
      var launch = try await launchSpec(release(of: instance))
      launch.zone = instances[instance]?.zone
      let handle = try await driver.start(instance, of: launch)
      if let times = await driver.startTimes(of: instance) {
        world.meters.coldStart(.image, .create, times.create)
        world.meters.coldStart(.image, .start, times.start)
      }
      let now = world.uptime()
      let isWanted = advance(instance, to: .preparing) {
        $0.handle = handle
        $0.outSince = now
      }
      // Its stop may have been asked for before there was anything to stop.
      guard isWanted else { return await driver.stop(handle, grace: .zero) }
      await persist(instance)
      await watch(instance)
    } catch {
      launchesFailed += 1
      // The image may have to be got again.
      if error.error.phase == .launch { releases[release(of: instance)]?.host = .down }
      await discard(instance, because: error.error)
    }
    wake()
  }

  /// How long to wait before the next probe. A container that starts is asked often at first: who starts in a tenth of a second
  /// must not wait for a whole one.
  func pause(of live: LiveInstance) -> Duration? {
    guard let pause = live.probes?.pause, intent.spec.image != nil, live.status == .preparing,
      let outSince = live.outSince
    else { return live.probes?.pause }
    return min(pause, max(.milliseconds(25), (world.uptime() - outSince) / 8))
  }

  /// An instance that has been out of rotation for too long won't come back by itself.
  func replaceIfLate(_ instance: InstanceID) async {
    guard let source = spec(of: instance).image, let live = instances[instance], live.status != .healthy,
      live.status != .deleting, let outSince = live.outSince,
      world.uptime() - outSince > .seconds(source.startTimeoutSeconds)
    else { return }
    let seen = live.lastError?.message ?? "no answer"
    var message =
      live.startedAt == nil
      ? "instance \(instance) did not become healthy within \(source.startTimeoutSeconds) s: \(seen)"
      : "instance \(instance) was unhealthy for \(source.startTimeoutSeconds) s: \(seen)"
    if live.startedAt == nil, live.lastProbe?.message.contains("refused") == true {
      message +=
        "; nothing listens on port \(source.port) in the container: is --port right, and does it listen on 0.0.0.0?"
    }
    if live.startedAt == nil { launchesFailed += 1 }
    await discard(
      instance,
      because: LastError(
        phase: .probe, exitClass: .timeout, message: message,
        logReference: "roost node logs \(record.name) --instance \(instance)", at: world.now()))
  }

  /// The same would happen again.
  ///
  /// - Parameter isNew: it is of a release that has not served yet.
  func isHopeless(_ error: LastError, isNew: Bool = false) -> Bool {
    if intent.spec.image == nil {
      if error.phase == .restore && error.exitClass != .signal { return true }
      guard intent.spec.model?.image != nil else { return false }
    }
    switch (error.phase, error.exitClass) {
    case (.launch, .missing), (.launch, .refused), (.execute, .missing), (.probe, .timeout):
      return isNew || !everHealthy
    default: return false
    }
  }

  // MARK: Views

  func imageFacts(_ source: ImageSource, healthy: Int, trouble: String?) -> [Fact] {
    let wanted = wantedCount
    let waiting = notBefore > world.uptime()
    let ready: (Bool, String, String) =
      if record.suspended {
        (false, "Suspended", "the user suspended the node: its containers are removed")
      } else if wanted == 0 {
        (true, "Resting", "nobody called for long enough: no container runs, the first request starts one")
      } else if healthy >= wanted {
        (true, "AllHealthy", "\(healthy) of \(wanted) instances are in rotation")
      } else if instances.values.contains(where: { $0.status == .unhealthy }) {
        (false, "SomeUnhealthy", "\(healthy) of \(wanted) instances are in rotation; \(complaint)")
      } else if healthy > 0 {
        (false, "Replacing", "\(healthy) of \(wanted) instances are in rotation")
      } else {
        (
          false, waiting ? "BackingOff" : "NoInstance",
          starting ?? lastError?.message ?? "no instance is ready yet"
        )
      }
    let image: (Bool, String, String) =
      switch host {
      case .ready: (true, "Pinned", "instances are made of \(hostReport?.modeReason ?? source.reference)")
      case .preparing: (false, "Getting", "the image is being checked and got")
      case .down where record.suspended: (false, "Suspended", "nothing runs while the node is suspended")
      case .down where waiting:
        (false, "BackingOff", "the next attempt is at \(world.now() + (notBefore - world.uptime()))")
      case .down: (false, "NotStarted", "the image was not asked for yet")
      }
    let network: (Bool, String, String) =
      intent.spec.subnet == "none"
      ? (true, "NoNetwork", "instances reach no network and not each other")
      : (
        true, "OwnNetwork",
        "instances have a network of the node's own with a way out, and don't reach each other"
      )
    var facts: [Fact] = [("Ready", ready)]
    if let slow = slowStart() { facts.append(("Starting", slow)) }
    facts += [
      ("Image", image), ("HealthCheck", healthFact()), ("Engine", engineFact(trouble)),
      ("Subnet", network),
    ]
    if let disks = diskFact(source) { facts.append(("Disk", disks)) }
    facts += zoneFacts()
    if let telemetry = world.telemetry.fact(of: id) { facts.append(("Telemetry", telemetry)) }
    return facts
  }

  func engineFact(_ trouble: String?) -> (Bool, String, String) {
    trouble.map {
      (
        false, "Unreachable",
        "\($0); instances serve on as long as they answer, none can be started or stopped"
      )
    } ?? (true, "Reachable", "the container engine answers")
  }

  /// Only where instances have files that outlive a request and are not in memory.
  private func diskFact(_ source: ImageSource) -> (Bool, String, String)? {
    guard let unlimited = hostReport?.unlimited else { return nil }
    let volume = source.diskGigabytes.map { "\($0) GB at \(source.diskPath)" }
    let root =
      source.readOnlyRoot
      ? nil : "\(source.rootDiskGigabytes ?? ImageSource.usualRootDiskGigabytes) GB of the image's own files"
    let sizes = [("disk", volume), ("root", root)].compactMap { name, size in size.map { (name, $0) } }
    let open = sizes.compactMap { name, size in unlimited[name].map { "\(size): \($0)" } }
    if open.isEmpty {
      let all = sizes.map(\.1).joined(separator: " and ")
      return (true, "Enforced", "an instance can take \(all); more is refused to it alone")
    }
    return (
      false, "NotEnforced",
      "an instance can fill the disk of the container engine, which others need too; not enforced: \(open.joined(separator: "; "))"
    )
  }

  /// What an instance that was never healthy last answered.
  private var starting: String? {
    instances.values.filter { $0.status == .preparing }.sorted { $0.id < $1.id }.lazy.compactMap {
      live in live.lastError.map { "instance \(live.id) starts: \($0.message)" }
    }.first
  }

  // MARK: Restart of the service

  /// Finds the containers of the last run. Those that run go on being probed; of the others it is told how they ended.
  func recoverImages(_ records: [InstanceRecord]) async {
    everHealthy = records.contains { $0.startedAt != nil }
    for stored in records {
      guard let memo = stored.handleJSON.flatMap({ try? StoredJSON.value(InstanceMemo.self, from: $0) })
      else {
        await drop(stored.id)
        continue
      }
      instances[stored.id] = LiveInstance(
        id: stored.id, release: stored.release, epoch: memo.epoch, status: .preparing, handle: memo.handle,
        createdAt: stored.createdAt, madeAt: .nanoseconds(instances.count), startedAt: stored.startedAt,
        zone: memo.handle.zone, outSince: world.uptime())
    }
    await withDiscardingTaskGroup { group in
      for instance in instances.values { group.addTask { await self.recoverImage(instance) } }
    }
  }

  private func recoverImage(_ instance: LiveInstance) async {
    guard let handle = instance.handle else { return }
    guard await driver.recover(handle) else {
      if let error = await driver.postmortem(handle) {
        lastError = error
        world.note(id, instance.id, instance.release, "\(error.message) (while roost was down)")
      }
      instances[instance.id]?.status = .deleting
      await driver.stop(handle, grace: .zero)
      return await drop(instance.id)
    }
    trust(instance.id)
    await probe(instance.id)
  }
}
