internal import ControlClient
internal import Domain

/// `roost service-account grant`
enum ServiceAccountGrant {
  static let command: Command = Command(
    "service-account grant", "give a role on a folder",
    purpose: "Gives a service account a role on a folder.",
    arguments: [Positional("ACCOUNT", "id or name")],
    flags: [
      Flag("role", .text, value: "ROLE", "the role", required: true),
      Flag("folder", .text, value: "FOLDER", "the folder, id or name (default)"),
    ], examples: ["roost service-account grant caller --role datasphere.user --folder team-a"],
    run: { context in
      let request = GrantRequest(
        role: context.parsed.text("role") ?? "", folderId: context.parsed.text("folder"))
      let changed = try context.client().grant(context.first, request)
      try context.show(changed, names: [changed.name]) {
        "service account \(changed.name): \(changed.roles.joined(separator: ", "))\n"
      }
    })
}
