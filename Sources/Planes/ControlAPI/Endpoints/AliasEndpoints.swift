import Access
import ControlPlane
import Domain
import HTTPModel
import Storage

/// Aliases.
enum AliasEndpoints {
  static func list(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("folder", "page_size", "page_token")
    var records = try await api.store.allAliases().filter { call.sees($0.folderID) }
    if let name = call.query["folder"] {
      let folder = try await FolderEndpoints.find(name, field: "folder", api)
      records.removeAll { $0.folderID != folder.id }
    }
    let (page, next) = try Paging.page(records, call, key: \.id.text)
    let nodes = try await api.store.allNodes()
    var items: [AliasResource] = []
    for record in page { items.append(try await resource(record, nodes, api)) }
    return try Answer.json(ListResource(items: items, nextPageToken: next))
  }

  static func create(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    let request = try call.body(CreateAliasRequest.self)
    let folder = try await FolderEndpoints.find(request.folder ?? "default", field: "folder", api)
    try call.require(.develop, on: folder.id)
    let record = try await api.aliases.create(
      request, folder: folder, acl: try await NodeEndpoints.folders(request.acl ?? [], api), by: call.subject)
    try await Audit.record("CreateAlias", record.id.text, call, api)
    return try Answer.json(try await resource(record, api), status: 201)
  }

  static func get(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery()
    return try Answer.json(try await resource(try await find(call, .view, api), api))
  }

  static func update(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("update_mask")
    let alias = try await find(call, .develop, api)
    let request = try call.body(UpdateAliasRequest.self)
    let fields = try UpdateMask.fields(call, known: AliasService.fields)
    let acl = try await NodeEndpoints.folders(request.acl ?? [], api)
    let record = try await api.aliases.update(alias, request, fields: fields, acl: acl)
    try await Audit.record("UpdateAlias", record.id.text, call, api)
    return try Answer.json(try await resource(record, api))
  }

  static func delete(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery()
    let alias = try await find(call, .develop, api)
    try await api.aliases.delete(alias)
    await api.mirrors.forget(alias.id)
    await api.recordings.forget(alias.id)
    try await Audit.record("DeleteAlias", alias.id.text, call, api)
    return Answer.empty()
  }

  static func hold(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery()
    let alias = try await find(call, .develop, api)
    try await api.aliases.hold(alias, try call.body(HoldAliasRequest.self), by: call.subject)
    try await Audit.record("HoldAlias", alias.id.text, call, api)
    return try Answer.json(try await resource(alias, api))
  }

  static func release(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery()
    let alias = try await find(call, .develop, api)
    // Who asks twice, or after the hold ended by itself, has what was wanted.
    if try await api.aliases.release(alias) {
      try await Audit.record("ReleaseAlias", alias.id.text, call, api)
    }
    return try Answer.json(try await resource(alias, api))
  }

  // MARK: Parts

  /// An alias by id or name, with or without the prefix of the compatible system.
  static func find(
    _ call: Call, _ permission: Permission, _ api: APIWorld
  ) async throws(PlatformError) -> AliasRecord {
    let key = AliasValidation.bare(call.segments[0])
    let found = try await api.store.allAliases().first { $0.id.text == key || $0.name == key }
    guard let found, call.sees(found.folderID) else {
      throw PlatformError(
        .notFound, "alias: no alias '\(key)'; list them with: roost alias list", origin: .caller,
        field: "alias")
    }
    try call.require(permission, on: found.folderID)
    return found
  }

  /// The id of an alias that this caller may call: a public one anybody may.
  static func callable(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> AliasID {
    let key = AliasValidation.bare(call.segments[0])
    if let found = try await api.store.allAliases().first(where: { $0.name == key }),
      try StoredJSON.value(AliasSpec.self, from: found.specJSON).access == .public
    {
      return found.id
    }
    return try await find(call, .call, api).id
  }

  private static func resource(
    _ record: AliasRecord, _ api: APIWorld
  ) async throws(PlatformError) -> AliasResource {
    try await resource(record, try await api.store.allNodes(), api)
  }

  private static func resource(
    _ record: AliasRecord, _ nodes: [NodeRecord], _ api: APIWorld
  ) async throws(PlatformError) -> AliasResource {
    let spec = try StoredJSON.value(AliasSpec.self, from: record.specJSON)
    let loads = await api.fleet.loads(ofAlias: record.id)
    var shares: [AliasShareStatus] = []
    for share in spec.shares {
      let reason = await api.fleet.refusal(of: share.nodeId)
      let load = loads.first { $0.node == share.nodeId }
      shares.append(
        AliasShareStatus(
          nodeId: share.nodeId, nodeName: nodes.first { $0.id == share.nodeId }?.name ?? share.nodeId.text,
          weight: share.weight, serving: reason == nil, reason: reason, requests: load?.requests ?? 0,
          failures: load?.failures ?? 0, p50Milliseconds: load?.p50Milliseconds,
          p95Milliseconds: load?.p95Milliseconds))
    }
    let weighty = shares.filter { $0.weight > 0 }
    let served = weighty.count { $0.serving }
    return AliasResource(
      id: record.id, folderId: record.folderID, name: record.name,
      fullName: AliasValidation.prefix + record.name, createdAt: record.createdAt,
      createdBy: record.createdBy, updatedAt: record.updatedAt, generation: record.generation, spec: spec,
      status: served == weighty.count ? .healthy : served > 0 ? .degraded : .unhealthy, shares: shares,
      executePath: "/datasphere/v1/aliases/\(record.name):execute",
      hold: try await api.aliases.hold(of: record.id),
      ramp: try await api.ramps.summary(of: record))
  }
}
