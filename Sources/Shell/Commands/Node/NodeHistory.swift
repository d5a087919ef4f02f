internal import ControlClient
internal import Domain

/// `roost node history`
enum NodeHistory {
  static let command: Command = Command(
    "node history", "its releases and what became of them",
    purpose:
      "Lists a node's releases, the newest first: when and by whom each was made, what it changed against the one before, and whether it serves, failed or was superseded.",
    arguments: [Positional("NODE", "id or name")], flags: [],
    examples: ["roost node history my-node", "roost node rollback my-node --to 3"],
    run: { context in
      let releases = try context.client().releases(of: context.first)
      try context.show(releases, names: releases.items.map { String($0.number) }) {
        text(releases.items, context)
      }
    })

  static func text(_ releases: [ReleaseResource], _ context: Context) -> String {
    var table = Table("RELEASE", "STATE", "SINCE", "INSTANCES", "MADE", "BY", "CHANGES")
    for release in releases {
      let changes = release.changes.isEmpty && release.former == nil ? ["first release"] : lines(release)
      table.add(
        String(release.number), release.state.rawValue, context.age(of: release.stateAt),
        String(release.instances), "\(context.age(of: release.createdAt)) ago", release.createdBy,
        changes.first ?? "-")
      for line in changes.dropFirst() { table.add("", "", "", "", "", "", line) }
    }
    let notes = releases.compactMap { release in
      release.message.map { "release \(release.number): \($0)\n" }
    }
    return table.text + (notes.isEmpty ? "" : "\n" + notes.joined())
  }

  private static func lines(_ release: ReleaseResource) -> [String] {
    release.changes.map {
      Table.oneLine("\($0.field): \($0.before ?? "none") -> \($0.after ?? "none")", width: 120)
    }
  }
}
