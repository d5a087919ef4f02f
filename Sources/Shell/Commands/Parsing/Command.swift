/// An option of a command.
struct Flag: Sendable {
  enum Kind: Sendable, Equatable {
    /// Takes no value.
    case toggle
    case text
    case integer
    case number
    /// `15s`, `5m`, `1h`.
    case duration
    /// `512MiB`, `2GiB`.
    case size
    case choice([String])
  }

  var name: String
  var short: Character?
  var kind: Kind
  /// Shown in place of the value.
  var value: String
  var help: String
  var required: Bool
  var repeatable: Bool

  init(
    _ name: String, short: Character? = nil, _ kind: Kind = .text, value: String = "", _ help: String,
    required: Bool = false, repeatable: Bool = false
  ) {
    self.name = name
    self.short = short
    self.kind = kind
    self.value = value.isEmpty ? Self.placeholder(kind) : value
    self.help = help
    self.required = required
    self.repeatable = repeatable
  }

  private static func placeholder(_ kind: Kind) -> String {
    switch kind {
    case .toggle: ""
    case .text: "TEXT"
    case .integer, .number: "N"
    case .duration: "TIME"
    case .size: "SIZE"
    case .choice(let choices): choices.joined(separator: "|")
    }
  }
}

/// A value that stands without a flag.
struct Positional: Sendable {
  var name: String
  var help: String
  var required = true
  var repeatable = false

  init(_ name: String, _ help: String, required: Bool = true, repeatable: Bool = false) {
    self.name = name
    self.help = help
    self.required = required
    self.repeatable = repeatable
  }
}

/// A verb of the command line: what it takes, what its help says and what it does.
struct Command: Sendable {
  /// `["node", "create"]`.
  var path: [String]
  /// One line, for lists of commands.
  var summary: String
  /// What it is for.
  var purpose: String
  var arguments: [Positional]
  var flags: [Flag]
  var examples: [String]
  /// Unknown flags go on to another program.
  var passesThrough = false
  /// Not in lists of commands.
  var isHidden = false
  /// Said instead of words that are too many or unknown flags: they may be what must not be repeated.
  var surplus: String?
  var run: @Sendable (Context) async throws -> Void

  init(
    _ path: String, _ summary: String, purpose: String, arguments: [Positional] = [], flags: [Flag] = [],
    examples: [String], passesThrough: Bool = false, isHidden: Bool = false,
    surplus: String? = nil,
    run: @escaping @Sendable (Context) async throws -> Void
  ) {
    self.path = path.split(separator: " ").map(String.init)
    self.summary = summary
    self.purpose = purpose
    self.arguments = arguments
    self.flags = flags
    self.examples = examples
    self.passesThrough = passesThrough
    self.isHidden = isHidden
    self.surplus = surplus
    self.run = run
  }

  var name: String { path.joined(separator: " ") }

  /// `roost node call NAME --input JSON|@FILE|- [flags]`
  var usage: String {
    var parts = ["roost", name]
    for argument in arguments {
      let text = argument.name + (argument.repeatable ? "..." : "")
      parts.append(argument.required ? text : "[\(text)]")
    }
    parts += flags.filter(\.required).map { "--\($0.name) \($0.value)" }
    if passesThrough {
      parts.append("[options]")
    } else if flags.contains(where: { !$0.required }) {
      parts.append("[flags]")
    }
    return parts.joined(separator: " ")
  }

  /// Flags that every command takes.
  static let globalFlags: [Flag] = [
    Flag("url", .text, value: "URL", "the server (ROOST_URL; default http://127.0.0.1:8800)"),
    Flag("token-file", .text, value: "FILE", "file with the token (ROOST_TOKEN_FILE; or ROOST_TOKEN)"),
    Flag("profile", .text, value: "NAME", "profile of this call (ROOST_PROFILE)"),
    Flag("output", short: "o", .choice(["table", "json", "yaml", "name"]), "how to print (default table)"),
    Flag("quiet", short: "q", .toggle, "no progress and no closing lines"),
    Flag("no-color", .toggle, "no colors (NO_COLOR)"),
    Flag("help", short: "h", .toggle, "this help"),
  ]
}
