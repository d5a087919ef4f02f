internal import ControlClient
internal import Domain

/// `roost alias create`
enum AliasCreate {
  static let command: Command = Command(
    "alias create", "publish a name in front of nodes",
    purpose: "Makes an alias: a name that callers keep while the nodes behind it change.",
    arguments: [Positional("NAME", "3 to 63 characters a-z, 0-9 and -; unique on the server")],
    flags: [
      AliasFlags.share, Flag("folder", .text, value: "FOLDER", "its owner; default: default"),
    ] + AliasFlags.flags,
    examples: [
      "roost alias create prod --share my-node=100",
      "roost alias create prod --share blue=90 --share green=10 --sticky cookie:visitor",
      "roost alias create prod --share blue=100 --share green=0 --rule green:header:x-test=1",
    ],
    run: { context in
      let command = AliasCreate.command
      let acl = context.parsed.texts("acl")
      let request = CreateAliasRequest(
        name: context.first, folder: context.parsed.text("folder"),
        description: context.parsed.text("description"), shares: try AliasFlags.shares(context, command),
        access: context.parsed.text("access"), acl: acl.isEmpty ? nil : acl,
        sticky: try AliasFlags.sticky(context, command), rules: try AliasFlags.rules(context, command),
        metadata: try AliasFlags.metadata(context, command), showNode: AliasFlags.showNode(context),
        allowBreaking: context.parsed.toggle("allow-breaking") ? true : nil)
      let made = try context.client().createAlias(request)
      try context.show(made, names: [made.name]) { "alias \(made.name) is published: \(made.executePath)\n" }
    })
}
