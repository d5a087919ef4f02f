internal import ControlClient
internal import Domain

/// `roost alias promote`
enum AliasPromote {
  static let command: Command = Command(
    "alias promote", "give the candidate of its ramp all at once",
    purpose:
      "Ends an alias' ramp: the candidate gets the last step's percent at once, whatever was seen of it.",
    arguments: [Positional("ALIAS", "id or name")], examples: ["roost alias promote prod"],
    run: { context in
      let ramp = try context.client().changeRamp(context.first, "promote")
      try context.show(ramp, names: [ramp.aliasName]) { "alias \(ramp.aliasName): \(ramp.message)\n" }
    })
}
