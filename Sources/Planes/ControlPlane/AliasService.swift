public import Domain
internal import Planning
public import Storage

/// What users do to aliases. A change is in the store, and in use by the gateway, before it is acknowledged.
public struct AliasService: Sendable {
  let world: NodeWorld
  let fleet: Fleet

  public init(world: NodeWorld, fleet: Fleet) {
    self.world = world
    self.fleet = fleet
  }

  /// `acl` are the folders that the request names.
  public func create(
    _ request: CreateAliasRequest, folder: FolderRecord, acl: [FolderID], by subject: String
  ) async throws(PlatformError) -> AliasRecord {
    let name = AliasValidation.bare(request.name)
    let spec = try judge(request, folder: folder.id, acl: acl, former: nil, try await world.store.allNodes())
    let now = world.now()
    let record = AliasRecord(
      id: .random(), folderID: folder.id, name: name, specJSON: try StoredJSON.text(spec),
      slotsJSON: try StoredJSON.text(slots(spec, after: [])), createdAt: now, createdBy: subject,
      updatedAt: now)
    try await world.store.createAlias(record)
    await fleet.aliasesChanged()
    return record
  }

  /// What a whole request comes to; throws what is wrong with it.
  func judge(
    _ request: CreateAliasRequest, folder: FolderID, acl: [FolderID], former: AliasSpec?,
    _ nodes: [NodeRecord]
  ) throws(PlatformError) -> AliasSpec {
    try ResourceName.check(AliasValidation.bare(request.name))
    let spec = AliasSpec(
      description: request.description ?? "", shares: try shares(request.shares, folder, nodes),
      access: try access(request.access), acl: acl.isEmpty ? [folder] : acl,
      sticky: lowered(request.sticky),
      rules: try rules(request.rules ?? [], folder, nodes), metadata: request.metadata ?? [:],
      showNode: request.showNode ?? false)
    try check(spec, nodes)
    if request.allowBreaking != true { try checkContract(spec.shares, of: former?.shares, nodes) }
    return spec
  }

  /// Changes what `fields` name.
  public func update(
    _ alias: AliasRecord, _ request: UpdateAliasRequest, fields: [String], acl: [FolderID]
  ) async throws(PlatformError) -> AliasRecord {
    if let generation = request.generation, generation != alias.generation {
      throw PlatformError(
        .aborted,
        "generation: alias '\(alias.name)' was changed by somebody else (generation \(alias.generation), yours is \(generation)): read it again and repeat the change",
        origin: .caller, field: "generation")
    }
    let nodes = try await world.store.allNodes()
    var spec = try StoredJSON.value(AliasSpec.self, from: alias.specJSON)
    for field in fields {
      switch field {
      case "description": spec.description = request.description ?? ""
      case "shares": spec.shares = try shares(request.shares ?? [], alias.folderID, nodes)
      case "access": spec.access = try access(request.access)
      case "acl": spec.acl = acl.isEmpty ? [alias.folderID] : acl
      case "sticky": spec.sticky = lowered(request.sticky)
      case "rules": spec.rules = try rules(request.rules ?? [], alias.folderID, nodes)
      case "metadata": spec.metadata = request.metadata ?? [:]
      default: spec.showNode = request.showNode ?? false
      }
    }
    try check(spec, nodes)
    let former = try StoredJSON.value(AliasSpec.self, from: alias.specJSON)
    if spec.shares != former.shares { try await refuseDuringRamp(of: alias, "shares") }
    if request.allowBreaking != true { try checkContract(spec.shares, of: former.shares, nodes) }
    try await AliasGate.check(alias, spec.shares, after: former.shares, world, fleet)
    let stored = try await world.store.updateAlias(try changed(alias, spec))
    await fleet.aliasesChanged()
    return stored
  }

  /// The record with another spec, and the slots that go with it.
  func changed(_ alias: AliasRecord, _ spec: AliasSpec) throws(PlatformError) -> AliasRecord {
    var record = alias
    record.specJSON = try StoredJSON.text(spec)
    let slots = try StoredJSON.value([NodeID].self, from: alias.slotsJSON)
    record.slotsJSON = try StoredJSON.text(self.slots(spec, after: slots))
    record.updatedAt = world.now()
    return record
  }

