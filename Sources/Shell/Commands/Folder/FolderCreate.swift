internal import ControlClient
internal import Domain

/// `roost folder create`
enum FolderCreate {
  static let command: Command = Command(
    "folder create", "make one", purpose: "Makes a folder. You become its admin.",
    arguments: [Positional("NAME", "3 to 63 characters a-z, 0-9 and -")],
    examples: ["roost folder create team-a"],
    run: { context in
      let made = try context.client().createFolder(CreateFolderRequest(name: context.first))
      try context.show(made, names: [made.name]) { "folder \(made.name) is made: \(made.id)\n" }
    })
}
