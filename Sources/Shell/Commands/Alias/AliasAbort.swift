internal import ControlClient
internal import Domain

/// `roost alias abort`
enum AliasAbort {
  static let command: Command = Command(
    "alias abort", "end its ramp and bring the old shares back",
    purpose: "Ends an alias' ramp and brings back the shares before it.",
    arguments: [Positional("ALIAS", "id or name")], examples: ["roost alias abort prod"],
    run: { context in
      let ramp = try context.client().changeRamp(context.first, "abort")
      try context.show(ramp, names: [ramp.aliasName]) { "alias \(ramp.aliasName): \(ramp.message)\n" }
    })
}
