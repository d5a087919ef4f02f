internal import Domain
internal import Telemetry

/// Metrics of aliases, under the names and labels that dashboards of the compatible system have, and of their shares.
extension GatewayShared {
  func writeAliases(_ aliases: [LoopTable.Alias], _ text: inout PrometheusText) {
    writePaths("alias", aliases.map { (("alias_name", $0.routed.name), $0.shared.paths) }, &text)
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
}
