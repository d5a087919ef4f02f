internal import ControlClient
internal import Domain

/// `roost service-account create`
enum ServiceAccountCreate {
  static let command: Command = Command(
    "service-account create", "make one",
    purpose: "Makes a service account, with a role on its folder where one is given.",
    arguments: [Positional("NAME", "3 to 63 characters a-z, 0-9 and -")],
    flags: [
      Flag("folder", .text, value: "FOLDER", "its folder, id or name (default)"),
      Flag("role", .text, value: "ROLE", "a role on the folder"),
    ], examples: ["roost service-account create caller --role datasphere.user"],
    run: { context in
      let parsed = context.parsed
      let made = try context.client().createServiceAccount(
        CreateServiceAccountRequest(
          name: context.first, folderId: parsed.text("folder"), role: parsed.text("role")))
      try context.show(made, names: [made.name]) { "service account \(made.name) is made: \(made.id)\n" }
    })
}
