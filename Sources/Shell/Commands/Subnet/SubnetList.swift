internal import ControlClient
internal import Domain

/// `roost subnet list`
enum SubnetList {
  static let command: Command = Command(
    "subnet list", "networks that image nodes share",
    purpose: "Lists the subnets of the folders where you have a role.",
    flags: [
      Flag("folder", .text, value: "FOLDER", "of this folder only, id or name"), Context.watchFlag,
    ],
    examples: ["roost subnet list"],
    run: { context in
      let client = try context.client()
      let folder = context.parsed.text("folder")
      try await context.list({ try client.subnets(folder: folder) }, name: \.name) { items in
        var table = Table("NAME", "ZONE", "CIDR", "INTERNAL", "FOLDER", "AGE")
        for item in items {
          table.add(
            item.name, item.zone, item.cidr, item.internal ? "yes" : "no", item.folderId.text,
            context.age(of: item.createdAt))
        }
        return table.text
      }
    })
}
