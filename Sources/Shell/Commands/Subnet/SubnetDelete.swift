internal import ControlClient
internal import Domain

/// `roost subnet delete`
enum SubnetDelete {
  static let command: Command = Command(
    "subnet delete", "remove networks for good",
    purpose: "Deletes subnets. One that a node uses is kept; the message says which.",
    arguments: [Positional("SUBNET", "id or name", repeatable: true)], flags: [Confirmation.flag],
    examples: ["roost subnet delete apps --yes"],
    run: { context in
      let names = context.positionals
      try Confirmation.ask("delete \(names.joined(separator: ", ")) for good?", context)
      let client = try context.client()
      for name in names {
        try client.deleteSubnet(name)
        context.note("subnet \(name) is deleted")
      }
    })
}
