internal import ControlClient
internal import Domain

/// `roost zone list`
enum ZoneList {
  static let command: Command = Command(
    "zone list", "where instances of image nodes can be put",
    purpose:
      "Lists the zones of the server: its container engines. Instances of a node are spread evenly over the zones that it names (roost node create --zone).",
    flags: [Context.watchFlag], examples: ["roost zone list", "roost zone list -o json"],
    run: { context in
      let client = try context.client()
      try await context.list({ try client.zones() }, name: \.name) { items in
        var table = Table("NAME", "STATUS", "HEALTHY", "INSTANCES", "ENGINE", "VERSION", "WHY")
        for item in items {
          table.add(
            item.name, item.status, String(item.healthyInstances), String(item.instances), item.engine,
            item.engineVersion ?? "-", Table.oneLine(item.message ?? "", width: 80))
        }
        return table.text
      }
    })
}
