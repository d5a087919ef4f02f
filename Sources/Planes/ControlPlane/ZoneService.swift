public import Domain
import DriverAPI
public import Storage
import Telemetry

/// Zones of image nodes, and the networks in them that nodes share.
public struct ZoneService: Sendable {
  let world: NodeWorld
  let fleet: Fleet

  public init(world: NodeWorld, fleet: Fleet) {
    self.world = world
    self.fleet = fleet
  }

  /// - Parameter shows: whether instances of a folder's nodes are counted.
  public func zones(_ shows: (FolderID) -> Bool) async -> [ZoneResource] {
    let instances = await fleet.views().filter { $0.spec.kind == .image && shows($0.folder) }
      .flatMap(\.instances)
    let all = await world.images.zones()
    return all.enumerated().map { place, zone in
      let own = instances.filter { ($0.zone ?? all[0].name) == zone.name }
      return ZoneResource(
        name: zone.name, status: zone.trouble != nil ? "DOWN" : zone.machine == nil ? "UNKNOWN" : "UP",
        message: zone.trouble,
        since: zone.since, engine: zone.endpoint, engineVersion: zone.machine?.version,
        cpus: zone.machine?.cpus, memoryBytes: zone.machine?.memoryBytes,
        storageDriver: zone.machine?.storageDriver, instances: own.count,
        healthyInstances: own.count { $0.status == .healthy })
    }
  }

  public func create(
    _ request: CreateSubnetRequest, folder: FolderID, by subject: String
  ) async throws(PlatformError) -> SubnetRecord {
    try ResourceName.check(request.name)
    let zones = await world.images.zones().map(\.name)
    let zone = request.zone ?? zones.first ?? ""
    guard zones.contains(zone) else {
      throw .invalid(
        "zone", "zone: '\(zone)' is unknown; this server has \(zones.joined(separator: ", "))")
    }
    let record = SubnetRecord(
      id: .random(), folderID: folder, name: request.name, zone: zone, cidr: request.cidr,
      isInternal: request.internal ?? false, createdAt: world.now(), createdBy: subject)
    let pool = world.nodeNetworks.flatMap { SubnetRange($0) }.map { [("the networks of nodes", $0)] } ?? []
    try await world.store.atomically { store throws(PlatformError) in
      let others = try store.subnets().compactMap { other in
        SubnetRange(other.cidr).map { ("subnet '\(other.name)'", $0) }
      }
      _ = try SubnetValidation.range(request.cidr, taken: pool + others)
      try store.createSubnet(record)
    }
    return record
  }

  /// Throws `failedPrecondition` that names the nodes which use it. Its network goes as soon as its engine is there.
  public func delete(_ record: SubnetRecord) async throws(PlatformError) {
    try await world.store.atomically { store throws(PlatformError) in
      let nodes = try store.nodesUsing(record)
      guard nodes.isEmpty else {
        throw PlatformError(
          .failedPrecondition,
          "subnet '\(record.name)' is used by \(nodes.count == 1 ? "node" : "nodes") \(nodes.joined(separator: ", ")) (also former releases count, which can be returned to): delete \(nodes.count == 1 ? "it" : "them") first",
          origin: .caller)
      }
      try store.deleteSubnet(record.id)
    }
    world.images.subnetsChanged()
  }
}

extension NodeWorld {
  /// Throws what names the field when a node asks for a zone or a subnet that there isn't.
  func checkZones(of spec: NodeSpec, in folder: FolderID) async throws(PlatformError) {
    guard !spec.zones.isEmpty else { return }
    let known = spec.kind == .image ? await images.zones().map(\.name) : ["local"]
    try SubnetValidation.check(spec.zones, known: known, kind: spec.kind)
    for (index, placement) in spec.zones.enumerated() {
      guard let name = placement.subnet else { continue }
      let field = "zones[\(index)].subnet"
      guard spec.subnet != "none" else {
        throw .invalid(
          field, "\(field): subnet none is given too, which is no network at all; give one of them")
      }
      guard let subnet = try await store.subnet(named: name, in: folder) else {
        throw PlatformError(
          .notFound,
          "\(field): there is no subnet '\(name)' in the node's folder; make it first: roost subnet create \(name) --zone \(placement.zone) --cidr 10.77.0.0/24",
          origin: .caller, field: field)
      }
      guard subnet.zone == placement.zone else {
        throw .invalid(
          field, "\(field): '\(name)' is in zone \(subnet.zone), not in \(placement.zone); make one there")
      }
    }
  }
}

/// Zones as metrics.
public enum ZoneMetrics {
  /// Prometheus text; nothing where there are no zones.
  public static func text(_ zones: [ZoneResource]) -> String {
    guard !zones.isEmpty else { return "" }
    var text = PrometheusText()
    text.family("roost_zone_up", .gauge, "1 while instances can be started in a zone, 0 while it is down.")
    for zone in zones { text.sample("roost_zone_up", [("zone", zone.name)], zone.status == "UP" ? 1 : 0) }
    text.family("roost_zone_instances", .gauge, "Instances of image nodes in a zone.")
    for zone in zones {
      text.sample(
        "roost_zone_instances", [("zone", zone.name), ("healthy", "true")], zone.healthyInstances)
      text.sample(
        "roost_zone_instances", [("zone", zone.name), ("healthy", "false")],
        zone.instances - zone.healthyInstances)
    }
    return String(decoding: text.bytes, as: UTF8.self)
  }
}
