internal import Domain
internal import Storage

extension AliasService {
  /// The alias with all that `old` has of it given to `new`; nil when it has nothing. Throws what an update by hand would.
  func replaced(
    _ alias: AliasRecord, _ old: NodeID, by new: NodeID, allowBreaking: Bool, _ nodes: [NodeRecord]
  ) throws(PlatformError) -> (record: AliasRecord, share: ReplacedShare)? {
    let former = try StoredJSON.value(AliasSpec.self, from: alias.specJSON)
    let rules = former.rules.count { $0.nodeId == old }
    let place = former.shares.firstIndex { $0.nodeId == old }
    guard place != nil || rules > 0 else { return nil }
    let successor = try node(new.text, "successor", alias.folderID, nodes)
    var spec = former
    let weight = place.map { former.shares[$0].weight } ?? 0
    var after = weight
    if let known = spec.shares.firstIndex(where: { $0.nodeId == new }) {
      spec.shares[known].weight += weight
      after = spec.shares[known].weight
      spec.shares.removeAll { $0.nodeId == old }
    } else if let place {
      spec.shares[place].nodeId = new
    }
    for index in spec.rules.indices where spec.rules[index].nodeId == old { spec.rules[index].nodeId = new }
    do throws(PlatformError) {
      try check(spec, nodes)
      if !allowBreaking { try checkContract(spec.shares, of: former.shares, nodes) }
    } catch {
      throw PlatformError(
        error.code, "successor: alias '\(alias.name)' can't take '\(successor.name)': \(error.message)",
        origin: .caller, field: "successor")
    }
    var record = alias
    record.specJSON = try StoredJSON.text(spec)
    // Callers that stick to the former node go to its successor, and nobody else moves.
    let slots = try StoredJSON.value([NodeID].self, from: alias.slotsJSON).map { $0 == old ? new : $0 }
    record.slotsJSON = try StoredJSON.text(self.slots(spec, after: slots))
    record.updatedAt = world.now()
    return (
      record,
      ReplacedShare(
        aliasId: alias.id, aliasName: alias.name, weight: weight, successorWeight: after, rules: rules)
    )
  }
}
