internal import Domain
internal import Telemetry

/// Metrics of aliases, under the names and labels that dashboards of the compatible system have, and of their shares.
extension GatewayShared {
  func writeAliases(_ aliases: [LoopTable.Alias], _ text: inout PrometheusText) {
    let all = aliases.flatMap { alias in
      alias.shared.paths.all.map {
        (labels: [("alias_name", alias.routed.name), ("node_path", $0.path)], path: $0)
      }
    }.filter { !$0.path.answers.isEmpty }
    text.family("alias_requests", .counter, "Requests answered, by alias and path.")
    for entry in all {
      text.sample("alias_requests", entry.labels, entry.path.answers.reduce(0) { $0 + $1.count })
    }
    text.family("alias_http_codes", .counter, "Requests answered, by alias, path and HTTP status.")
    for entry in all {
      for answer in entry.path.answers {
        text.sample("alias_http_codes", entry.labels + [("code", "\(answer.status)")], answer.count)
      }
    }
    text.family("alias_grpc_codes", .counter, "gRPC calls answered, by alias, path and gRPC status.")
    for entry in all {
      for call in entry.path.calls {
        text.sample("alias_grpc_codes", entry.labels + [("code", "\(call.status)")], call.count)
      }
    }
    text.family("alias_request_durations", .histogram, "Time of requests in seconds.")
    for entry in all { text.histogram("alias_request_durations", entry.labels, entry.path.durations) }
    text.family("alias_requests_durations", .histogram, "Time of requests in milliseconds.")
    for entry in all {
      text.histogram("alias_requests_durations", entry.labels, entry.path.durations, unit: .milliseconds)
    }
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
