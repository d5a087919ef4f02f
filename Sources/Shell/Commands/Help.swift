/// The texts of `--help` and `roost help`.
enum Help {
  static func command(_ command: Command) -> String {
    var text = "\(command.purpose)\n\nUsage:\n  \(command.usage)\n"
    if !command.arguments.isEmpty {
      text += "\nArguments:\n" + aligned(command.arguments.map { ($0.name, $0.help) })
    }
    if !command.flags.isEmpty { text += "\nFlags:\n" + aligned(command.flags.map(row)) }
    text += "\nExamples:\n" + command.examples.map { "  \($0)\n" }.joined()
    return text + "\nGlobal flags:\n" + aligned(Command.globalFlags.map(row))
  }

  static func group(_ noun: String) -> String {
    let summary = CommandTree.nouns.first { $0.name == noun }?.summary ?? ""
    let commands = CommandTree.visible.filter { $0.path.first == noun }
    return "roost \(noun): \(summary)\n\nCommands:\n" + aligned(commands.map { ($0.name, $0.summary) })
      + "\nHelp of one: roost \(noun) VERB --help\n"
  }

  static let overview =
    "Roost turns a notebook cell into a load-balanced REST API.\n\nUsage:\n  roost NOUN VERB [flags]\n\nNouns:\n"
    + aligned(CommandTree.nouns.map { ($0.name, $0.summary) })
      + """

      From a notebook to an API:
        roost serve --data ./data --listen 127.0.0.1:8800
        export ROOST_URL=http://127.0.0.1:8800 ROOST_TOKEN_FILE=./data/admin.token
        roost notebook run NOTEBOOK.ipynb
        roost checkpoint list
        roost checkpoint pin CHECKPOINT_ID --name my-checkpoint
        roost node create my-node --checkpoint my-checkpoint --input x:int --output y:int --wait
        roost node call my-node --input '{"x": 1}'

      Topics: roost help environment, roost help exit-codes
      Help of a command: roost NOUN VERB --help

      """

  static let exitCodes =
    "How roost ends:\n" + aligned(ExitCode.allCases.map { (String($0.rawValue), $0.meaning) })

  static let environment =
    "Variables that roost reads. Flags come first, then variables, then the profile, then defaults.\n"
    + aligned([
      ("ROOST_URL", "address of the server (http://127.0.0.1:8800)"),
      ("ROOST_TOKEN", "the token itself"),
      ("ROOST_TOKEN_FILE", "file that holds the token, like DATA/admin.token"),
      ("ROOST_PROFILE", "name of a profile: roost profile set"),
      ("ROOST_PYTHON", "the Python of roost notebook"),
      ("NO_COLOR", "when set and not empty: no colors"),
      ("XDG_CONFIG_HOME", "where roost/config.json lies (~/.config)"),
    ])

  private static func row(_ flag: Flag) -> (String, String) {
    let head =
      (flag.short.map { "-\($0), " } ?? "") + "--\(flag.name)" + (flag.value.isEmpty ? "" : " \(flag.value)")
    return (
      head, flag.help + (flag.required ? " (required)" : "") + (flag.repeatable ? " (may be repeated)" : "")
    )
  }

  private static func aligned(_ rows: [(String, String)]) -> String {
    let width = min(rows.map(\.0.count).max() ?? 0, 34)
    return rows.map { row in
      let gap =
        row.0.count > width
        ? "\n" + String(repeating: " ", count: width + 4)
        : String(repeating: " ", count: width - row.0.count + 2)
      return "  " + row.0 + gap + row.1 + "\n"
    }.joined()
  }
}
