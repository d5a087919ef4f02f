import Access
import ControlPlane
import Domain
import HTTPModel
import Storage

/// Nodes and their instances.
enum NodeEndpoints {
  static func list(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("folder", "page_size", "page_token")
    var records = try await api.store.allNodes().filter { call.sees($0.folderID) }
    if let name = call.query["folder"] {
      let folder = try await FolderEndpoints.find(name, field: "folder", api)
      records.removeAll { $0.folderID != folder.id }
    }
    let (page, next) = try Paging.page(records.sorted { $0.name < $1.name }, call, key: \.id.text)
    var items: [NodeResource] = []
    for record in page { items.append(try await resource(record, api, full: false)) }
    return try Answer.json(ListResource(items: items, nextPageToken: next))
  }

  static func create(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    let request = try call.body(CreateNodeRequest.self)
    let (project, folder, acl) = try await owners(request, call, api)
    let operation = try await api.nodes.create(
      request, project: project, folder: folder, acl: acl, by: call.subject)
    try await Audit.record("CreateNode", operation.resourceID, call, api)
    return try await OperationEndpoints.started(operation, call, api)
  }

  static func validate(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    let request = try call.body(CreateNodeRequest.self)
    let (project, folder, acl) = try await owners(request, call, api)
    return try Answer.json(try await api.nodes.validate(request, project: project, folder: folder, acl: acl))
  }

  static func get(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery()
    return try Answer.json(try await resource(try await find(call, .view, api), api, full: true))
  }

  static func update(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("update_mask")
    let node = try await find(call, .develop, api)
    let request = try call.body(UpdateNodeRequest.self)
    let fields = try UpdateMask.fields(call, known: NodeService.updatable.sorted())
    let acl = try await folders(request.acl ?? [], api)
    let operation = try await api.nodes.update(node, request, fields: fields, acl: acl, by: call.subject)
    try await Audit.record("UpdateNode", node.id.text, call, api)
    return try await OperationEndpoints.started(operation, call, api)
  }

  static func delete(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try await change("DeleteNode", call, api) { node throws(PlatformError) in
      try await api.aliases.release(node)
      return try await api.nodes.delete(node, by: call.subject)
    }
  }

  static func suspend(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try await change("SuspendNode", call, api) { node throws(PlatformError) in
      try await api.nodes.suspend(node, by: call.subject)
    }
  }

  static func resume(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try await change("ResumeNode", call, api) { node throws(PlatformError) in
      try await api.nodes.resume(node, by: call.subject)
    }
  }

  static func reset(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try await change("ResetNode", call, api) { node throws(PlatformError) in
      try await api.nodes.reset(node, by: call.subject)
    }
  }

  static func rollBack(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    let node = try await find(call, .develop, api)
    let request = call.request.body.isEmpty ? RollbackRequest() : try call.body(RollbackRequest.self)
    let operation = try await api.nodes.rollBack(node, to: request.release, by: call.subject)
    try await Audit.record("RollbackNode", node.id.text, call, api)
    return try await OperationEndpoints.started(operation, call, api)
  }

  /// What became of a node's releases, the newest first.
  static func releases(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("page_size", "page_token")
    let node = try await find(call, .view, api)
    let all = try await api.nodes.releases(of: node)
    return try Paging.answer(all, call, key: \.name) { $0 }
  }

  /// A change of one node that has no body: find, do, record, answer with the operation.
  private static func change(
    _ event: String, _ call: Call, _ api: APIWorld,
    _ make: (NodeRecord) async throws(PlatformError) -> OperationRecord
  ) async throws(PlatformError) -> HTTPResponse {
    let node = try await find(call, .develop, api)
    let operation = try await make(node)
    try await Audit.record(event, node.id.text, call, api)
    return try await OperationEndpoints.started(operation, call, api)
  }

  static func instances(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("page_size", "page_token")
    let node = try await find(call, .view, api)
    let all = await api.fleet.snapshot(of: node.id)?.instances ?? []
    return try Paging.answer(all, call, key: \.id.text) { $0 }
  }

  /// How the number of instances follows the load, and what it did.
  static func scaling(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery()
    let node = try await find(call, .view, api)
    guard let scaling = await api.fleet.scaling(of: node.id) else {
      throw PlatformError(.notFound, "node '\(node.name)' is gone", origin: .caller)
    }
    return try Answer.json(scaling)
  }

  // MARK: Parts

  /// A node by id, or by name among the folders where the caller has a role.
  static func find(_ call: Call, _ permission: Permission, _ api: APIWorld)
    async throws(PlatformError) -> NodeRecord
  {
    try await find(call.segments[0], call, permission, api)
  }

  static func find(_ text: String, _ call: Call, _ permission: Permission, _ api: APIWorld)
    async throws(PlatformError) -> NodeRecord
  {
    let all = try await api.store.allNodes()
    let named = all.filter { $0.id.text == text || ($0.name == text && call.sees($0.folderID)) }
    guard let found = named.first(where: { $0.deletedAt == nil }) ?? named.first else {
      throw PlatformError(
        .notFound, "node: no node '\(text)'; list them with: roost node list", origin: .caller, field: "node")
    }
    try call.require(permission, on: found.folderID)
    return found
  }

  static func owners(
    _ request: CreateNodeRequest, _ call: Call, _ api: APIWorld
  ) async throws(PlatformError) -> (ProjectRecord, FolderRecord, [FolderID]) {
    let project = try await ProjectEndpoints.find(request.project ?? "default", .develop, call, api)
    let folder = try await FolderEndpoints.find(request.folder ?? project.folderID.text, field: "folder", api)
    try call.require(.develop, on: folder.id)
    let acl = try await folders(request.acl ?? [], api)
    return (project, folder, acl.isEmpty ? [folder.id] : acl)
  }

  static func folders(_ names: [String], _ api: APIWorld) async throws(PlatformError) -> [FolderID] {
    var result: [FolderID] = []
    for (index, name) in names.enumerated() {
      result.append(try await FolderEndpoints.find(name, field: "acl[\(index)]", api).id)
    }
    return result
  }

  static func resource(_ record: NodeRecord, _ api: APIWorld, full: Bool) async throws(PlatformError)
    -> NodeResource
  {
    let intent = try StoredJSON.value(NodeIntent.self, from: record.specJSON)
    let snapshot = await api.fleet.snapshot(of: record.id)
    let unseen = NodeStatusResource(
      status: record.deletedAt == nil ? .created : .deleting, healthyInstances: 0,
      desiredInstances: intent.spec.instances.count, release: record.release, conditions: [])
    var resource = NodeResource(
      id: record.id, folderId: record.folderID, projectId: record.projectID, name: record.name,
      kind: intent.spec.kind, createdAt: record.createdAt, createdBy: record.createdBy,
      updatedAt: record.updatedAt,
      generation: record.generation, spec: intent.spec, status: snapshot?.status ?? unseen,
      executePath: intent.spec.kind == .cell || intent.spec.kind == .model
        ? "/datasphere/v1/nodes/\(record.id):execute" : "/nodes/\(record.id)/proxy/")
    if full {
      resource.limits = api.limits(intent.spec)
      resource.example = intent.example
    }
    return resource
  }
}
