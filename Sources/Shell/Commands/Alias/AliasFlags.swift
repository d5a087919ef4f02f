internal import Domain

/// What `alias create` and `alias update` take.
enum AliasFlags {
  static let share = Flag(
    "share", .text, value: "NODE=PERCENT",
    "a node and its part of the requests; the parts sum to 100, all of them anew", repeatable: true)

  static let flags: [Flag] = [
    Flag("description", .text, "what it is for"),
    Flag(
      "access", .choice(AliasAccess.allCases.map(\.rawValue)),
      "public: every caller with a token; private (default): who may call in the alias' folder"),
    Flag("acl", .text, value: "FOLDER", "a folder that requests may name", repeatable: true),
    Flag(
      "sticky", .text, value: "header:NAME|cookie:NAME|caller|off",
      "requests with the same header, cookie or caller stay at one node"),
    Flag(
      "rule", .text, value: "NODE:FIT[,FIT]",
      "requests that fit go to a node before the weights are asked; FIT is header:NAME[=VALUE], path:PREFIX or caller:ID",
      repeatable: true),
    Flag("metadata", .text, value: "KEY=VALUE", "to keep with it", repeatable: true),
    Flag(
      "allow-breaking", .toggle, "take nodes whose API breaks what callers of the present ones rely on"),
    Flag("show-node", .choice(["on", "off"]), "answers name the node and the release that made them"),
  ]

  static func shares(_ context: Context, _ command: Command) throws -> [RequestedShare] {
    try context.parsed.texts("share").map { text in
      guard let at = text.lastIndex(of: "="), at != text.startIndex,
        let weight = Int(text[text.index(after: at)...].filter { $0 != "%" })
      else {
        throw CommandFailure.usage("--share: '\(text)' must be NODE=PERCENT, like my-node=90", command)
      }
      return RequestedShare(node: String(text[..<at]), weight: weight)
    }
  }

  static func sticky(_ context: Context, _ command: Command) throws -> AliasStickiness? {
    guard let text = context.parsed.text("sticky"), text != "off" else { return nil }
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    guard let by = AliasStickiness.Source(rawValue: parts[0]), (parts.count == 2) == (by != .caller) else {
      throw CommandFailure.usage(
        "--sticky: '\(text)' must be header:NAME, cookie:NAME, caller or off", command)
    }
    return AliasStickiness(by: by, name: parts.count == 2 ? parts[1] : nil)
  }

  static func rules(_ context: Context, _ command: Command) throws -> [RequestedAliasRule] {
    try context.parsed.texts("rule").map { text in
      func bad() -> CommandFailure {
        CommandFailure.usage(
          "--rule: '\(text)' must be NODE:FIT[,FIT], like beta:header:x-plan=gold or beta:path:/v2/", command)
      }
      guard let colon = text.firstIndex(of: ":"), colon != text.startIndex else { throw bad() }
      var rule = RequestedAliasRule(node: String(text[..<colon]))
      for fit in text[text.index(after: colon)...].split(separator: ",", omittingEmptySubsequences: false) {
        let parts = fit.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, !parts[1].isEmpty else { throw bad() }
        switch parts[0] {
        case "header":
          let pair = parts[1].split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
          rule.header = String(pair[0])
          rule.value = pair.count == 2 ? String(pair[1]) : nil
        case "path": rule.pathPrefix = parts[1]
        case "caller": rule.caller = parts[1]
        default: throw bad()
        }
      }
      return rule
    }
  }

  static func metadata(_ context: Context, _ command: Command) throws -> [String: String]? {
    let texts = context.parsed.texts("metadata")
    guard !texts.isEmpty else { return nil }
    var found: [String: String] = [:]
    for text in texts {
      let pair = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      guard pair.count == 2, !pair[0].isEmpty else {
        throw CommandFailure.usage("--metadata: '\(text)' must be KEY=VALUE", command)
      }
      found[pair[0]] = pair[1]
    }
    return found
  }

  static func showNode(_ context: Context) -> Bool? { context.parsed.text("show-node").map { $0 == "on" } }
}
