internal import ControlClient
internal import Domain

/// `roost drill`
enum Drill {
  static let command: Command = Command(
    "drill", "see that an alias loses nothing when things break",
    purpose:
      "Calls an alias with clients of its own and meanwhile kills an instance, freezes one, slows one, moves weights, holds requests and restarts the server, as roost upgrade does, when it runs on its machine as its user. Fails when a request was lost. An alias is staging when its name or its metadata 'stage' says staging, test, drill or dev; others need --yes.",
    arguments: [Positional("ALIAS", "id or name")],
    flags: [
      Flag("yes", short: "y", .toggle, "disturb an alias that is not staging, too"),
      Flag("for", .duration, "repeat all steps until this time is over; else each is done once"),
      Flag("step", .duration, "how long each step is watched (3s)"),
      Flag("clients", .integer, value: "N", "clients of each kind, each with one request at a time (4)"),
      Flag(
        "input", .text, value: "JSON|@FILE|-",
        "what cells are called with; else the example of the node with the greatest weight"),
      Flag("path", .text, value: "PATH", "what is got of servers (/)"),
      Flag("stream", .text, value: "PATH", "an answer of servers that goes on, such as events"),
      Flag(
        "websocket", .text, value: "PATH",
        "WebSockets of servers, which stay open; only a goodbye (1001, 1012) may end one"),
      Flag("timeout", .duration, "an answer that takes longer is lost (60s)"),
      Flag(
        "data", .text, value: "DIR",
        "the data folder of the server, which is upgraded there (the one that the server tells; else beside the token's file)"
      ),
      Flag(
        "restart", .text, value: "COMMAND",
        "restarts the server without a gap, instead of an upgrade; run by sh"),
      Flag("no-restart", .toggle, "leave the server's process alone"),
    ],
    examples: [
      "roost drill staging", "roost drill staging --for 5m -o json",
      "roost drill staging --no-restart", "roost drill staging --restart 'ssh HOST systemctl reload roost'",
    ],
    run: { context in
      let restart = try DrillRestart.chosen(context)
      let client = try context.client()
      let alias = try client.alias(context.first)
      guard context.parsed.toggle("yes") || isStaging(alias) else {
        throw CommandFailure(
          .usage,
          "alias '\(alias.name)' is not staging: neither its name nor its metadata 'stage' says staging, test, drill or dev. A drill disturbs its nodes; if that is wanted, give --yes"
        )
      }
      let order = try order(client, alias, context)
      let prefix = "drill-\(DrillLoad.now() / 1_000_000)-"
      let load = try await client.load(order, prefix: prefix)
      var run = DrillRun(
        client, context, alias, length: context.parsed.duration("step") ?? .seconds(3),
        restart: restart)
      let report = try await run.run(load, for: context.parsed.duration("for"))
      try context.show(report, names: [alias.name]) { report.text }
      guard report.isGood else { throw CommandFailure(.failed, verdict(report)) }
    })

  private static func verdict(_ report: DrillReport) -> String {
    let failed = report.steps.filter { $0.state == .failed }.map { "\($0.name): \($0.note)" }
    if report.lost > 0 {
      return "\(report.lost) of \(report.requests) requests were lost; see one with: roost explain REQUEST_ID"
    }
    return failed.isEmpty ? "no request was made" : failed.joined(separator: "; ")
  }

  static func isStaging(_ alias: AliasResource) -> Bool {
    let words: Set<String> = ["staging", "stage", "test", "drill", "dev"]
    let stage = alias.spec.metadata["stage"].map { words.contains($0.lowercased()) }
    return stage ?? alias.name.split(separator: "-").contains { words.contains(String($0)) }
  }

  private static func order(
    _ client: ControlClient, _ alias: AliasResource, _ context: Context
  ) throws -> DrillOrder {
    let parsed = context.parsed
    let clients = parsed.integer("clients") ?? 4
    guard (1...64).contains(clients) else {
      throw CommandFailure.usage("--clients: \(clients) is out of range; use 1 to 64", command)
    }
    guard let share = alias.shares.max(by: { $0.weight < $1.weight }) else {
      throw CommandFailure(.failed, "alias '\(alias.name)' has no node")
    }
    let node = try client.node(share.nodeId.text)
    var input: JSONTree?
    if node.kind == .cell {
      guard parsed.text("websocket") == nil else {
        throw CommandFailure.usage(
          "--websocket: the nodes of alias '\(alias.name)' are cells, which have no WebSockets", command)
      }
      input = parsed.text("input") == nil ? try example(of: node) : try NodeCall.input(context)
    }
    let folder = alias.spec.acl.contains(alias.folderId) ? alias.folderId : alias.spec.acl.first
    return DrillOrder(
      alias: alias, folder: (folder ?? alias.folderId).text, input: input, path: parsed.text("path") ?? "/",
      streamPath: parsed.text("stream"), webSocketPath: parsed.text("websocket"), clients: clients,
      pause: .milliseconds(10),
      timeout: parsed.duration("timeout") ?? .seconds(60))
  }

  private static func example(of node: NodeResource) throws -> JSONTree {
    guard let text = node.example else {
      throw CommandFailure(
        .usage, "node '\(node.name)' has no example: say what to call it with: --input JSON")
    }
    do throws(JSONTreeError) { return try JSONTree(parsing: text) } catch {
      throw CommandFailure(.failed, "the example of node '\(node.name)' is not JSON: \(error)")
    }
  }
}
