/// The arguments of a call, checked against its command.
struct ParsedArguments: Sendable, Equatable {
  private(set) var positionals: [String] = []
  private(set) var values: [String: [String]] = [:]
  /// What goes on to another program.
  private(set) var passed: [String] = []

  /// Throws a usage failure that names the flag and the fix.
  init(_ arguments: [String], for command: Command) throws(CommandFailure) {
    let flags = command.flags + Command.globalFlags
    var rest = arguments[...]
    var literal = false
    while let word = rest.popFirst() {
      if literal || word == "-" || !word.hasPrefix("-") || Double(word) != nil {
        positionals.append(word)
        if command.passesThrough { passed.append(word) }
      } else if word == "--" {
        literal = true
      } else {
        try take(word, &rest, flags, command)
      }
    }
    if toggle("help") { return }
    if command.passesThrough { positionals = [] } else { try check(command) }
  }

  func text(_ name: String) -> String? { values[name]?.last }
  func texts(_ name: String) -> [String] { values[name] ?? [] }
  func toggle(_ name: String) -> Bool { values[name] != nil }
  func integer(_ name: String) -> Int? { text(name).flatMap { Int($0) } }
  func number(_ name: String) -> Double? { text(name).flatMap { Double($0) } }
  func duration(_ name: String) -> Duration? { text(name).flatMap(Quantity.duration) }
  func size(_ name: String) -> Int64? { text(name).flatMap(Quantity.size) }

  private mutating func take(
    _ word: String, _ rest: inout ArraySlice<String>, _ flags: [Flag], _ command: Command
  ) throws(CommandFailure) {
    let (shown, flag, attached) = Self.match(word, flags)
    guard let flag else {
      if command.passesThrough {
        passed.append(word)
        return
      }
      throw Self.unknown(shown, flags, command)
    }
    if flag.kind == .toggle {
      guard attached == nil else { throw .usage("\(shown) takes no value", command) }
      values[flag.name, default: []].append("")
      return
    }
    guard let value = attached ?? rest.popFirst(), attached != nil || value == "-" || !value.hasPrefix("--")
    else {
      throw .usage("\(shown) needs a value: \(shown) \(flag.value)", command)
    }
    try Self.check(value, of: flag, shown, command)
    if !flag.repeatable, values[flag.name] != nil {
      throw .usage("\(shown) is given twice; give it once", command)
    }
    values[flag.name, default: []].append(value)
  }

  private static func match(_ word: String, _ flags: [Flag]) -> (
    shown: String, flag: Flag?, attached: String?
  ) {
    if word.hasPrefix("--") {
      let sides = word.dropFirst(2).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let name = String(sides.first ?? "")
      return ("--\(name)", flags.first { $0.name == name }, sides.count == 2 ? String(sides[1]) : nil)
    }
    let letter = word.dropFirst().first
    let rest = word.dropFirst(2)
    let flag = flags.first { $0.short != nil && $0.short == letter }
    let attached = rest.isEmpty ? nil : String(rest.hasPrefix("=") ? rest.dropFirst() : rest)
    if flag == nil { return (word, nil, nil) }
    return ("-\(letter.map(String.init) ?? "")", flag, attached)
  }

  private static func unknown(_ shown: String, _ flags: [Flag], _ command: Command) -> CommandFailure {
    if shown == "--value", let surplus = command.surplus { return .usage(surplus, command) }
    let near = Suggestion.nearest(String(shown.drop { $0 == "-" }), among: flags.map(\.name))
    let hint = near.map { "; did you mean --\($0)?" } ?? ""
    return .usage("unknown flag \(shown)\(hint)", command)
  }

  private static func check(
    _ value: String, of flag: Flag, _ shown: String, _ command: Command
  ) throws(CommandFailure) {
    switch flag.kind {
    case .toggle, .text: return
    case .integer:
      if Int(value) == nil { throw .usage("\(shown): '\(value)' is not a whole number", command) }
    case .number:
      if Double(value) == nil { throw .usage("\(shown): '\(value)' is not a number", command) }
    case .duration:
      if Quantity.duration(value) == nil {
        throw .usage("\(shown): '\(value)' is not a time; write 15s, 5m or 1h", command)
      }
    case .size:
      if Quantity.size(value) == nil {
        throw .usage("\(shown): '\(value)' is not a size; write 512MiB or 2GiB", command)
      }
    case .choice(let choices):
      if !choices.contains(value) {
        throw .usage("\(shown): '\(value)' is not one of \(choices.joined(separator: ", "))", command)
      }
    }
  }

  private func check(_ command: Command) throws(CommandFailure) {
    let least = command.arguments.count { $0.required }
    if positionals.count < least {
      throw .usage("\(command.arguments[positionals.count].name) is missing", command)
    }
    let most = command.arguments.contains(where: \.repeatable) ? Int.max : command.arguments.count
    if positionals.count > most {
      if let surplus = command.surplus { throw .usage(surplus, command) }
      throw .usage("unexpected argument '\(positionals[most])'", command)
    }
    if let missing = command.flags.first(where: { $0.required && values[$0.name] == nil }) {
      throw .usage("--\(missing.name) \(missing.value) is missing", command)
    }
  }
}
