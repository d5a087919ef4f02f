internal import ControlClient
internal import Domain

/// `roost project update`
enum ProjectUpdate {
  static let command: Command = Command(
    "project update", "change name or limits", purpose: "Changes a project. Only what is given is changed.",
    arguments: [Positional("PROJECT", "id or name")],
    flags: [Flag("name", .text, value: "NAME", "another name")] + ProjectCreate.limits,
    examples: ["roost project update default --unpinned-limit 50"],
    run: { context in
      let parsed = context.parsed
      let request = UpdateProjectRequest(
        name: parsed.text("name"), unpinnedLimit: parsed.integer("unpinned-limit"),
        pinnedLimit: parsed.integer("pinned-limit"))
      let given: [(String, Bool)] = [
        ("name", request.name != nil), ("unpinnedLimit", request.unpinnedLimit != nil),
        ("pinnedLimit", request.pinnedLimit != nil),
      ]
      let fields = given.filter(\.1).map(\.0)
      guard !fields.isEmpty else {
        throw CommandFailure.usage("nothing to change: give a flag", ProjectUpdate.command)
      }
      let changed = try context.client().updateProject(context.first, request, fields: fields)
      try context.show(changed, names: [changed.name]) {
        "project \(changed.name) keeps \(changed.unpinnedLimit) unpinned and \(changed.pinnedLimit) pinned checkpoints\n"
      }
    })
}
