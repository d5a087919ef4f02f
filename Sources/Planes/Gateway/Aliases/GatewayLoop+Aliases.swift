internal import Access
internal import CLinux
internal import Domain
internal import Glibc
internal import HTTPTransport
internal import Reactor
internal import Wire

/// A node that an alias chose for a request.
struct AliasChoice {
  let alias: LoopAlias
  let node: LoopNode
  let counters: ShareCounters
  /// What the caller is given to stick by; empty: nothing.
  var cookie: [UInt8] = []
  /// By the weights, not by a rule or the caller's choice.
  var isWeighed = false
}

/// Aliases: which of their nodes gets a request.
extension GatewayLoop {
  /// The aliases of a table that comes into use; its nodes are in use already.
  func useAliases(_ next: LoopTable) {
    var former: [AliasID: LoopAlias] = [:]
    for alias in aliases { former[alias.routed.id] = alias }
    var slots: [NodeID: Int] = [:]
    for (slot, node) in nodes.enumerated() { slots[node.entry.routed.id] = slot }
    aliases = next.aliases.map { entry in
      LoopAlias(
        entry, nodes: { id in slots[id].map { nodes[$0] } },
        folders: entry.routed.spec.acl.compactMap { NodeKey($0.text) }, hold: hold(of: entry),
        after: former[entry.routed.id])
    }
    aliasPlaces.removeAll(keepingCapacity: true)
    lastAlias = nil
    for (place, alias) in aliases.enumerated() {
      aliasPlaces[AliasHash.of(alias.name), default: []].append(place)
    }
  }

  /// An alias that the host names, `NAME.DOMAIN`, or the beginning of the path, `/aliases/NAME/proxy`.
  func aliasRoute(
    _ exchange: HTTPExchange, _ base: UnsafePointer<UInt8>, _ fields: UnsafeMutablePointer<HTTP1Field>
  ) -> ProxyRoute? {
    let start = Int(exchange.head.targetStart)
    let end = start + Int(exchange.head.targetCount)
    let (prefix, marker): (StaticString, StaticString) = ("/aliases/", "/proxy")
    if end - start > 15, scan_equals_lower(base + start, prefix.utf8Start, 9) != 0 {
      let from = start + 9
      var to = from
      while to < end, base[to] != 0x2f { to += 1 }
      let rest = to + 6
      if to > from, rest <= end, scan_equals_lower(base + to, marker.utf8Start, 6) != 0,
        rest == end || base[rest] == 0x2f || base[rest] == 0x3f
      {
        return ProxyRoute(rule: .path, id: from..<to, isAlias: true, rest: rest)
      }
    }
    guard !aliasDomain.isEmpty, exchange.head.host >= 0, !isOwn(base + start, end - start) else {
      return nil
    }
    let host = fields[Int(exchange.head.host)]
    let from = Int(host.valueStart)
    var to = from
    while to < from + Int(host.valueCount), base[to] != 0x2e { to += 1 }
    var count = Int(host.valueCount) - (to - from)
    // A port may follow the name.
    for at in to..<(to + count) where base[at] == 0x3a { count = min(count, at - to) }
    guard count == aliasDomain.count, to > from else { return nil }
    for at in 0..<count where scan_lower(base[to + at]) != aliasDomain[at] { return nil }
    // Other names of the domain are not aliases: the console or the API may have one.
    guard alias(UnsafeBufferPointer(start: base + from, count: to - from)) != nil else { return nil }
    return ProxyRoute(rule: .host, id: from..<to, isAlias: true)
  }

  /// By name, with the prefix of the compatible system or without.
  func alias(_ name: UnsafeBufferPointer<UInt8>) -> LoopAlias? {
    guard let base = name.baseAddress else { return nil }
    let count = aliasPrefix.count
    let isLong = name.count > count && memcmp(base, aliasPrefix, count) == 0
    let bare = isLong ? UnsafeBufferPointer(rebasing: name[count...]) : name
    // As with nodes: a request asks more than once, and the next one often means the same.
    if let place = lastAlias, aliases[place].isNamed(bare) { return aliases[place] }
    let places = aliasPlaces[AliasHash.of(bare)]
    guard let place = places?.first(where: { aliases[$0].isNamed(bare) }) else { return nil }
    lastAlias = place
    return aliases[place]
  }

  func known(_ name: UnsafeBufferPointer<UInt8>) throws(Refusal) -> LoopAlias {
    guard let alias = alias(name) else {
      throw Refusal(.notFound, "alias '\(String(decoding: name.prefix(96), as: UTF8.self))' does not exist")
    }
    return alias
  }

