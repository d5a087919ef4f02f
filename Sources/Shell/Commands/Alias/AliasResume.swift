internal import ControlClient
internal import Domain

/// `roost alias resume`
enum AliasResume {
  static let command: Command = Command(
    "alias resume", "go on with its paused ramp",
    purpose: "Goes on with an alias' paused ramp.",
    arguments: [Positional("ALIAS", "id or name")], examples: ["roost alias resume prod"],
    run: { context in
      let ramp = try context.client().changeRamp(context.first, "resume")
      try context.show(ramp, names: [ramp.aliasName]) { "alias \(ramp.aliasName): \(ramp.message)\n" }
    })
}
