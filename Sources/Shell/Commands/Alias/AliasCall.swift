internal import ControlClient
internal import Domain

/// `roost alias call`
enum AliasCall {
  static let command: Command = Command(
    "alias call", "run the cell of one of its nodes",
    purpose: "Runs the cell of the node that an alias chooses, and prints the output as JSON.",
    arguments: [Positional("ALIAS", "id or name")],
    flags: [
      NodeCall.inputFlag,
      Flag("folder", .text, value: "FOLDER", "the folder that calls, id or name (the alias' own)"),
      Flag("timeout", .duration, "longest wait for the answer (two minutes)"),
    ],
    examples: ["roost alias call prod --input '{\"x\": 1}'", "roost alias call prod --input @input.json"],
    run: { context in
      let input = try NodeCall.input(context)
      let client = try context.client()
      let alias = try client.alias(context.first)
      let folder = try NodeCall.folder(context, client) ?? callingFolder(alias).text
      let timeout = context.parsed.duration("timeout") ?? .seconds(120)
      NodeCall.show(
        try client.execute(alias.executePath, folder: folder, input: input, timeout: timeout), context)
    })

  /// Its own folder where the ACL has it, else the first that may call.
  private static func callingFolder(_ alias: AliasResource) -> FolderID {
    alias.spec.acl.contains(alias.folderId) ? alias.folderId : alias.spec.acl.first ?? alias.folderId
  }
}