  /// Whether the caller may call the alias.
  func mayCall(_ verdict: VerdictCache.Verdict, _ alias: LoopAlias) throws(Refusal) {
    guard alias.routed.spec.access == .private, verdict.folder != alias.routed.folderID.text else { return }
    let folder = alias.routed.folderID.text
    guard table?.grants.contains(LoopTable.Grant(subject: verdict.principal.subject, folder: folder)) == true
    else {
      throw Refusal(
        .permissionDenied,
        "alias \(alias.routed.name) is private and \(verdict.principal.subject) may not call in its folder \(folder); it needs the role datasphere.user or a higher one there"
      )
    }
    verdict.folder = folder
  }

  func allow(_ folder: UnsafeBufferPointer<UInt8>, _ alias: LoopAlias, field: String) throws(Refusal) {
    guard let base = folder.baseAddress, let key = NodeKey(base, folder.count), alias.folders.contains(key)
    else {
      throw Refusal(
        .permissionDenied,
        "\(field): the ACL of alias \(alias.routed.name) does not allow calls from folder '\(String(decoding: folder.prefix(64), as: UTF8.self))'"
      )
    }
  }

  func allow(_ folder: String, _ alias: LoopAlias, field: String) throws(Refusal) {
    let bytes = Array(folder.utf8)
    try bytes.withUnsafeBufferPointer { (bytes) throws(Refusal) in try allow(bytes, alias, field: field) }
  }

  /// The node for a request whose caller may call the alias: what the caller chose, a rule, what it sticks by, the weights.
  func choose(
    _ alias: LoopAlias, _ verdict: VerdictCache.Verdict, _ exchange: HTTPExchange,
    _ table: UnsafeMutablePointer<HTTP1Field>, pathStart: Int = 0
  ) throws(Refusal) -> AliasChoice {
    guard let base = exchange.base else { throw Refusal(.internal, "no request", origin: .platform) }
    let fields = ProxyFields(base: base, fields: table, count: Int(exchange.head.fieldCount))
    if let chosen = try chosen(alias, verdict, fields) { return chosen }
    if let hold = alias.hold, !hold.hasEnded, heldNanoseconds == 0 { throw Refusal(holding: hold.alias) }
    for rule in alias.rules where rule.node.entry.routed.refusal == nil {
      if fits(rule, verdict, exchange, fields, max(pathStart, Int(exchange.head.targetStart))) {
        return AliasChoice(alias: alias, node: rule.node, counters: rule.counters)
      }
    }
    var cookie: [UInt8] = []
    guard let place = sticky(alias, verdict, fields, &cookie) ?? alias.next() else { throw alias.refusal }
    let share = alias.shares[place]
    return AliasChoice(
      alias: alias, node: share.node, counters: share.counters, cookie: cookie, isWeighed: true)
  }

  /// What the header `x-alias-target` names.
  private func chosen(
    _ alias: LoopAlias, _ verdict: VerdictCache.Verdict, _ fields: ProxyFields
  ) throws(Refusal) -> AliasChoice? {
    let name: StaticString = "x-alias-target"
    var found: Int?
    for index in 0..<fields.count where fields.fields[index].nameCount == 14 {
      guard scan_equals_lower(fields.name(index), name.utf8Start, 14) != 0 else { continue }
      guard found == nil else { throw Refusal(.invalidArgument, "the header x-alias-target is given twice") }
      found = index
    }
    guard let found else { return nil }
    guard
      table?.choosers.contains(
        LoopTable.Grant(subject: verdict.principal.subject, folder: alias.routed.folderID.text)) == true
    else {
      throw Refusal(
        .permissionDenied,
        "x-alias-target: \(verdict.principal.subject) may not choose a node of alias \(alias.routed.name); it needs the role developer or a higher one in folder \(alias.routed.folderID)"
      )
    }
    let wanted = fields.value(found)
    let share = alias.shares.first { share in
      wanted.elementsEqual(share.node.shared.id.utf8)
        || wanted.elementsEqual(share.node.entry.routed.name.utf8)
    }
    guard let share else {
      let text = String(decoding: wanted.prefix(64), as: UTF8.self)
      let names = alias.shares.map(\.node.entry.routed.name).joined(separator: ", ")
      throw Refusal(
        .notFound,
        "x-alias-target: '\(text)' has no share of alias \(alias.routed.name); its nodes are \(names)")
    }
    if let refusal = share.node.entry.routed.refusal { throw Refusal(.unavailable, refusal, origin: .node) }
    return AliasChoice(alias: alias, node: share.node, counters: share.counters)
  }

