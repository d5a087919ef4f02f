internal import ControlClient
internal import Domain

/// `roost environment check`
enum EnvironmentCheck {
  static let command: Command = Command(
    "environment check", "does it have what a checkpoint needs",
    purpose:
      "Compares the packages of the notebook that a checkpoint's cell needs with those of an environment. Ends with 1 when a node would be refused.",
    arguments: [Positional("ENVIRONMENT", "id or name")],
    flags: [
      Flag("checkpoint", .text, value: "CHECKPOINT", "id, or the name it is pinned with", required: true),
      projectFlag, environmentFolderFlag,
    ],
    examples: ["roost environment check default --checkpoint my-checkpoint"],
    run: { context in
      let parsed = context.parsed
      let found = try context.client().checkEnvironment(
        context.first, folder: parsed.text("folder"),
        CheckEnvironmentRequest(
          checkpoint: parsed.text("checkpoint") ?? "", project: parsed.text("project")))
      try context.show(found, names: found.findings.map(\.package)) { text(found) }
      if !found.fits { throw ProgramEnd(code: ExitCode.failed.rawValue) }
    })

  private static func text(_ found: EnvironmentCheckResource) -> String {
    let words = found.fits ? "fits" : "doesn't fit"
    var text = "environment \(found.environment) \(words) checkpoint \(found.checkpoint)\n"
    guard !found.findings.isEmpty else { return text }
    var table = Table("FINDING", "PACKAGE", "NOTEBOOK", "ENVIRONMENT")
    for finding in found.findings {
      table.add(finding.kind.rawValue, finding.package, finding.wanted ?? "-", finding.found ?? "-")
    }
    text += "\n" + table.text + "\n"
    for finding in found.findings where finding.kind != .unused { text += "\(finding.message)\n" }
    return text
  }
}
