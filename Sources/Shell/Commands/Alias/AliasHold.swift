internal import ControlClient
internal import Domain

/// `roost alias hold`
enum AliasHold {
  static let command: Command = Command(
    "alias hold", "let requests wait while you work on what is behind",
    purpose:
      "Lets the requests of an alias wait, for maintenance: those under way end, new ones wait until the hold ends or is released. What developers send with x-alias-target passes.",
    arguments: [Positional("ALIAS", "id or name")],
    flags: [
      Flag("for", .duration, "how long at most: 1s to 10m; the hold ends then by itself"),
      Flag("release", .toggle, "end it now: what waits is sent to the nodes at once"),
      Flag("limit", .integer, value: "N", "most requests that wait (1000); others are refused with 429"),
      Flag("max-wait", .duration, "longest that one request waits (as long as the hold), then 503"),
      Flag("reason", .text, "what refused callers are told"),
    ],
    examples: [
      "roost alias hold prod --for 30s --reason 'the database moves'", "roost alias hold prod --release",
    ],
    run: { context in
      let (command, parsed) = (AliasHold.command, context.parsed)
      let duration = parsed.duration("for")
      guard parsed.toggle("release") != (duration != nil) else {
        throw CommandFailure.usage("give either --for TIME or --release", command)
      }
      let client = try context.client()
      guard let duration else {
        let alias = try client.releaseAlias(context.first)
        return try context.show(alias, names: [alias.name]) { "alias \(alias.name) is not held (any more)\n" }
      }
      let request = HoldAliasRequest(
        durationSeconds: Int(duration.components.seconds), requestLimit: parsed.integer("limit"),
        waitSeconds: parsed.duration("max-wait").map { Int($0.components.seconds) },
        reason: parsed.text("reason"))
      let alias = try client.holdAlias(context.first, request)
      try context.show(alias, names: [alias.name]) {
        let until = alias.hold.map { " until \($0.endsAt)" } ?? ""
        return
          "requests to alias \(alias.name) wait\(until); let them go with: roost alias hold \(alias.name) --release\n"
      }
    })
}
