/// `roost profile list`
enum ProfileList {
  static let command: Command = Command(
    "profile list", "yours", purpose: "Lists your profiles; the one in use has a star.",
    examples: ["roost profile list"],
    run: { context in
      let all = try Profiles.load(context.surroundings.environment)
      let names = all.profiles.keys.sorted()
      try context.show(all, names: names) {
        var table = Table("NAME", "URL", "TOKEN FILE")
        for name in names {
          let profile = all.profiles[name]
          table.add(
            (all.current == name ? "* " : "  ") + name, profile?.url ?? "-", profile?.tokenFile ?? "-")
        }
        return table.text
      }
    })
}
