/// `roost profile set`
enum ProfileSet {
  static let command: Command = Command(
    "profile set", "write one",
    purpose:
      "Writes a profile from --url and --token-file into your configuration (0600). The first one is used.",
    arguments: [Positional("NAME", "of the profile")],
    examples: ["roost profile set local --url http://127.0.0.1:8800 --token-file ./data/admin.token"],
    run: { context in
      let environment = context.surroundings.environment
      var all = try Profiles.load(environment)
      var profile = all.profiles[context.first] ?? Profiles.Profile()
      guard context.parsed.text("url") != nil || context.parsed.text("token-file") != nil else {
        throw CommandFailure.usage("give --url, --token-file or both", ProfileSet.command)
      }
      if let url = context.parsed.text("url") { profile.url = url }
      if let file = context.parsed.text("token-file") {
        // Relative to where it was said, not to where it will be used.
        profile.tokenFile = LocalFile.resolved(file) ?? file
      }
      all.profiles[context.first] = profile
      if all.current == nil { all.current = context.first }
      try all.save(environment)
      context.note("profile \(context.first) is in \(Profiles.path(environment))")
    })
}
