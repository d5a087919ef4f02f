internal import Domain
internal import Glibc

/// An alias as one loop sees it. Lives and dies with its loop.
final class LoopAlias {
  struct Share {
    let node: LoopNode
    let weight: Int
    let counters: ShareCounters
    /// Credit of the smooth weighted round robin.
    var credit = 0
  }

  /// A rule with its texts as bytes.
  struct Rule {
    let node: LoopNode
    let counters: ShareCounters
    let header: [UInt8]?
    let value: [UInt8]?
    let pathPrefix: [UInt8]?
    let caller: String?
  }

  let name: [UInt8]
  let routed: RoutedAlias
  let shared: SharedAlias
  private(set) var shares: [Share] = []
  let rules: [Rule]
  /// Shares with a weight whose node takes requests.
  private let open: [Int]
  /// The sum of their weights.
  private let total: Int
  /// The share of each slot, as an index; only of a sticky alias.
  private let slots: [Int]
  /// Folders that a request may name.
  let folders: [NodeKey]
  var allowsOwnFolder: Bool { routed.spec.acl.contains(routed.folderID) }
  /// Its nodes run cells; else requests are passed on whole.
  let isCells: Bool
  /// Some of its requests are copied.
  let isCopied: Bool
  var pathCache = PathCache()
  let stickyName: [UInt8]
  /// Set while requests wait.
  let hold: LoopHold?

  /// `former` is the same alias in the last table: who comes next does not change with a table that changed something else.
  init(
    _ entry: LoopTable.Alias, nodes: (NodeID) -> LoopNode?, folders: [NodeKey], hold: LoopHold?,
    after former: LoopAlias?
  ) {
    self.hold = hold
    routed = entry.routed
    shared = entry.shared
    name = Array(entry.routed.name.utf8)
    self.folders = folders
    var found: [Share] = []
    var places: [Int: Int] = [:]
    for (index, share) in entry.routed.spec.shares.enumerated() {
      guard let node = nodes(share.nodeId) else { continue }
      places[index] = found.count
      found.append(
        Share(node: node, weight: share.weight, counters: entry.shared.counters(of: share.nodeId)))
    }
    rules = entry.routed.spec.rules.compactMap { rule in
      nodes(rule.nodeId).map {
        Rule(
          node: $0, counters: entry.shared.counters(of: rule.nodeId),
          header: rule.header.map { Array($0.utf8) },
          value: rule.value.map { Array($0.utf8) }, pathPrefix: rule.pathPrefix.map { Array($0.utf8) },
          caller: rule.caller)
      }
    }
    slots = entry.routed.slots.map { places[$0] ?? -1 }
    open = found.indices.filter { found[$0].weight > 0 && found[$0].node.entry.routed.refusal == nil }
    total = open.reduce(0) { $0 + found[$1].weight }
    isCopied = entry.routed.copying != nil
    isCells = found.contains { !$0.node.entry.routed.outputs.isEmpty }
    stickyName = Array((entry.routed.spec.sticky?.name ?? "").utf8)
    if let former, former.open == open, former.shares.map(\.weight) == found.map(\.weight),
      former.shares.map(\.counters.node) == found.map(\.counters.node)
    {
      for index in found.indices { found[index].credit = former.shares[index].credit }
    }
    shares = found
  }

  /// Whether this is its name, without the prefix.
  func isNamed(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
    guard let base = bytes.baseAddress else { return false }
    return bytes.count == name.count && memcmp(base, name, name.count) == 0
  }

  /// Whose turn it is: of any hundred requests in a row each share gets exactly its weight, evenly spread (while all shares
  /// take requests; else the others' weights count in proportion). Nil when no share takes any.
  func next() -> Int? {
    guard open.count > 1 else { return open.first }
    var best = open[0]
    var most = Int.min
    for index in open {
      shares[index].credit += shares[index].weight
      if shares[index].credit > most {
        most = shares[index].credit
        best = index
      }
    }
    shares[best].credit -= total
    return best
  }

  /// The share that what hashes so always gets while it takes requests; meanwhile another one, also always the same.
  func sticking(to hash: UInt64) -> Int? {
    let slot = Int(hash % UInt64(AliasHash.slots))
    if slot < slots.count, slots[slot] >= 0, open.contains(slots[slot]) { return slots[slot] }
    guard total > 0 else { return nil }
    var left = Int((hash >> 32) % UInt64(total))
    for index in open {
      left -= shares[index].weight
      if left < 0 { return index }
    }
    return open.last
  }

  /// Why nobody can serve, by node.
  var refusal: Refusal {
    let reasons = shares.filter { $0.weight > 0 }.map { share in
      "node \(share.node.entry.routed.name): \(share.node.entry.routed.refusal ?? "")"
    }
    let text = reasons.isEmpty ? "its nodes are gone" : reasons.joined(separator: "; ")
    return Refusal(
      .unavailable, "no node of alias \(routed.name) takes requests now: \(text)", origin: .node)
  }
}

/// The hash by which requests stick. The same in every process, so that a restart moves nobody.
enum AliasHash {
  static let slots = 100

  static func of(_ bytes: some Sequence<UInt8>) -> UInt64 {
    // FNV-1a, then mixed: the remainder of a division looks at all of it.
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    hash = (hash ^ hash >> 33) &* 0xff51_afd7_ed55_8ccd
    hash = (hash ^ hash >> 33) &* 0xc4ce_b9fe_1a85_ec53
    return hash ^ hash >> 33
  }
}
