internal import ControlClient
internal import Domain

/// `roost environment logs`
enum EnvironmentLogs {
  static let command: Command = Command(
    "environment logs", "what its making printed",
    purpose: "Prints the log of the build of an environment.",
    arguments: [Positional("ENVIRONMENT", "id or name")],
    flags: [Flag("follow", short: "f", .toggle, "go on until it has been made"), environmentFolderFlag],
    examples: ["roost environment logs forecast -f"],
    run: { context in
      let client = try context.client()
      let folder = context.parsed.text("folder")
      var cursor: String?
      var goesOn = true
      repeat {
        let follows = context.parsed.toggle("follow")
        let status = follows ? try client.environment(context.first, folder: folder).status : .ready
        let isBuilding = status == .building
        let page = try client.environmentLogs(
          context.first, folder: folder, after: cursor, waitSeconds: cursor != nil && isBuilding ? 20 : 0)
        for line in page.lines {
          context.print(
            context.format == .json
              ? try Rendered.json(line).compact : "\(line.time) \(line.stream) \(line.message)")
        }
        cursor = page.cursor
        goesOn = isBuilding
      } while goesOn
    })
}
