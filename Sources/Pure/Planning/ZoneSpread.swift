import Domain

/// A zone of a node as its planner sees it.
public struct ZoneView: Sendable, Equatable {
  public var name: String
  /// Instances can be started there now.
  public var isUp: Bool

  public init(_ name: String, isUp: Bool = true) {
    self.name = name
    self.isUp = isUp
  }
}

/// Spreads the instances of a node evenly over its zones. Pure.
enum ZoneSpread {
  /// The same steps, each launch divided among zones: the emptiest gets the next one. Zones that are down get none while
  /// another is up.
  static func divide(_ steps: [NodeStep], _ seen: NodeObservation) -> [NodeStep] {
    guard !seen.zones.isEmpty else { return steps }
    let up = seen.zones.filter(\.isUp)
    let open = up.isEmpty ? seen.zones : up
    return steps.flatMap { step -> [NodeStep] in
      guard case .launch(let count, let release, let epoch, nil) = step else { return [step] }
      let there = seen.instances.filter {
        $0.release == release && $0.epoch == epoch && $0.status != .deleting && seen.counts($0)
      }
      var taken = open.map { zone in (zone: zone.name, count: there.count { $0.zone == zone.name }) }
      var added = [Int](repeating: 0, count: open.count)
      for _ in 0..<count {
        guard let least = taken.indices.min(by: { taken[$0].count < taken[$1].count }) else { break }
        taken[least].count += 1
        added[least] += 1
      }
      return open.indices.filter { added[$0] > 0 }.map {
        .launch(count: added[$0], release: release, epoch: epoch, zone: open[$0].name)
      }
    }
  }

  /// The zone that should get one more instance for the sake of evenness though their number is right; nil: all is even.
  static func emptier(_ instances: [NodeObservation.Instance], _ zones: [ZoneView]) -> String? {
    let counts = zones.filter(\.isUp).map { zone in
      (zone: zone.name, count: instances.count { $0.zone == zone.name })
    }
    guard let least = counts.min(by: { $0.count < $1.count }),
      let most = counts.max(by: { $0.count < $1.count }), most.count - least.count > 1
    else { return nil }
    return least.zone
  }

  /// Those that leave when only `count` are to stay: of the fullest zone first, so that the rest is even. As many as wanted stay
  /// healthy.
  ///
  /// - Parameter ranked: those that are to stay come first.
  static func surplus(
    _ ranked: [NodeObservation.Instance], over count: Int, _ zones: [ZoneView]
  ) -> [NodeObservation.Instance] {
    var kept = ranked
    var healthy = ranked.count { $0.status == .healthy }
    var leaving: [NodeObservation.Instance] = []
    while kept.count > count {
      if let broken = kept.lastIndex(where: { $0.status == .unhealthy }) {
        leaving.append(kept.remove(at: broken))
        continue
      }
      let sizes = Dictionary(kept.map { ($0.zone, 1) }, uniquingKeysWith: +)
      let fullest = sizes.values.max() ?? 0
      guard let place = kept.lastIndex(where: { sizes[$0.zone] == fullest }) else { break }
      if kept[place].status == .healthy {
        guard healthy > count else { break }
        healthy -= 1
      }
      leaving.append(kept.remove(at: place))
    }
    return leaving
  }
}

extension NodeObservation {
  /// Whether an instance is one of those that are wanted. What does not serve in a zone that is down is not waited for while
  /// another zone can take its place; it is one too many when it is back.
  func counts(_ instance: Instance) -> Bool {
    guard instance.status != .healthy, zones.contains(where: \.isUp),
      let zone = zones.first(where: { $0.name == instance.zone })
    else { return true }
    return zone.isUp
  }

  /// Whether an instance that should go can go: in a zone that is down it stays until that is up again.
  public func waits(for instance: Instance) -> Bool {
    guard let zone = zones.first(where: { $0.name == instance.zone }), zones.contains(where: \.isUp) else {
      return true
    }
    return zone.isUp || instance.status == .healthy
  }
}
