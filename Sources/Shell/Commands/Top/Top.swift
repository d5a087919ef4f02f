internal import ControlClient
internal import Domain

/// `roost top`
enum Top {
  static let command: Command = Command(
    "top", "what nodes and instances use now",
    purpose:
      "Shows processor time, memory and traffic of nodes and their instances, and the requests of nodes, again and again. Figures are sampled every three seconds; - is what is not known.",
    arguments: [Positional("NODE", "id or name of one node", required: false)],
    flags: [
      Flag("once", .toggle, "show it once and end"),
      Flag("interval", .duration, "time between two looks (3s)"),
      Flag("sort", .choice(["name", "cpu", "memory", "network", "requests"]), "the most of it first (name)"),
    ], examples: ["roost top", "roost top my-node --sort cpu", "roost top --once -o json"],
    run: { context in
      let client = try context.client()
      let interval = context.parsed.duration("interval") ?? .seconds(3)
      let once = context.parsed.toggle("once")
      let order = Order(rawValue: context.parsed.text("sort") ?? "") ?? .name
      while true {
        try show(try client.top(node: context.positionals.first), order, once: once, context)
        guard !once else { return }
        try await context.surroundings.pause(max(interval, .milliseconds(200)))
      }
    })

  /// Apart, and not inlined into the loop: Swift 6.3's optimizer crashes on the coroutine that has both.
  @inline(never)
  private static func show(_ seen: TopResource, _ order: Order, once: Bool, _ context: Context) throws {
    let top = sorted(seen, order)
    if context.format == .table {
      let clears = !once && context.surroundings.outputIsTerminal
      context.surroundings.print((clears ? "\u{1b}[H\u{1b}[2J" : "") + text(top) + (once ? "" : "\n"))
    } else if context.format == .json, !once {
      context.print(try Rendered.json(top).compact)
    } else {
      try context.show(top, names: top.nodes.map(\.name)) { "" }
    }
  }

  enum Order: String {
    case name, cpu, memory, network, requests
  }

  static func sorted(_ top: TopResource, _ order: Order) -> TopResource {
    var top = top
    func network(_ received: Double?, _ sent: Double?) -> Double { (received ?? 0) + (sent ?? 0) }
    func node(_ use: NodeUse) -> Double {
      switch order {
      case .name: 0
      case .cpu: use.cpuPercent ?? -1
      case .memory: Double(use.memoryBytes ?? -1)
      case .network: network(use.receivedBytesPerSecond, use.sentBytesPerSecond)
      case .requests: use.requestsPerSecond ?? -1
      }
    }
    func instance(_ use: InstanceUse) -> Double {
      switch order {
      case .name: 0
      case .cpu: use.cpuPercent ?? -1
      case .memory: Double(use.memoryBytes ?? -1)
      case .network: network(use.receivedBytesPerSecond, use.sentBytesPerSecond)
      case .requests: Double(use.running)
      }
    }
    top.nodes.sort { (-node($0), $0.name, $0.id) < (-node($1), $1.name, $1.id) }
    top.instances.sort { (-instance($0), $0.nodeName, $0.id) < (-instance($1), $1.nodeName, $1.id) }
    return top
  }

  static func text(_ top: TopResource) -> String {
    guard !top.nodes.isEmpty else { return "no nodes\n" }
    var nodes = Table(
      "NODE", "KIND", "HEALTHY", "CPU %", "MEMORY", "RX/s", "TX/s", "RUNNING", "WAITING", "REQ/s", "P50",
      "P99")
    for use in top.nodes {
      nodes.add(
        use.name, use.kind.rawValue, "\(use.healthyInstances)/\(use.instances)", number(use.cpuPercent),
        memory(use.memoryBytes, use.memoryLimitBytes), bytes(use.receivedBytesPerSecond),
        bytes(use.sentBytesPerSecond), String(use.running), String(use.queued),
        number(use.requestsPerSecond), duration(use.p50Seconds), duration(use.p99Seconds))
    }
    guard !top.instances.isEmpty else { return nodes.text }
    var instances = Table(
      "INSTANCE", "NODE", "STATUS", "CPU %", "MEMORY", "RX/s", "TX/s", "PIDS", "HELD %", "RUNNING")
    for use in top.instances {
      instances.add(
        use.id.text, use.nodeName, use.status.rawValue, number(use.cpuPercent),
        memory(use.memoryBytes, use.memoryLimitBytes), bytes(use.receivedBytesPerSecond),
        bytes(use.sentBytesPerSecond), use.processes.map { String($0) } ?? "-",
        number(use.throttledPercent), String(use.running))
    }
    return nodes.text + "\n" + instances.text
  }

  private static func bytes(_ value: Double?) -> String { value.map { Quantity.bytes(Int64($0)) } ?? "-" }

  private static func memory(_ used: Int64?, _ limit: Int64?) -> String {
    guard let used else { return "-" }
    return Quantity.bytes(used) + (limit.map { " / \(Quantity.bytes($0))" } ?? "")
  }

  /// One digit behind the point: `12.5`.
  private static func number(_ value: Double?) -> String {
    guard let value else { return "-" }
    let tenths = Int64((value * 10).rounded())
    return "\(tenths / 10).\(abs(tenths % 10))"
  }

  /// `850us`, `12.5ms`, `2.3s`
  private static func duration(_ seconds: Double?) -> String {
    guard let seconds else { return "-" }
    if seconds < 0.001 { return "\(Int((seconds * 1e6).rounded()))us" }
    return seconds < 1 ? "\(number(seconds * 1000))ms" : "\(number(seconds))s"
  }
}
