internal import ControlClient
internal import Domain

/// `roost alias describe`
enum AliasDescribe {
  static let command: Command = Command(
    "alias describe", "shares, what they really got, errors and latencies",
    purpose:
      "Describes an alias: its nodes with the parts that they should get and did get, and how they answered.",
    arguments: [Positional("ALIAS", "id or name")], examples: ["roost alias describe prod"],
    run: { context in
      let client = try context.client()
      let alias = try client.alias(context.first)
      try context.show(alias, names: [alias.name]) { text(alias, context, url: client.url) }
    })

  static func text(_ alias: AliasResource, _ context: Context, url: String) -> String {
    let spec = alias.spec
    var facts = Facts()
    facts.add("Name", alias.name)
    facts.add("Full name", alias.fullName)
    facts.add("ID", alias.id.text)
    facts.add("Description", spec.description)
    facts.add("Status", alias.status.rawValue)
    if let hold = alias.hold {
      let why = hold.reason.isEmpty ? "" : " (\(hold.reason))"
      facts.add(
        "Held",
        "until \(hold.endsAt) by \(hold.startedBy)\(why): \(hold.waiting) of at most \(hold.requestLimit) requests wait, \(hold.waitSeconds) s each at most"
      )
    }
    facts.add("Access", spec.access.rawValue)
    facts.add("Folder", alias.folderId.text)
    facts.add("Allowed from", spec.acl.map(\.text).joined(separator: ", "))
    facts.add("Generation", "\(alias.generation)")
    if let sticky = spec.sticky {
      facts.add("Sticky by", sticky.by.rawValue + (sticky.name.map { " \($0)" } ?? ""))
    }
    facts.add(
      "Metadata",
      spec.metadata.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ", "))
    facts.add("Made", "\(alias.createdAt) (\(context.age(of: alias.createdAt)) ago) by \(alias.createdBy)")
    let total = alias.shares.reduce(0) { $0 + $1.requests }
    var table = Table("NODE", "WEIGHT", "GOT", "REQUESTS", "FAILED", "P50", "P95", "STATE")
    for share in alias.shares {
      table.add(
        share.nodeName, "\(share.weight) %", percent(share.requests, of: total), "\(share.requests)",
        percent(share.failures, of: share.requests), time(share.p50Milliseconds), time(share.p95Milliseconds),
        share.serving ? "serving" : Table.oneLine(share.reason ?? "not serving", width: 100))
    }
    var text = facts.text + "\n" + table.text
    if let ramp = alias.ramp { text += "\n" + AliasRamp.summary(ramp) }
    if !spec.rules.isEmpty {
      var rules = Table("RULE", "NODE")
      for rule in spec.rules {
        let node = alias.shares.first { $0.nodeId == rule.nodeId }?.nodeName ?? rule.nodeId.text
        rules.add(fits(rule), node)
      }
      text += "\n" + rules.text
    }
    return text
      + "\nCall it:\n  \(url)\(alias.executePath), or any path with the header x-node-alias: \(alias.name)\n"
  }

  private static func fits(_ rule: AliasRule) -> String {
    [
      rule.header.map { "header \($0)" + (rule.value.map { "=\($0)" } ?? "") },
      rule.pathPrefix.map { "path \($0)" }, rule.caller.map { "caller \($0)" },
    ].compactMap { $0 }.joined(separator: ", ")
  }

  static func percent(_ part: Int, of total: Int) -> String {
    guard total > 0 else { return "-" }
    let tenths = (part * 1000 + total / 2) / total
    return "\(tenths / 10).\(tenths % 10) %"
  }

  static func time(_ milliseconds: Double?) -> String {
    guard let milliseconds else { return "-" }
    let tenths = Int((milliseconds * 10).rounded())
    return "\(tenths / 10).\(tenths % 10) ms"
  }
}
