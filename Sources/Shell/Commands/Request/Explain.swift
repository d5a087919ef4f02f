internal import ControlClient
internal import Domain

/// `roost explain`
enum Explain {
  static let command: Command = Command(
    "explain", "what was done with a recent request",
    purpose: "Shows the way of a recent request: route, node, instance, queue, retries, status.",
    arguments: [Positional("REQUEST_ID", "as the header x-request-id of its answer says")],
    examples: ["roost explain REQUEST_ID"],
    run: { context in
      let request = try context.client().request(context.first)
      try context.show(request, names: [request.id]) { text(request) }
    })

  static func text(_ request: RequestResource) -> String {
    var facts = Facts()
    facts.add("Request", request.id)
    facts.add("Arrived", request.arrivedAt.description)
    facts.add("Status", "\(request.status)\(request.status == 499 ? " (the caller went away)" : "")")
    facts.add("Route", request.route ?? "none: refused before a node was known")
    facts.add("Node", request.nodeId?.text ?? "none")
    facts.add("Instance", request.instanceId?.text ?? "none")
    facts.add("Queue", milliseconds(request.queueSeconds))
    facts.add("Upstream", milliseconds(request.upstreamSeconds))
    facts.add("Total", milliseconds(request.durationSeconds))
    facts.add("Retries", "\(request.retries)")
    facts.add("Bytes", "\(request.requestBytes) in, \(request.responseBytes) out")
    facts.add("Trace", request.traceId)
    facts.add("Span", request.spanId)
    return facts.text
  }

  /// To a microsecond, without Foundation's formats.
  private static func milliseconds(_ seconds: Double) -> String {
    let microseconds = Int((seconds * 1e6).rounded())
    let rest = String(microseconds % 1000)
    return "\(microseconds / 1000).\(String(repeating: "0", count: 3 - rest.count))\(rest) ms"
  }
}
