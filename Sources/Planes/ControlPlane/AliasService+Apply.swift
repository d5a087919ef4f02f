public import Domain
public import Storage

/// What applying a request comes to, and the alias as it is then; nil after a dry run of a new one.
public struct AppliedAlias: Sendable {
  public var action: ApplyAction
  public var changes: [FieldChange]
  public var record: AliasRecord?
}

extension AliasService {
  /// Creates an alias, or makes the one of that name as the request says: what is left out gets its default.
  ///
  /// - Parameters:
  ///   - former: the alias of that name.
  ///   - expected: names of nodes that are about to be made; a dry run takes them for made.
  ///   - isDryRun: everything is checked, nothing is done.
  public func apply(
    _ request: CreateAliasRequest, to former: AliasRecord?, folder: FolderRecord, acl: [FolderID],
    expected: Set<String>, isDryRun: Bool, by subject: String
  ) async throws(PlatformError) -> AppliedAlias {
    if let former, former.folderID != folder.id {
      throw .invalid(
        "folder",
        "folder: alias '\(former.name)' belongs to folder \(former.folderID), which can't be changed; delete it first, or take another name"
      )
    }
    if isDryRun {
      let (known, nodes) = try await reduced(request, to: expected)
      let old = try former.map { (alias) throws(PlatformError) in
        try StoredJSON.value(AliasSpec.self, from: alias.specJSON)
      }
      guard let known else {
        // Shares of nodes that are not made yet: what can't be known yet is told when it is.
        let changes = [FieldChange(field: "shares", before: nil, after: Self.text(request.shares))]
        return AppliedAlias(
          action: former == nil ? .created : .changed, changes: former == nil ? [] : changes, record: former)
      }
      let spec = try judge(known, folder: folder.id, acl: acl, former: old, nodes)
      guard let old else { return AppliedAlias(action: .created, changes: [], record: nil) }
      let changes = try SpecChanges.between(old, spec)
      return AppliedAlias(action: changes.isEmpty ? .unchanged : .changed, changes: changes, record: former)
    }
    guard let former else {
      let record = try await create(request, folder: folder, acl: acl, by: subject)
      return AppliedAlias(action: .created, changes: [], record: record)
    }
    let old = try StoredJSON.value(AliasSpec.self, from: former.specJSON)
    let nodes = try await world.store.allNodes()
    let spec = try judge(request, folder: folder.id, acl: acl, former: old, nodes)
    let changes = try SpecChanges.between(old, spec)
    guard !changes.isEmpty else { return AppliedAlias(action: .unchanged, changes: [], record: former) }
    let update = UpdateAliasRequest(
      generation: former.generation, description: request.description, shares: request.shares,
      access: request.access, acl: request.acl, sticky: request.sticky, rules: request.rules,
      metadata: request.metadata, showNode: request.showNode, allowBreaking: request.allowBreaking)
    let record = try await self.update(former, update, fields: AliasService.fields, acl: acl)
    return AppliedAlias(action: .changed, changes: changes, record: record)
  }

  /// All that an update may name.
  public static let fields = [
    "shares", "description", "access", "acl", "sticky", "rules", "metadata", "showNode",
  ]

  /// The request when all its nodes exist, with the nodes; nil when some are only expected. Those that are neither are refused.
  private func reduced(
    _ request: CreateAliasRequest, to expected: Set<String>
  ) async throws(PlatformError) -> (CreateAliasRequest?, [NodeRecord]) {
    let nodes = try await world.store.allNodes()
    let named = request.shares.map(\.node) + (request.rules ?? []).map(\.node)
    let missing = named.filter { name in
      !nodes.contains { $0.deletedAt == nil && ($0.name == name || $0.id.text == name) }
    }
    guard !missing.isEmpty, missing.allSatisfy(expected.contains) else { return (request, nodes) }
    let sum = request.shares.reduce(0) { $0 + $1.weight }
    guard sum == 100 else {
      throw .invalid("shares", "shares: the weights sum to \(sum), not to 100: \(Self.text(request.shares))")
    }
    return (nil, nodes)
  }

  private static func text(_ shares: [RequestedShare]) -> String {
    shares.map { "\($0.node) \($0.weight)" }.joined(separator: ", ")
  }

  /// A request that would make an alias as it is, with names where there are any.
  public func request(of alias: AliasRecord) async throws(PlatformError) -> CreateAliasRequest {
    let spec = try StoredJSON.value(AliasSpec.self, from: alias.specJSON)
    let nodes = try await world.store.allNodes()
    let name = { (id: NodeID) in nodes.first { $0.id == id }?.name ?? id.text }
    var folders: [String] = []
    for id in spec.acl { folders.append(try await world.store.folder(id)?.name ?? id.text) }
    return CreateAliasRequest(
      name: alias.name, folder: try await world.store.folder(alias.folderID)?.name,
      description: spec.description.isEmpty ? nil : spec.description,
      shares: spec.shares.map { RequestedShare(node: name($0.nodeId), weight: $0.weight) },
      access: spec.access.rawValue, acl: folders, sticky: spec.sticky,
      rules: spec.rules.isEmpty
        ? nil
        : spec.rules.map {
          RequestedAliasRule(
            node: name($0.nodeId), header: $0.header, value: $0.value, pathPrefix: $0.pathPrefix,
            caller: $0.caller)
        },
      metadata: spec.metadata.isEmpty ? nil : spec.metadata, showNode: spec.showNode ? true : nil)
  }
}
