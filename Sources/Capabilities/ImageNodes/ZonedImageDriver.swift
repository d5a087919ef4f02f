public import Domain
public import DriverAPI
import Synchronization

/// Image nodes over several engines: each is a zone, with a driver of its own.
///
/// A release is ready when it is ready in one of its node's zones; a zone that is down delays no other.
public final class ZonedImageDriver: InstanceDriver {
  /// By zone, the usual one first.
  let drivers: [ImageDriver]
  private let stream: AsyncStream<InstanceExit>
  private let reports: AsyncStream<InstanceExit>.Continuation

  /// - Precondition: at least one configuration; their zones and sockets differ.
  public init(_ configurations: [ImageDriverConfiguration]) {
    let claims = EngineClaims()
    drivers = configurations.enumerated().map { place, configuration in
      var configuration = configuration
      configuration.place = place
      configuration.zoneCount = configurations.count
      return ImageDriver(configuration: configuration, claims: claims)
    }
    (stream, reports) = AsyncStream.makeStream(of: InstanceExit.self)
  }

  /// A limit that one of the zones can't enforce is not enforced.
  public var capabilities: DriverCapabilities {
    var all = usual.capabilities
    all.missing = all.missing.mapValues { reason in zoneName(usual).map { "zone \($0): \(reason)" } ?? reason
    }
    for driver in drivers {
      let other = driver.capabilities
      all.enforced = Array(Set(all.enforced).union(other.enforced)).sorted()
      for (limit, reason) in other.missing where driver !== usual {
        all.missing = all.missing.adding(reason, to: limit, zone: zoneName(driver))
      }
    }
    all.enforced.removeAll { all.missing[$0] != nil }
    return all
  }

  /// nil where there is only one.
  private func zoneName(_ driver: ImageDriver) -> String? { drivers.count == 1 ? nil : driver.zone }

  public func exits() -> AsyncStream<InstanceExit> { stream }

  /// Watches all engines until the task is cancelled.
  public func run() async {
    await withDiscardingTaskGroup { group in
      for driver in drivers {
        group.addTask { await driver.run() }
        group.addTask { for await exit in driver.exits() { self.reports.yield(exit) } }
      }
    }
  }

  /// Lets go of all containers without ending them, as the end of the process would.
  public func close() {
    for driver in drivers { driver.close() }
    reports.finish()
  }

  private var usual: ImageDriver { drivers[0] }

  /// Who has an instance. One of a time when there were no zones is in the usual one.
  private func driver(_ handle: InstanceHandle) -> ImageDriver? { driver(handle.zone) }

  private func driver(_ zone: String?) -> ImageDriver? {
    guard let zone else { return usual }
    return drivers.first { $0.zone == zone } ?? (zone == ImageDriverConfiguration.usualZone ? usual : nil)
  }

  /// The drivers of a node's zones, those that are well first.
  private func drivers(of launch: NodeLaunch) -> (found: [ImageDriver], unknown: [String]) {
    guard let placements = launch.placements, !placements.isEmpty else { return ([usual], []) }
    let found = placements.compactMap { driver($0.zone) }
    return (
      found.filter { $0.troubleNow == nil } + found.filter { $0.troubleNow != nil },
      placements.map(\.zone).filter { driver($0) == nil }
    )
  }

  // MARK: Hosts

  /// In each zone of the node that is well. Fails when no zone could be prepared, with the reason of the first.
  public func prepare(_ launch: NodeLaunch) async throws(DriverFailure) -> HostReport {
    let (found, unknown) = drivers(of: launch)
    var report: HostReport?
    var failure: DriverFailure?
    var unlimited: [String: String]?
    var warnings = unknown.map { "zone \($0) is not one of this server's: \(names)" }
    for driver in found {
      // A zone that is down is asked only when no other would do.
      if report != nil, let trouble = driver.troubleNow {
        warnings.append("zone \(driver.zone): \(trouble)")
        continue
      }
      do throws(DriverFailure) {
        let made = try await driver.prepare(launch)
        warnings += made.warnings
        report = report ?? made
        for (limit, reason) in made.unlimited ?? [:] {
          unlimited = (unlimited ?? [:]).adding(reason, to: limit, zone: zoneName(driver))
        }
        if unlimited == nil { unlimited = made.unlimited }
      } catch {
        warnings.append("zone \(driver.zone): \(error.error.message)")
        failure = failure ?? error
      }
    }
    guard var report else {
      let words = ImageWords(launch: launch, now: usual.configuration.now)
      throw failure
        ?? words.failure(
          .launch, .refused,
          "zones: this server has none of \(unknown.joined(separator: ", ")); it has \(names): give others with: roost node update \(launch.nodeName) --zone NAME"
        )
    }
    report.warnings = warnings
    report.unlimited = unlimited
    return report
  }

