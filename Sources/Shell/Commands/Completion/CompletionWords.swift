/// `roost __complete`: what the completion of a shell asks for.
enum CompletionWords {
  static let command: Command = Command(
    "__complete", "candidates for the last word", purpose: "Prints candidates for the last of the words.",
    arguments: [Positional("WORDS", "the line so far", required: false, repeatable: true)], examples: [],
    passesThrough: true, isHidden: true,
    run: { context in
      // Behind `--`, so that flags on the line are words here.
      for word in candidates(context.parsed.passed) { context.print(word) }
    })

  /// Candidates for the last word, which may be empty.
  static func candidates(_ words: [String]) -> [String] {
    let prefix = words.last ?? ""
    let before = Array(words.dropLast())
    return all(before, prefix).filter { $0.hasPrefix(prefix) }
  }

  private static func all(_ before: [String], _ prefix: String) -> [String] {
    guard let command = CommandTree.find(before) else {
      if before.isEmpty { return CommandTree.nouns.map(\.name) }
      return before.count == 1
        ? CommandTree.visible.filter { $0.path.first == before[0] }.map { $0.path[1] } : []
    }
    let flags = command.flags + Command.globalFlags
    if let last = before.last,
      let flag = flags.first(where: { "--\($0.name)" == last || $0.short.map { "-\($0)" } == last })
    {
      if case .choice(let choices) = flag.kind { return choices }
      if flag.kind != .toggle { return [] }
    }
    if prefix.hasPrefix("-") { return flags.map { "--\($0.name)" } }
    switch command.path {
    case ["completion"]: return CompletionShow.scripts.map(\.shell)
    case ["help"]: return CommandTree.nouns.map(\.name) + ["exit-codes", "environment"]
    default: return []
    }
  }
}
