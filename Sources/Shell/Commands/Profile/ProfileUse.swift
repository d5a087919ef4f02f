/// `roost profile use`
enum ProfileUse {
  static let command: Command = Command(
    "profile use", "make one the default",
    purpose: "Makes a profile the one that is used when none is named.",
    arguments: [Positional("NAME", "of the profile")], examples: ["roost profile use local"],
    run: { context in
      var all = try Profiles.load(context.surroundings.environment)
      guard all.profiles[context.first] != nil else {
        throw CommandFailure(
          .notFound, "profile: there is no profile '\(context.first)'; make it with: roost profile set")
      }
      all.current = context.first
      try all.save(context.surroundings.environment)
      context.note("profile \(context.first) is used from now on")
    })
}
