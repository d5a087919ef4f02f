internal import ControlClient
internal import Domain

/// `roost node instances`
enum NodeInstances {
  static let command: Command = Command(
    "node instances", "its instances with pid and memory",
    purpose: "Lists the instances of a node with process, status and memory, shared and private.",
    arguments: [Positional("NODE", "id or name")], flags: [Context.watchFlag],
    examples: ["roost node instances my-node --watch"],
    run: { context in
      let client = try context.client()
      try await context.list({ try client.instances(of: context.first) }, name: \.id.text) {
        table($0, context)
      }
    })

  static func table(_ items: [InstanceResource], _ context: Context) -> String {
    if items.contains(where: { $0.address != nil }) { return addressTable(items, context) }
    var table = Table(
      "INSTANCE", "STATUS", "RELEASE", "PID", "AGE", "PROPORTIONAL", "SHARED", "PRIVATE", "LAST ERROR")
    func memory(_ bytes: Int64?) -> String { bytes.map(Quantity.bytes) ?? "-" }
    for item in items {
      table.add(
        item.id.text, item.status.rawValue, String(item.release), item.pid.map { String($0) } ?? "-",
        context.age(of: item.startedAt ?? item.createdAt), memory(item.proportionalBytes),
        memory(item.sharedBytes),
        memory(item.privateBytes), Table.oneLine(item.lastError?.message ?? "", width: 60))
    }
    return table.text
  }

  private static func addressTable(_ items: [InstanceResource], _ context: Context) -> String {
    var table = Table("INSTANCE", "STATUS", "ADDRESS", "PROTOCOL", "ZONE", "LAST PROBE", "IN A ROW", "PROBED")
    for item in items {
      let probe = item.lastProbe
      table.add(
        item.id.text, item.status.rawValue, item.address ?? "-", item.wireProtocol ?? "-", item.zone ?? "-",
        probe.map { "\($0.passed ? "passed" : "failed"): \(Table.oneLine($0.message, width: 60))" } ?? "-",
        probe.map { String($0.inARow) } ?? "-", probe.map { "\(context.age(of: $0.at)) ago" } ?? "-")
    }
    return table.text
  }
}
