internal import Telemetry

/// Metrics under the names and labels that dashboards of the compatible system have. There they are rates; a counter's
/// rate is taken by who reads it. The durations have two names there, in two units, and so they have here.
extension GatewayShared {
  func writeCompatible(_ nodes: [LoopTable.Node], _ text: inout PrometheusText) {
    writePaths("node", nodes.map { (("node_id", $0.shared.id), $0.shared.paths) }, &text)
  }

  /// The families of a kind of owner of paths, `node` or `alias`; each owner is one label.
  func writePaths(
    _ kind: String, _ owners: [(label: (String, String), paths: NodePaths)], _ text: inout PrometheusText
  ) {
    let all = owners.flatMap { owner in
      owner.paths.all.map { (labels: [owner.label, ("node_path", $0.path)], path: $0) }
    }.filter { !$0.path.answers.isEmpty }
    text.family("\(kind)_requests", .counter, "Requests answered, by \(kind) and path.")
    for entry in all {
      text.sample("\(kind)_requests", entry.labels, entry.path.answers.reduce(0) { $0 + $1.count })
    }
    text.family("\(kind)_http_codes", .counter, "Requests answered, by \(kind), path and HTTP status.")
    for entry in all {
      for answer in entry.path.answers {
        text.sample("\(kind)_http_codes", entry.labels + [("code", "\(answer.status)")], answer.count)
      }
    }
    text.family("\(kind)_grpc_codes", .counter, "gRPC calls answered, by \(kind), path and gRPC status.")
    for entry in all {
      for call in entry.path.calls {
        text.sample("\(kind)_grpc_codes", entry.labels + [("code", "\(call.status)")], call.count)
      }
    }
    text.family("\(kind)_request_durations", .histogram, "Time of requests in seconds.")
    for entry in all { text.histogram("\(kind)_request_durations", entry.labels, entry.path.durations) }
    text.family("\(kind)_requests_durations", .histogram, "Time of requests in milliseconds.")
    for entry in all {
      text.histogram("\(kind)_requests_durations", entry.labels, entry.path.durations, unit: .milliseconds)
    }
  }
}
