internal import ControlClient
public import Domain

/// The command line of Roost.
public struct Shell: Sendable {
  /// Of this program.
  public static let version = "0.1.0"

  let serve: @Sendable (ServeOptions) async -> Int32
  let doctor: @Sendable (DoctorOptions) async -> Int32
  let upgrade: @Sendable (UpgradeOptions) async -> UpgradeOutcome
  let surroundings: Surroundings

  /// The closures run the service, look at the machine and have another process take over; what the first two return is the
  /// exit code.
  public init(
    serve: @escaping @Sendable (ServeOptions) async -> Int32,
    doctor: @escaping @Sendable (DoctorOptions) async -> Int32,
    upgrade: @escaping @Sendable (UpgradeOptions) async -> UpgradeOutcome
  ) {
    self.init(surroundings: .process(), serve: serve, doctor: doctor, upgrade: upgrade)
  }

  init(
    surroundings: Surroundings, serve: @escaping @Sendable (ServeOptions) async -> Int32,
    doctor: @escaping @Sendable (DoctorOptions) async -> Int32,
    upgrade: @escaping @Sendable (UpgradeOptions) async -> UpgradeOutcome = { _ in .silent }
  ) {
    self.upgrade = upgrade
    self.surroundings = surroundings
    self.serve = serve
    self.doctor = doctor
  }

  /// Runs one command; `arguments` without the program's name. Returns the exit code.
  public func run(_ arguments: [String]) async -> Int32 {
    do {
      try await dispatch(arguments)
      return ExitCode.ok.rawValue
    } catch let error as CommandFailure {
      return report(error, arguments)
    } catch let error as ClientError {
      return report(CommandFailure(error), arguments)
    } catch let error as ProgramEnd {
      return error.code
    } catch is CancellationError {
      return ExitCode.failed.rawValue
    } catch {
      return report(CommandFailure(.failed, "\(error)"), arguments)
    }
  }

  private func dispatch(_ arguments: [String]) async throws {
    var (words, globals) = Self.split(arguments)
    if words.isEmpty {
      if globals.contains("--version") { words = ["version", "--client"] } else { words = ["help"] }
      globals.removeAll { $0 == "--version" || $0 == "--help" || $0 == "-h" }
    }
    guard let command = CommandTree.find(words) else {
      if let topic = CommandTree.group(words) {
        surroundings.print(Help.group(topic))
        if words.count == 1, globals.isEmpty { throw ProgramEnd(code: ExitCode.usage.rawValue) }
        return
      }
      throw CommandTree.unknown(words)
    }
    let parsed = try ParsedArguments(globals + words.dropFirst(command.path.count), for: command)
    if parsed.toggle("help") { return surroundings.print(Help.command(command)) }
    try await command.run(Context(parsed: parsed, surroundings: surroundings, shell: self))
  }

  /// Global flags may stand before the noun: they are moved behind the verb.
  private static func split(_ arguments: [String], isNoun: Bool = true) -> (
    words: [String], globals: [String]
  ) {
    var rest = arguments[...]
    var globals: [String] = []
    while let word = rest.first, word.hasPrefix("-"), word != "-", word != "--" {
      rest.removeFirst()
      globals.append(word)
      let flag = Command.globalFlags.first { flag in
        word == "--\(flag.name)" || flag.short.map { word == "-\($0)" } == true
      }
      if let flag, flag.kind != .toggle, let value = rest.popFirst() { globals.append(value) }
    }
    // `roost node --help`, `roost node -o json list`: flags between the noun and the verb.
    if isNoun, rest.count > 1, let noun = rest.first, CommandTree.find([noun]) == nil {
      let (verb, middle) = split(Array(rest.dropFirst()), isNoun: false)
      return ([noun] + verb, globals + middle)
    }
    return (Array(rest), globals)
  }

  private func report(_ failure: CommandFailure, _ arguments: [String]) -> Int32 {
    let colors =
      surroundings.errorIsTerminal && !arguments.contains("--no-color")
      && surroundings.environment["NO_COLOR", default: ""].isEmpty
    let label = colors ? "\u{1b}[31merror:\u{1b}[0m" : "error:"
    surroundings.printError(
      ([label + " " + failure.message] + failure.details).joined(separator: "\n") + "\n")
    return failure.code.rawValue
  }
}

/// Ends the program with a code and nothing more to say.
struct ProgramEnd: Error { var code: Int32 }