  private var names: String { drivers.map(\.zone).joined(separator: ", ") }

  public func start(_ id: InstanceID, of launch: NodeLaunch) async throws(DriverFailure) -> InstanceHandle {
    guard let driver = driver(launch.zone ?? launch.placements?.first?.zone) else {
      throw ImageWords(launch: launch, now: usual.configuration.now).failure(
        .launch, .hang, "zone \(launch.zone ?? "") is not one of this server's: \(names)")
    }
    // Its zone came up after the release was made ready. What was retired is ready nowhere, and is not to come back.
    let host = HostName(launch.node, launch.release)
    if !driver.isPrepared(host), drivers.contains(where: { $0.isPrepared(host) }) {
      _ = try await driver.prepare(launch)
    }
    return try await driver.start(id, of: launch)
  }

  public func retire(_ node: NodeID, release: Int) async {
    await all { await $0.retire(node, release: release) }
  }

  public func forget(_ node: NodeID) async { await all { await $0.forget(node) } }

  public func sweep(keeping: @Sendable () async -> [(node: NodeID, release: Int)]?) async {
    await withoutActuallyEscaping(keeping) { keeping in await all { await $0.sweep(keeping: keeping) } }
  }

  private func all(_ work: @escaping @Sendable (ImageDriver) async -> Void) async {
    await withDiscardingTaskGroup { group in
      for driver in drivers { group.addTask { await work(driver) } }
    }
  }

  public func subnetsChanged() { for driver in drivers { driver.subnetsChanged() } }

  // MARK: Instances

  public func begin(_ handle: InstanceHandle) async throws(DriverFailure) {}
  public func recover(_ handle: InstanceHandle) async -> Bool {
    await driver(handle)?.recover(handle) ?? false
  }
  public func probe(_ handle: InstanceHandle, timeout: Duration) async -> Bool {
    await driver(handle)?.probe(handle, timeout: timeout) ?? false
  }
  public func stop(_ handle: InstanceHandle, grace: Duration) async {
    await driver(handle)?.stop(handle, grace: grace)
  }
  public func kill(_ handle: InstanceHandle) async { await driver(handle)?.kill(handle) }
  public func freeze(_ handle: InstanceHandle, _ isFrozen: Bool) async -> Bool {
    await driver(handle)?.freeze(handle, isFrozen) ?? false
  }
  public func usage(_ handle: InstanceHandle) async -> InstanceUsage? {
    await driver(handle)?.usage(handle)
  }
  public func postmortem(_ handle: InstanceHandle) async -> LastError? {
    await driver(handle)?.postmortem(handle)
  }

  public func meters(_ handles: [InstanceHandle]) async -> [InstanceID: InstanceMeter] {
    await withTaskGroup(of: [InstanceID: InstanceMeter].self) { group in
      for driver in drivers {
        let own = handles.filter { self.driver($0) === driver }
        if !own.isEmpty { group.addTask { await driver.meters(own) } }
      }
      return await group.reduce(into: [:]) { $0.merge($1) { first, _ in first } }
    }
  }

  public func startTimes(of instance: InstanceID) async -> (create: Duration, start: Duration)? {
    for driver in drivers { if let times = await driver.startTimes(of: instance) { return times } }
    return nil
  }

  // MARK: What is seen of engines

  /// With several zones their trouble is told by zone.
  public func trouble() async -> String? {
    if drivers.count == 1 { return usual.troubleNow }
    let troubles = drivers.compactMap { driver in driver.troubleNow.map { "zone \(driver.zone): \($0)" } }
    return troubles.count == drivers.count ? troubles.joined(separator: "; ") : nil
  }

  public func zones() async -> [DriverZone] { drivers.map(\.seen) }

  public func preparedZones(of node: NodeID, release: Int) async -> Set<String> {
    Set(drivers.filter { $0.isPrepared(HostName(node, release)) }.map(\.zone))
  }

  public func progress(of node: NodeID) async -> String? {
    for driver in drivers { if let progress = await driver.progress(of: node) { return progress } }
    return nil
  }
}

/// Which zone an engine is, so that no two zones take the same one for theirs.
final class EngineClaims: Sendable {
  private let zones = Mutex<[String: String]>([:])

  /// The other zone that has this engine; nil when it is free or this zone's.
  func claim(_ engine: String, for zone: String) -> String? {
    zones.withLock { zones in
      if let other = zones[engine], other != zone { return other }
      for (known, name) in zones where name == zone && known != engine { zones[known] = nil }
      zones[engine] = zone
      return nil
    }
  }
}
