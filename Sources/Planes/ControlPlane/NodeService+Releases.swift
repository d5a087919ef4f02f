public import Domain
public import Storage

extension NodeService {
  /// The number of the release that a changed intent is: that of the one that serves, if it is made of the same, else a new one.
  func releaseNumber(for intent: NodeIntent, of node: NodeRecord) async throws(PlatformError) -> Int {
    let all = try await world.store.releases(node: node.id)
    for release in all where release.state == .serving && release.number != node.release {
      let spec = try StoredJSON.value(NodeIntent.self, from: release.specJSON).spec
      if spec.makesSameInstances(as: intent.spec) { return release.number }
    }
    return (all.map(\.number).max() ?? node.release) + 1
  }

  /// Wishes a former release again, with the settings around it as they are now.
  ///
  /// - Parameter number: nil: the one that serves while the newest is rolled out or failed, else the one before it that served.
  public func rollBack(
    _ node: NodeRecord, to number: Int?, by subject: String
  ) async throws(PlatformError) -> OperationRecord {
    let all = try await world.store.releases(node: node.id)
    let release = try Self.choice(number, of: node, among: all)
    let former = try StoredJSON.value(NodeIntent.self, from: release.specJSON)
    if let id = former.spec.cell?.checkpointId, try await world.store.checkpoint(id) == nil {
      throw PlatformError(
        .failedPrecondition,
        "release: checkpoint \(id) of release \(release.number) is gone; make a new release: roost node update \(node.name) --checkpoint NAME",
        origin: .caller, field: "release")
    }
    return try await change(
      node, kind: "rollbackNode", description: "Roll node \(node.name) back to release \(release.number)",
      by: subject
    ) { record, intent throws(PlatformError) in
      record.release = release.number
      intent.spec = intent.spec.with(contentOf: former.spec)
      intent.example = former.example
    }
  }

  private static func choice(
    _ number: Int?, of node: NodeRecord, among all: [ReleaseRecord]
  ) throws(PlatformError) -> ReleaseRecord {
    let known = "roost node history \(node.name)"
    if let number {
      guard let release = all.first(where: { $0.number == number }) else {
        throw PlatformError(
          .notFound, "release: node '\(node.name)' has no release \(number) (any more); see: \(known)",
          origin: .caller, field: "release")
      }
      guard number != node.release else {
        throw PlatformError(
          .failedPrecondition, "release: \(number) is the release that is wished already; see: \(known)",
          origin: .caller, field: "release")
      }
      return release
    }
    let others = all.filter { $0.number != node.release }
    let chosen =
      others.first { $0.state == .serving }
      ?? others.first { $0.number < node.release && $0.state == .superseded && $0.message.isEmpty }
    guard let chosen else {
      throw PlatformError(
        .failedPrecondition,
        "release: node '\(node.name)' has no former release that served; see: \(known)", origin: .caller,
        field: "release")
    }
    return chosen
  }

  /// Newest first.
  public func releases(of node: NodeRecord) async throws(PlatformError) -> [ReleaseResource] {
    var counts: [Int: Int] = [:]
    for instance in await fleet.snapshot(of: node.id)?.instances ?? [] {
      counts[instance.release, default: 0] += 1
    }
    return try await world.store.releases(node: node.id).map { record throws(PlatformError) in
      ReleaseResource(
        number: record.number, state: record.state, message: record.message.isEmpty ? nil : record.message,
        createdAt: record.createdAt, createdBy: record.createdBy, stateAt: record.stateAt,
        former: record.former == 0 ? nil : record.former,
        changes: try StoredJSON.value([FieldChange].self, from: record.changesJSON),
        instances: counts[record.number] ?? 0)
    }
  }
}
