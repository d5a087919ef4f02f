internal import ControlClient
internal import Domain

/// `roost zone show`
enum ZoneShow {
  static let command: Command = Command(
    "zone show", "one of them in full", purpose: "Shows a zone: its engine, and since when it is down.",
    arguments: [Positional("ZONE", "its name")], examples: ["roost zone show local"],
    run: { context in
      let zone = try context.client().zone(context.first)
      try context.show(zone, names: [zone.name]) {
        var facts = Facts()
        facts.add("Name", zone.name)
        facts.add("Status", zone.status)
        facts.add("Why", zone.message)
        facts.add("Since", zone.since.map { "\($0)" })
        facts.add("Engine", zone.engine)
        facts.add("Version", zone.engineVersion)
        facts.add("Storage driver", zone.storageDriver)
        facts.add("vCPU", zone.cpus.map { String($0) })
        facts.add("Memory", zone.memoryBytes.map { Quantity.bytes($0) })
        facts.add("Instances", "\(zone.healthyInstances) of \(zone.instances) healthy")
        return facts.text
      }
    })
}
