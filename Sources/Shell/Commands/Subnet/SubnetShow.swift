internal import ControlClient
internal import Domain

/// `roost subnet show`
enum SubnetShow {
  static let command: Command = Command(
    "subnet show", "one of them in full", purpose: "Shows a subnet and the nodes that use it.",
    arguments: [Positional("SUBNET", "id or name")], examples: ["roost subnet show apps"],
    run: { context in
      let subnet = try context.client().subnet(context.first)
      try context.show(subnet, names: [subnet.name]) {
        var facts = Facts()
        facts.add("Name", subnet.name)
        facts.add("Id", subnet.id.text)
        facts.add("Folder", subnet.folderId.text)
        facts.add("Zone", subnet.zone)
        facts.add("CIDR", subnet.cidr)
        facts.add("Way out", subnet.internal ? "none" : "yes")
        let nodes = subnet.usedBy ?? []
        facts.add("Used by", nodes.isEmpty ? "no node" : nodes.joined(separator: ", "))
        return facts.text
      }
    })
}