  private func fits(
    _ rule: LoopAlias.Rule, _ verdict: VerdictCache.Verdict, _ exchange: HTTPExchange, _ fields: ProxyFields,
    _ pathStart: Int
  ) -> Bool {
    if let caller = rule.caller, caller != verdict.principal.subject { return false }
    if let prefix = rule.pathPrefix {
      let target = UnsafeBufferPointer(
        start: fields.base + pathStart,
        count: Int(exchange.head.targetStart) + Int(exchange.head.targetCount) - pathStart)
      guard target.starts(with: prefix) else { return false }
    }
    guard let header = rule.header else { return true }
    for index in 0..<fields.count where fields.isNamed(index, header) {
      guard let value = rule.value else { return true }
      if fields.value(index).elementsEqual(value) { return true }
    }
    return false
  }

  /// The share that the request sticks to; nil: it has nothing to stick by, or the alias isn't sticky.
  private func sticky(
    _ alias: LoopAlias, _ verdict: VerdictCache.Verdict, _ fields: ProxyFields, _ cookie: inout [UInt8]
  ) -> Int? {
    guard let sticky = alias.routed.spec.sticky else { return nil }
    switch sticky.by {
    case .caller: return alias.sticking(to: AliasHash.of(verdict.principal.subject.utf8))
    case .header:
      for index in 0..<fields.count where fields.isNamed(index, alias.stickyName) {
        return alias.sticking(to: AliasHash.of(fields.value(index)))
      }
      return nil
    case .cookie:
      if let hash = fields.cookieHash(alias.stickyName) { return alias.sticking(to: hash) }
      let alphabet: StaticString = "abcdefghijklmnopqrstuvwxyz012345"
      for bits in [nextRandom(), nextRandom()] {
        for digit in 0..<8 { cookie.append(alphabet.utf8Start[Int(bits >> UInt64(digit * 5) & 31)]) }
      }
      return alias.sticking(to: AliasHash.of(cookie))
    }
  }

  // MARK: Answers

  /// Lines of an answer that say what the alias did.
  func appendChoice(_ choice: AliasChoice, to exchange: HTTPExchange) {
    let spec = choice.alias.routed.spec
    if spec.showNode {
      exchange.output.append("x-roost-node: ")
      exchange.output.append(choice.node.shared.id)
      exchange.output.append("\r\nx-roost-release: ")
      exchange.output.append(decimal: choice.node.entry.routed.release)
      exchange.output.append("\r\n")
    }
    guard !choice.cookie.isEmpty else { return }
    exchange.output.append("set-cookie: ")
    exchange.output.append(choice.alias.stickyName)
    exchange.output.append("=")
    exchange.output.append(choice.cookie)
    exchange.output.append(
      exchange.isTLS ? "; Path=/; HttpOnly; SameSite=Lax; Secure\r\n" : "; Path=/; HttpOnly; SameSite=Lax\r\n"
    )
  }

  /// Counts an answer for the alias: to its path and to the node's share.
  func count(
    _ choice: AliasChoice, _ path: PathCounters?, status: Int, grpcStatus: Int = 0, microseconds: Int
  ) {
    path?.answered(status: status, microseconds: microseconds)
    choice.counters.answered(status: status, microseconds: microseconds)
    // A caller who went away (499) waited so long in vain: that is a time like any other, but no failure.
    guard choice.isWeighed else { return }
    choice.counters.compared.answered(
      isFailure: status >= 500 || Self.blamesServer(grpcStatus),
      microseconds: status == 101 ? nil : microseconds)
  }

  /// UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE, DATA_LOSS.
  private static func blamesServer(_ grpcStatus: Int) -> Bool {
    grpcStatus == 2 || grpcStatus == 4 || (13...15).contains(grpcStatus)
  }

  /// The counters of an alias' path.
  func pathCounters(_ alias: LoopAlias, _ exchange: HTTPExchange) -> PathCounters? {
    guard let base = exchange.base else { return nil }
    return alias.pathCache.find(
      base + Int(exchange.head.targetStart), Int(exchange.head.targetCount), in: alias.shared.paths)
  }
}

extension ProxyFields {
  /// Whether a field has a name, which is in lower case.
  func isNamed(_ index: Int, _ name: [UInt8]) -> Bool {
    guard Int(fields[index].nameCount) == name.count else { return false }
    let own = self.name(index)
    for at in 0..<name.count where scan_lower(own[at]) != name[at] { return false }
    return true
  }

  /// The hash of the first cookie of a name; nil when there is none.
  func cookieHash(_ name: [UInt8]) -> UInt64? {
    let header: StaticString = "cookie"
    for index in 0..<count where fields[index].nameCount == 6 {
      guard scan_equals_lower(self.name(index), header.utf8Start, 6) != 0 else { continue }
      for pair in value(index).split(separator: 0x3b) {
        let pair = pair.drop { $0 == 0x20 }
        guard pair.count > name.count, pair.starts(with: name),
          pair[pair.startIndex + name.count] == 0x3d
        else { continue }
        return AliasHash.of(pair.dropFirst(name.count + 1))
      }
    }
    return nil
  }
}
