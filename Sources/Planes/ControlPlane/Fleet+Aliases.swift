public import Domain
internal import Planning
internal import Storage

extension Fleet {
  /// Aliases changed in the store. Returns when the gateway uses them.
  func aliasesChanged() async { await publish() }

  /// Every alias as the gateway needs it.
  func routedAliases() async throws(PlatformError) -> [RoutedAlias] {
    var routed: [RoutedAlias] = []
    let holds = try await world.store.holds(at: world.now())
    let settings = try await world.store.aliasSettings()
    for record in try await world.store.allAliases() {
      let spec = try StoredJSON.value(AliasSpec.self, from: record.specJSON)
      var slots: [Int] = []
      if spec.sticky != nil {
        let nodes = try StoredJSON.value([NodeID].self, from: record.slotsJSON)
        slots = nodes.map { node in spec.shares.firstIndex { $0.nodeId == node } ?? 0 }
      }
      routed.append(
        RoutedAlias(
          id: record.id, name: record.name, generation: record.generation, folderID: record.folderID,
          spec: spec, slots: slots, hold: holds.first { $0.aliasID == record.id }.map(RoutedHold.init),
          copying: try AliasCopying.routed(settings, record, spec)))
    }
    return routed
  }

  public func loads(ofAlias alias: AliasID) async -> [ShareLoad] { await sink.loads(ofAlias: alias) }

  /// Requests of an alias that wait because it is held.
  func held(ofAlias alias: AliasID) async -> Int { await sink.held(ofAlias: alias) }

  func compared(ofAlias alias: AliasID) async -> [NodeID: RampWindow] { await sink.compared(ofAlias: alias) }

  /// Why a node takes no requests now; nil: it does.
  public func refusal(of node: NodeID) -> String? {
    guard let route = routes[node] else { return "it does not exist" }
    return route.refusal
  }
}

extension RoutedHold {
  init(_ record: AliasHoldRecord) {
    self.init(
      endsAt: record.endsAt,
      durationMilliseconds: UInt32(
        clamping: (record.endsAt.microseconds - record.startedAt.microseconds) / 1000),
      limit: record.requestLimit, waitMilliseconds: UInt32(clamping: record.waitSeconds * 1000),
      reason: record.reason)
  }
}
