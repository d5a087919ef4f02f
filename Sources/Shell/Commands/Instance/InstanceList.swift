internal import ControlClient
internal import Domain

/// `roost instance list`
enum InstanceList {
  static let command: Command = Command(
    "instance list", "instances of all nodes",
    purpose: "Lists running copies of nodes with status, process and memory; of one node with --node.",
    flags: [Flag("node", .text, value: "NODE", "only of this node, id or name"), Context.watchFlag],
    examples: [
      "roost instance list", "roost instance list --node my-node --watch", "roost instance list -o name",
    ],
    run: { context in
      let client = try context.client()
      let node = context.parsed.text("node")
      try await context.list({ try client.instances(node: node) }, name: \.id.text) { items in
        if node != nil { return NodeInstances.table(items, context) }
        var table = Table("INSTANCE", "NODE", "STATUS", "RELEASE", "PID", "AGE", "MEMORY", "WHERE")
        for item in items {
          table.add(
            item.id.text, item.nodeName, item.status.rawValue, String(item.release),
            item.pid.map { String($0) } ?? "-", context.age(of: item.startedAt ?? item.createdAt),
            item.proportionalBytes.map(Quantity.bytes) ?? "-", item.address ?? "here")
        }
        return table.text
      }
    })
}