  public func delete(_ alias: AliasRecord) async throws(PlatformError) {
    try await refuseDuringRamp(of: alias)
    try await world.store.removeAlias(alias.id)
    await fleet.aliasesChanged()
  }

  /// Throws when an alias sends requests to the node; takes its empty shares out of the others.
  public func release(_ node: NodeRecord) async throws(PlatformError) {
    let aliases = try await world.store.allAliases()
    try refuseUse(of: node, aliases)
    for alias in aliases {
      let spec = try StoredJSON.value(AliasSpec.self, from: alias.specJSON)
      guard spec.shares.contains(where: { $0.nodeId == node.id }) else { continue }
      try await refuseDuringRamp(of: alias)
    }
    for alias in aliases {
      var spec = try StoredJSON.value(AliasSpec.self, from: alias.specJSON)
      guard spec.shares.contains(where: { $0.nodeId == node.id }) else { continue }
      spec.shares.removeAll { $0.nodeId == node.id }
      var record = alias
      record.specJSON = try StoredJSON.text(spec)
      record.updatedAt = world.now()
      try await world.store.updateAlias(record)
    }
  }

  private func refuseUse(of node: NodeRecord, _ aliases: [AliasRecord]) throws(PlatformError) {
    for alias in aliases {
      let spec = try StoredJSON.value(AliasSpec.self, from: alias.specJSON)
      let weight = spec.shares.first { $0.nodeId == node.id }?.weight ?? 0
      guard weight > 0 || spec.rules.contains(where: { $0.nodeId == node.id }) else { continue }
      let what = weight > 0 ? "\(weight) % of its requests" : "requests by a rule"
      throw PlatformError(
        .failedPrecondition,
        "alias '\(alias.name)' sends \(what) to node '\(node.name)': give its share to others first (roost alias update \(alias.name) --share NODE=100), or delete the alias",
        origin: .caller)
    }
  }

  // MARK: Parts

  private func shares(
    _ requested: [RequestedShare], _ folder: FolderID, _ nodes: [NodeRecord]
  ) throws(PlatformError) -> [AliasShare] {
    var found: [AliasShare] = []
    for (index, share) in requested.enumerated() {
      let node = try node(share.node, "shares[\(index)].node", folder, nodes)
      found.append(AliasShare(nodeId: node.id, weight: share.weight))
    }
    return found
  }

  private func rules(
    _ requested: [RequestedAliasRule], _ folder: FolderID, _ nodes: [NodeRecord]
  ) throws(PlatformError) -> [AliasRule] {
    var found: [AliasRule] = []
    for (index, rule) in requested.enumerated() {
      let node = try node(rule.node, "rules[\(index)].node", folder, nodes)
      found.append(
        AliasRule(
          nodeId: node.id, header: rule.header?.lowercased(), value: rule.value, pathPrefix: rule.pathPrefix,
          caller: rule.caller))
    }
    return found
  }

  /// A node that an alias of the folder may use: one of that folder, or one whose ACL names it.
  func node(
    _ key: String, _ field: String, _ folder: FolderID, _ nodes: [NodeRecord]
  ) throws(PlatformError) -> NodeRecord {
    let named = nodes.filter { $0.id.text == key || $0.name == key }
    let live = named.filter { $0.deletedAt == nil }
    guard let node = live.first(where: { $0.folderID == folder }) ?? live.first else {
      if named.isEmpty {
        throw PlatformError(
          .notFound, "\(field): no node '\(key)'; list them with: roost node list", origin: .caller,
          field: field)
      }
      throw PlatformError(
        .failedPrecondition, "\(field): node '\(key)' is being deleted; name another one", origin: .caller,
        field: field)
    }
    let intent = try StoredJSON.value(NodeIntent.self, from: node.specJSON)
    guard node.folderID == folder || intent.spec.acl.contains(folder) else {
      throw PlatformError(
        .permissionDenied,
        "\(field): node '\(key)' belongs to folder \(node.folderID), and its ACL does not name the alias' folder \(folder)",
        origin: .caller, field: field)
    }
    return node
  }

