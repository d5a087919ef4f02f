internal import Telemetry

/// Metrics under the names and labels that dashboards of the compatible system have. There they are rates; a counter's
/// rate is taken by who reads it. The durations have two names there, in two units, and so they have here.
extension GatewayShared {
  func writeCompatible(_ nodes: [LoopTable.Node], _ text: inout PrometheusText) {
    let all = nodes.flatMap { node in
      node.shared.paths.all.map { (labels: [("node_id", node.shared.id), ("node_path", $0.path)], path: $0) }
    }.filter { !$0.path.answers.isEmpty }
    text.family("node_requests", .counter, "Requests answered, by node and path.")
    for entry in all {
      text.sample("node_requests", entry.labels, entry.path.answers.reduce(0) { $0 + $1.count })
    }
    text.family("node_http_codes", .counter, "Requests answered, by node, path and HTTP status.")
    for entry in all {
      for answer in entry.path.answers {
        text.sample("node_http_codes", entry.labels + [("code", "\(answer.status)")], answer.count)
      }
    }
    text.family("node_grpc_codes", .counter, "gRPC calls answered, by node, path and gRPC status.")
    for entry in all {
      for call in entry.path.calls {
        text.sample("node_grpc_codes", entry.labels + [("code", "\(call.status)")], call.count)
      }
    }
    text.family("node_request_durations", .histogram, "Time of requests in seconds.")
    for entry in all { text.histogram("node_request_durations", entry.labels, entry.path.durations) }
    text.family("node_requests_durations", .histogram, "Time of requests in milliseconds.")
    for entry in all {
      text.histogram("node_requests_durations", entry.labels, entry.path.durations, unit: .milliseconds)
    }
  }
}
