internal import ControlClient
internal import Domain

/// What a command works with: its arguments, the process around it and the server.
struct Context: Sendable {
  let parsed: ParsedArguments
  let surroundings: Surroundings
  let shell: Shell

  var format: OutputFormat { parsed.text("output").flatMap(OutputFormat.init) ?? .table }
  var isQuiet: Bool { parsed.toggle("quiet") }
  var positionals: [String] { parsed.positionals }
  /// The first argument; the parser has seen that there is one.
  var first: String { parsed.positionals.first ?? "" }

  // MARK: The server

  /// Address and token: flags before environment before profile before defaults.
  func target() throws(CommandFailure) -> (url: String, token: String?, tokenFile: String?) {
    let profile = try profile()
    let environment = surroundings.environment
    let url = parsed.text("url") ?? environment["ROOST_URL"] ?? profile?.url ?? "http://127.0.0.1:8800"
    let set = environment["ROOST_TOKEN"].flatMap { $0.isEmpty ? nil : $0 }
    let asked = parsed.text("token-file")
    if asked == nil, let set { return (url, set, nil) }
    guard let file = asked ?? environment["ROOST_TOKEN_FILE"] ?? profile?.tokenFile, !file.isEmpty else {
      return (url, nil, nil)
    }
    let text = String(decoding: try LocalFile.read(file), as: UTF8.self)
    return (url, String(text.filter { !$0.isWhitespace }), file)
  }

  private func profile() throws(CommandFailure) -> Profiles.Profile? {
    let asked =
      parsed.text("profile") ?? surroundings.environment["ROOST_PROFILE"].flatMap { $0.isEmpty ? nil : $0 }
    let all = try Profiles.load(surroundings.environment)
    guard let name = asked ?? all.current else { return nil }
    guard let found = all.profiles[name] else {
      throw CommandFailure(
        .usage, "profile: there is no profile '\(name)'; list them with: roost profile list")
    }
    return found
  }

  func client() throws -> ControlClient {
    let target = try target()
    return try ControlClient(url: target.url, token: target.token)
  }

  // MARK: Printing

  func print(_ text: String) { surroundings.print(text.hasSuffix("\n") ? text : text + "\n") }

  /// A closing line; silent with `--quiet`.
  func note(_ text: String) { if !isQuiet { surroundings.printError(text + "\n") } }

  /// Prints a value the way `-o` says.
  func show(_ value: some Encodable, names: [String], table: () -> String) throws {
    switch format {
    case .table: surroundings.print(table())
    case .json: print(try Rendered.json(value).pretty)
    case .yaml: surroundings.print(YAMLEmitter.text(try Rendered.json(value)))
    case .name: for name in names { print(name) }
    }
  }

  func age(of time: Timestamp) -> String { Quantity.age(surroundings.now() - time) }

  /// Prints a listing once, or again and again with `--watch`.
  func list<Item: Listed>(
    _ fetch: () throws -> ListResource<Item>, name: (Item) -> String, table: ([Item]) -> String
  ) async throws {
    try await show { try rendered(try fetch(), name: name, table: table) }
  }

  private func rendered<Item: Listed>(
    _ list: ListResource<Item>, name: (Item) -> String, table: ([Item]) -> String
  ) throws -> String {
    switch format {
    case .table: table(list.items)
    case .json: try Rendered.json(list).pretty + "\n"
    case .yaml: YAMLEmitter.text(try Rendered.json(list))
    case .name: list.items.map { name($0) + "\n" }.joined()
    }
  }

  /// Apart from `list`, and not inlined into it: Swift 6.3's optimizer crashes on a specialized generic coroutine with this loop.
  @inline(never)
  private func show(_ render: () throws -> String) async throws {
    var last = ""
    while true {
      let text = try render()
      if text != last {
        let clears = parsed.toggle("watch") && surroundings.outputIsTerminal
        surroundings.print((clears ? "\u{1b}[H\u{1b}[2J" : "") + text)
      }
      last = text
      guard parsed.toggle("watch") else { return }
      try await surroundings.pause(.seconds(2))
    }
  }

  static let watchFlag = Flag("watch", short: "w", .toggle, "print again whenever it changes, until stopped")
}
