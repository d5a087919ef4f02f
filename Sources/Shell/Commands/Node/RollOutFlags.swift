internal import Domain

/// The flags that say how a new release takes the place of the former one.
enum RollOutFlags {
  static let flags: [Flag] = [
    Flag(
      "strategy", .choice(["surge", "recreate"]),
      "new instances before old ones leave, or old ones first, as many as --maintenance-limit (surge)"),
    Flag("surge", .integer, value: "N", "most instances more than wanted during a roll-out (1)"),
    Flag(
      "roll-out-failures", .integer, value: "N",
      "a new release is given up after so many of its instances failed (3)"),
    Flag(
      "roll-out-deadline", .duration,
      "a new release is given up when no instance of it became healthy for this long (600s)"),
  ]

  /// What the flags say; nil when none was given.
  static func spec(_ parsed: ParsedArguments) -> RollOutSpec? {
    let spec = RollOutSpec(
      strategy: parsed.text("strategy"), surge: parsed.integer("surge"),
      failures: parsed.integer("roll-out-failures"),
      deadlineSeconds: parsed.duration("roll-out-deadline").map { Int($0.fractionalSeconds.rounded(.up)) })
    return spec == RollOutSpec() ? nil : spec
  }
}
