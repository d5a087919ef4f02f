internal import ControlClient
internal import Domain

/// `roost project create`
enum ProjectCreate {
  static let limits: [Flag] = [
    Flag("unpinned-limit", .integer, value: "N", "newest unpinned checkpoints that are kept (10)"),
    Flag("pinned-limit", .integer, value: "N", "most pinned checkpoints (10)"),
  ]

  static let command: Command = Command(
    "project create", "make one", purpose: "Makes a project: the owner of notebooks' checkpoints.",
    arguments: [Positional("NAME", "3 to 63 characters a-z, 0-9 and -")],
    flags: [Flag("folder", .text, value: "FOLDER", "owner, id or name (default)")] + limits,
    examples: ["roost project create churn --folder team-a --unpinned-limit 30"],
    run: { context in
      let parsed = context.parsed
      let made = try context.client().createProject(
        CreateProjectRequest(
          name: context.first, folderId: parsed.text("folder"),
          unpinnedLimit: parsed.integer("unpinned-limit"),
          pinnedLimit: parsed.integer("pinned-limit")))
      try context.show(made, names: [made.name]) { "project \(made.name) is made: \(made.id)\n" }
    })
}
