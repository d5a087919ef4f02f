internal import ControlClient
internal import Domain

/// `roost alias pause`
enum AliasPause {
  static let command: Command = Command(
    "alias pause", "keep its ramp where it is",
    purpose: "Keeps an alias' ramp where it is. What is surely bad is still rolled back.",
    arguments: [Positional("ALIAS", "id or name")], examples: ["roost alias pause prod"],
    run: { context in
      let ramp = try context.client().changeRamp(context.first, "pause")
      try context.show(ramp, names: [ramp.aliasName]) { "alias \(ramp.aliasName): \(ramp.message)\n" }
    })
}
