internal import CLinux
internal import Domain
internal import Synchronization
internal import Telemetry

/// Metrics of aliases, under the names and labels that dashboards of the compatible system have, and of their shares.
extension GatewayShared {
  func writeAliases(_ aliases: [LoopTable.Alias], _ text: inout PrometheusText) {
    writePaths("alias", aliases.map { (("alias_name", $0.routed.name), $0.shared.paths) }, &text)
    writeHolds(aliases, &text)
    let shares = aliases.flatMap { alias in
      alias.shared.allShares.map {
        (labels: [("alias_name", alias.routed.name), ("node_id", $0.node.text)], share: $0, alias: alias)
      }
    }
    text.family("roost_alias_share_weight", .gauge, "Percent of an alias' requests that a node should get.")
    for entry in shares {
      let weight = entry.alias.routed.spec.shares.first { $0.nodeId == entry.share.node }?.weight ?? 0
      text.sample("roost_alias_share_weight", entry.labels, weight)
    }
    text.family("roost_alias_share_requests_total", .counter, "Requests of an alias that a node answered.")
    for entry in shares {
      text.sample("roost_alias_share_requests_total", entry.labels, entry.share.requests)
    }
    text.family(
      "roost_alias_share_failures_total", .counter, "Those of them with a status of 500 or above.")
    for entry in shares {
      text.sample("roost_alias_share_failures_total", entry.labels, entry.share.failures)
    }
    text.family("roost_alias_share_duration_seconds", .histogram, "Time of an alias' requests, by node.")
    for entry in shares {
      text.histogram("roost_alias_share_duration_seconds", entry.labels, entry.share.durations)
    }
  }

  private func writeHolds(_ aliases: [LoopTable.Alias], _ text: inout PrometheusText) {
    let now = roost_wall_us()
    func labels(_ alias: LoopTable.Alias) -> [(String, String)] { [("alias_name", alias.routed.name)] }
    text.family("roost_alias_held", .gauge, "Whether an alias' requests wait.")
    for alias in aliases {
      let isHeld = alias.routed.hold.map { $0.endsAt.microseconds > now } ?? false
      text.sample("roost_alias_held", labels(alias), isHeld ? 1 : 0)
    }
    text.family("roost_alias_held_requests", .gauge, "Requests that wait because their alias is held.")
    for alias in aliases {
      text.sample(
        "roost_alias_held_requests", labels(alias), alias.shared.held.load(ordering: .relaxed))
    }
    text.family("roost_alias_held_requests_total", .counter, "Requests that waited for the end of a hold.")
    for alias in aliases {
      text.sample("roost_alias_held_requests_total", labels(alias), alias.shared.holds.waited.current)
    }
    text.family(
      "roost_alias_hold_refusals_total", .counter,
      "Requests refused because too many waited (limit), or for too long (age).")
    for alias in aliases {
      let holds = alias.shared.holds
      text.sample(
        "roost_alias_hold_refusals_total", labels(alias) + [("reason", "limit")], holds.refused.current)
      text.sample(
        "roost_alias_hold_refusals_total", labels(alias) + [("reason", "age")], holds.aged.current)
    }
    text.family(
      "roost_alias_hold_duration_seconds", .histogram, "Time that requests waited for the end of a hold.")
    for alias in aliases {
      text.histogram("roost_alias_hold_duration_seconds", labels(alias), alias.shared.holds.durations)
    }
  }
}
