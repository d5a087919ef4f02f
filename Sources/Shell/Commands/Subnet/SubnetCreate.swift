internal import ControlClient
internal import Domain

/// `roost subnet create`
enum SubnetCreate {
  static let command: Command = Command(
    "subnet create", "make one",
    purpose:
      "Makes a network of a zone that image nodes of a folder can share, with addresses of a range of yours. Instances in it don't reach each other. Without one, each node has a network of its own.",
    arguments: [Positional("NAME", "3 to 63 characters a-z, 0-9 and -")],
    flags: [
      Flag("cidr", .text, value: "ADDRESS/BITS", "a private range, /16 to /28"),
      Flag("zone", .text, value: "ZONE", "where (the server's first); roost zone list"),
      Flag("internal", .toggle, "instances reach nothing outside"),
      Flag("folder", .text, value: "FOLDER", "owner, id or name (default)"),
    ],
    examples: [
      "roost subnet create apps --cidr 10.77.0.0/24",
      "roost subnet create apps-b --zone b --cidr 10.77.1.0/24 --internal",
    ],
    run: { context in
      let parsed = context.parsed
      guard let cidr = parsed.text("cidr") else {
        throw CommandFailure.usage("give its range: --cidr 10.77.0.0/24", SubnetCreate.command)
      }
      let made = try context.client().createSubnet(
        CreateSubnetRequest(
          name: context.first, folder: parsed.text("folder"), zone: parsed.text("zone"), cidr: cidr,
          internal: parsed.toggle("internal") ? true : nil))
      try context.show(made, names: [made.name]) {
        "subnet \(made.name) is made in zone \(made.zone): use it with: roost node create ... --zone \(made.zone)=\(made.name)\n"
      }
    })
}
