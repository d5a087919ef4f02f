/// `roost help`
enum HelpShow {
  static let command: Command = Command(
    "help", "help about commands and topics",
    purpose: "Prints help: about everything, a noun, a command or a topic.",
    arguments: [
      Positional(
        "TOPIC", "a noun, a noun and a verb, exit-codes or environment", required: false, repeatable: true)
    ],
    examples: ["roost help node create", "roost help exit-codes"],
    run: { context in
      let words = context.positionals
      if words.isEmpty { return context.surroundings.print(Help.overview) }
      switch words {
      case ["exit-codes"]: return context.surroundings.print(Help.exitCodes)
      case ["environment"]: return context.surroundings.print(Help.environment)
      default: break
      }
      if let noun = CommandTree.group(words) { return context.surroundings.print(Help.group(noun)) }
      guard let command = CommandTree.find(words) else { throw CommandTree.unknown(words) }
      context.surroundings.print(Help.command(command))
    })
}