  func check(_ spec: AliasSpec, _ nodes: [NodeRecord]) throws(PlatformError) {
    let name = { (id: NodeID) in nodes.first { $0.id == id }?.name ?? id.text }
    try AliasValidation.check(spec, names: name)
    // Callers must be able to send every request to every node.
    let ids = spec.shares.map(\.nodeId) + spec.rules.map(\.nodeId)
    var first: (name: String, isCell: Bool)?
    for id in ids {
      guard let node = nodes.first(where: { $0.id == id }) else { continue }
      let isCell = try StoredJSON.value(NodeIntent.self, from: node.specJSON).spec.kind == .cell
      guard let known = first else {
        first = (node.name, isCell)
        continue
      }
      guard known.isCell == isCell else {
        let (cell, server) = isCell ? (node.name, known.name) : (known.name, node.name)
        throw .invalid(
          "shares",
          "shares: '\(cell)' runs a cell and '\(server)' is a server: they can't answer the same requests")
      }
    }
  }

  /// Refuses a cell beside servers, or a server beside cells.
  func checkKind(
    of node: NodeRecord, beside others: [NodeID], _ field: String, _ nodes: [NodeRecord]
  ) throws(PlatformError) {
    guard let other = nodes.first(where: { others.contains($0.id) }) else { return }
    let isCell = try StoredJSON.value(NodeIntent.self, from: node.specJSON).spec.kind == .cell
    let areCells = try StoredJSON.value(NodeIntent.self, from: other.specJSON).spec.kind == .cell
    guard isCell != areCells else { return }
    throw .invalid(
      field,
      "\(field): '\(node.name)' \(isCell ? "runs a cell and '\(other.name)' is a server" : "is a server and '\(other.name)' runs a cell"): they can't answer the same requests"
    )
  }

  /// Whoever calls nodes with a weight now must not notice when a node gets its first part of their requests. Without a
  /// `former` the alias is new, and each node is compared with those before it.
  func checkContract(
    _ shares: [AliasShare], of former: [AliasShare]?, _ nodes: [NodeRecord], field: String? = nil
  ) throws(PlatformError) {
    func spec(_ id: NodeID) throws(PlatformError) -> (name: String, spec: NodeSpec)? {
      guard let node = nodes.first(where: { $0.id == id }) else { return nil }
      return (node.name, try StoredJSON.value(NodeIntent.self, from: node.specJSON).spec)
    }
    var serving = (former ?? []).filter { $0.weight > 0 }
    for (index, share) in shares.enumerated() where share.weight > 0 {
      guard !serving.contains(where: { $0.nodeId == share.nodeId }), let new = try spec(share.nodeId) else {
        continue
      }
      defer { if former == nil { serving.append(share) } }
      for share in serving {
        guard let old = try spec(share.nodeId) else { continue }
        let found = breaking(from: old.spec, to: new.spec)
        guard !found.isEmpty else { continue }
        let field = field ?? "shares[\(index)].node"
        throw PlatformError(
          .failedPrecondition,
          "\(field): callers of '\(old.name)' would notice '\(new.name)': \(found.joined(separator: "; ")). Change it, or allow it (allowBreaking, --allow-breaking)",
          origin: .caller, field: field)
      }
    }
  }

  private func breaking(from old: NodeSpec, to new: NodeSpec) -> [String] {
    if let old = old.cell, let new = new.cell {
      return ContractChange.breaking(from: (old.inputs, old.outputs), to: (new.inputs, new.outputs))
        .map(\.description)
    }
    if let old = old.model, let new = new.model {
      return ContractChange.breaking(from: old.models, to: new.models).map(\.description)
    }
    guard let from = old.endpoint?.type, let to = new.endpoint?.type, from != to else { return [] }
    return ["endpoint.type: \(from) became \(to)"]
  }

  private func access(_ text: String?) throws(PlatformError) -> AliasAccess {
    guard let text else { return .private }
    guard let access = AliasAccess(rawValue: text) else {
      throw .invalid("access", "access: '\(text)' must be private or public")
    }
    return access
  }

  private func lowered(_ sticky: AliasStickiness?) -> AliasStickiness? {
    guard var sticky, sticky.by == .header else { return sticky }
    sticky.name = sticky.name?.lowercased()
    return sticky
  }

  /// The node of each slot; also of aliases that are not sticky yet, so that becoming so moves nobody later.
  func slots(_ spec: AliasSpec, after former: [NodeID]) -> [NodeID] {
    AliasSlots.assign(spec.shares, after: former).map { spec.shares[$0].nodeId }
  }
}
