import Domain
import DriverAPI
import Planning
import Storage

/// Where the instances of an image node are put, and what becomes of them when a zone is down.
extension NodeReconciler {
  private static let zoneInterval = Duration.seconds(1)

  /// The zones of the node as its driver sees them, in the order of the spec. Of a node that names none: the usual one.
  func ownZones(_ all: [DriverZone]) -> [DriverZone] {
    guard intent.spec.image != nil else { return [] }
    if intent.spec.zones.isEmpty { return Array(all.prefix(1)) }
    return intent.spec.zones.map { placement in
      all.first { $0.name == placement.zone }
        ?? DriverZone(
          name: placement.zone, endpoint: "", trouble: "this server has no zone of that name any more")
    }
  }

  /// Looks at the zones; says in the node's log which went down and which came back.
  func seeZones() async {
    let all = await driver.zones()
    let prepared = await driver.preparedZones(of: id, release: target)
    let seen = ownZones(all)
    guard !seen.isEmpty else { return }
    defer { (zones, preparedZones) = (seen, prepared) }
    guard seen.count > 1, !zones.isEmpty else { return }
    for zone in seen {
      let before = zones.first { $0.name == zone.name }?.trouble
      if let trouble = zone.trouble, before == nil {
        let others = seen.filter { $0.trouble == nil }.map(\.name)
        let rest =
          others.isEmpty
          ? "no other zone of the node is up"
          : "instances are started in \(others.joined(separator: ", ")) meanwhile"
        world.note(id, nil, record.release, "zone \(zone.name) is down: \(trouble); \(rest)")
      } else if zone.trouble == nil, before != nil {
        world.note(id, nil, record.release, "zone \(zone.name) is up again")
      }
    }
  }

  /// The node as its planner sees it.
  func observation() -> NodeObservation {
    NodeObservation(
      now: world.uptime(), isDeleting: record.deletedAt != nil, isSuspended: record.suspended,
      epoch: intent.epoch,
      desiredCount: wantedCount, slots: intent.spec.address?.slots.map(\.key), release: record.release,
      stable: stable, isHalted: halt != nil, policy: rollOutPolicy,
      hosts: releases.map { .init(release: $0, host: $1.host, notBefore: $1.notBefore) }.sorted {
        $0.release < $1.release
      },
      instances: instances.values.map {
        .init(
          id: $0.id, release: $0.release, epoch: $0.epoch, status: $0.status, slot: $0.slot, zone: $0.zone)
      }.sorted { $0.id < $1.id }, zones: zoneViews)
  }

  /// The zones as the planner sees them: one in which the release is not ready yet can't be used.
  var zoneViews: [ZoneView] {
    zones.count < 2
      ? [] : zones.map { ZoneView($0.name, isUp: $0.trouble == nil && preparedZones.contains($0.name)) }
  }

  /// Notices zones that come and go, and gets zones ready that could not be when the release was.
  func keepZones() async {
    while !Task.isCancelled {
      try? await Task.sleep(for: Self.zoneInterval)
      guard intent.spec.image != nil, !Task.isCancelled else { continue }
      let before = zoneViews
      await seeZones()
      if zoneViews != before { wake() }
      await prepareMissingZones()
    }
  }

  private func prepareMissingZones() async {
    let release = target
    guard zones.count > 1, releases[release]?.host == .ready,
      record.deletedAt == nil, !record.suspended,
      zones.contains(where: { $0.trouble == nil && !preparedZones.contains($0.name) }),
      world.uptime() >= zonesNotBefore, let launch = try? await launchSpec(release)
    else { return }
    // It says by itself in the condition what is wrong with a zone; the next try is not made at once.
    zonesNotBefore = world.uptime() + .seconds(5)
    guard let report = try? await driver.prepare(launch), releases[release]?.host == .ready else { return }
    releases[release]?.report = report
    await seeZones()
    wake()
  }

  func zoneFacts() -> [Fact] {
    guard zones.count > 1 else { return [] }
    let down = zones.filter { $0.trouble != nil }
    let unready = zones.filter { $0.trouble == nil && !preparedZones.contains($0.name) }
    let spread = zones.map { zone in
      "\(zone.name): \(instances.values.count { $0.zone == zone.name && $0.status == .healthy })"
    }.joined(separator: ", ")
    if let first = down.first {
      let more = down.dropFirst().map { "; zone \($0.name) too: \($0.trouble ?? "")" }.joined()
      return [
        (
          "Zones",
          (
            false, "ZoneDown",
            "zone \(first.name) is down: \(first.trouble ?? "")\(more); healthy instances by zone: \(spread)"
          )
        )
      ]
    }
    if let first = unready.first, host == .ready {
      let said = hostReport?.warnings.first { $0.hasPrefix("zone \(first.name): ") }
      return [
        (
          "Zones",
          (
            false, "ZoneNotReady",
            "\(said ?? "zone \(first.name) is being made ready"); healthy instances by zone: \(spread)"
          )
        )
      ]
    }
    return [("Zones", (true, "AllUp", "healthy instances by zone: \(spread)"))]
  }
}
