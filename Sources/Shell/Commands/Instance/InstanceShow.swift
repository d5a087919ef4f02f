internal import ControlClient
internal import Domain

/// `roost instance show`
enum InstanceShow {
  static let command: Command = Command(
    "instance show", "state, process and memory of one",
    purpose:
      "Shows an instance: its node, state, process, memory and processor time, health checks, last error.",
    arguments: [Positional("INSTANCE", "id")],
    examples: ["roost instance show INSTANCE_ID", "roost instance show INSTANCE_ID -o yaml"],
    run: { context in
      let item = try context.client().instance(context.first)
      try context.show(item, names: [item.id.text]) {
        var facts = Facts()
        facts.add("ID", item.id.text)
        facts.add("Node", "\(item.nodeName) (\(item.nodeId))")
        facts.add("Release", String(item.release))
        facts.add("Status", item.status.rawValue)
        facts.add("Address", item.address.map { "\($0) (\(item.wireProtocol ?? "?"))" })
        facts.add("Zone", item.zone)
        facts.add("PID", item.pid.map { String($0) })
        facts.add("Made", "\(item.createdAt) (\(context.age(of: item.createdAt)) ago)")
        facts.add("Healthy since", item.startedAt.map { "\($0) (\(context.age(of: $0)) ago)" })
        facts.add("Memory", memory(item))
        facts.add("Processor time", item.cpuSeconds.map { "\(Double(Int($0 * 100)) / 100) s" })
        facts.add("Last probe", item.lastProbe.map { probe($0, context) })
        facts.add("Last error", item.lastError?.message)
        if item.address == nil { facts.add("Log", "roost node logs \(item.nodeName) --instance \(item.id)") }
        return facts.text
      }
    })

  /// What it adds to the machine's use is its proportional part: shared pages count once over all that share them.
  private static func memory(_ item: InstanceResource) -> String? {
    guard let part = item.proportionalBytes, let shared = item.sharedBytes, let own = item.privateBytes else {
      return nil
    }
    return
      "\(Quantity.bytes(part)) in proportion: \(Quantity.bytes(own)) of its own, \(Quantity.bytes(shared)) shared"
  }

  private static func probe(_ probe: ProbeResource, _ context: Context) -> String {
    "\(probe.passed ? "passed" : "failed"), \(probe.inARow) in a row, \(context.age(of: probe.at)) ago: \(probe.message)"
  }
}
