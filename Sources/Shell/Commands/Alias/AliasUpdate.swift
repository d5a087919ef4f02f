internal import ControlClient
internal import Domain

/// `roost alias update`
enum AliasUpdate {
  static let command: Command = Command(
    "alias update", "move requests to other nodes",
    purpose:
      "Changes an alias. Only what is given is changed, all at once; requests under way end where they are.",
    arguments: [Positional("ALIAS", "id or name")],
    flags: [
      AliasFlags.share,
      Flag("generation", .integer, value: "N", "refuse when the alias was changed since this generation"),
      Flag("no-rules", .toggle, "no rules any more"),
    ] + AliasFlags.flags,
    examples: [
      "roost alias update prod --share blue=50 --share green=50",
      "roost alias update prod --sticky off --no-rules",
    ],
    run: { context in
      let (command, parsed) = (AliasUpdate.command, context.parsed)
      let (acl, shares) = (parsed.texts("acl"), try AliasFlags.shares(context, command))
      let rules = try AliasFlags.rules(context, command)
      let request = UpdateAliasRequest(
        generation: parsed.integer("generation"), description: parsed.text("description"),
        shares: shares.isEmpty ? nil : shares, access: parsed.text("access"), acl: acl.isEmpty ? nil : acl,
        sticky: try AliasFlags.sticky(context, command), rules: rules.isEmpty ? nil : rules,
        metadata: try AliasFlags.metadata(context, command), showNode: AliasFlags.showNode(context),
        allowBreaking: parsed.toggle("allow-breaking") ? true : nil)
      let given: [(String, Bool)] = [
        ("description", request.description != nil), ("shares", request.shares != nil),
        ("access", request.access != nil), ("acl", request.acl != nil),
        ("sticky", parsed.text("sticky") != nil),
        ("rules", request.rules != nil || parsed.toggle("no-rules")),
        ("metadata", request.metadata != nil), ("showNode", request.showNode != nil),
      ]
      let fields = given.filter(\.1).map(\.0)
      guard !fields.isEmpty else { throw CommandFailure.usage("nothing to change: give a flag", command) }
      let changed = try context.client().updateAlias(context.first, request, fields: fields)
      try context.show(changed, names: [changed.name]) {
        "alias \(changed.name): \(AliasList.shares(changed))\n"
      }
    })
}
