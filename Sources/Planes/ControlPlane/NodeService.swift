internal import Contract
public import Domain
public import Storage

/// What users do to nodes. Each change is in the store before it is acknowledged; reconcilers do the rest.
public struct NodeService: Sendable {
  let world: NodeWorld
  let fleet: Fleet

  public init(world: NodeWorld, fleet: Fleet) {
    self.world = world
    self.fleet = fleet
  }

  /// Checks a request as `create` does and changes nothing.
  public func validate(
    _ request: CreateNodeRequest, project: ProjectRecord, folder: FolderRecord, acl: [FolderID]
  ) async throws(PlatformError) -> NodeSpec {
    try ResourceName.check(request.name)
    if request.kind == .address { return try NodeSpecBuilder.addressSpec(request, acl: acl) }
    if request.kind == .image { return try NodeSpecBuilder.imageSpec(request, acl: acl) }
    try NodeSpecBuilder.refuseAddressFields(request)
    let checkpoint = try await pinned(request.checkpoint ?? "", project: project)
    let manifest = try await CheckpointReader(store: world.store, blobs: world.blobs).manifest(of: checkpoint)
    let (inputs, outputs) = try CellValidation.check(
      inputs: request.inputs ?? [], outputs: request.outputs ?? [], manifest: manifest)
    return try NodeSpecBuilder.spec(
      request, checkpoint: checkpoint.id, inputs: inputs, outputs: outputs, acl: acl)
  }

  public func create(
    _ request: CreateNodeRequest, project: ProjectRecord, folder: FolderRecord, acl: [FolderID],
    by subject: String
  ) async throws(PlatformError) -> OperationRecord {
    let spec = try await validate(request, project: project, folder: folder, acl: acl)
    let now = world.now()
    let intent = NodeIntent(spec: spec, example: await example(of: spec))
    let record = NodeRecord(
      id: .random(), folderID: folder.id, projectID: project.id, name: request.name, generation: 1,
      specJSON: try StoredJSON.text(intent), release: 1, checkpointID: spec.cell?.checkpointId,
      suspended: false,
      deletedAt: nil, createdAt: now, createdBy: subject, updatedAt: now)
    let operation = try operation(
      "createNode", "Create node \(request.name)", record.id, by: subject,
      memo: OperationMemo(generation: 1, folder: folder.id))
    try await world.store.atomically { store throws(PlatformError) in
      try store.createNode(record)
      try store.createOperation(operation)
    }
    await fleet.changed(record, intent)
    return operation
  }

  /// Inputs for one request of a cell node.
  private func example(of spec: NodeSpec) async -> String? {
    guard let cell = spec.cell else { return nil }
    var shown: String?
    if let checkpoint = try? await world.store.checkpoint(cell.checkpointId),
      let manifest = try? await world.blobs.read(checkpoint.manifestDigest, limit: 64 << 20)
    {
      shown = CheckpointService.example(inManifest: manifest)
    }
    let contract = NodeContract(
      nodeID: "", nodeName: "", release: 1, inputs: cell.inputs, outputs: cell.outputs)
    return String(decoding: contract.exampleInput(from: shown.map { Array($0.utf8) }), as: UTF8.self)
  }

  /// Applies a change to a node's record and intent, and returns the operation that follows it.
  public func change(
    _ node: NodeRecord, kind: String, description: String, by subject: String,
    _ edit: (inout NodeRecord, inout NodeIntent) throws(PlatformError) -> Void
  ) async throws(PlatformError) -> OperationRecord {
    guard node.deletedAt == nil || kind == "deleteNode" else {
      throw PlatformError(.failedPrecondition, "node '\(node.name)' is being deleted", origin: .caller)
    }
    var record = node
    var intent = try StoredJSON.value(NodeIntent.self, from: node.specJSON)
    try edit(&record, &intent)
    record.specJSON = try StoredJSON.text(intent)
    record.updatedAt = world.now()
    let operation = try operation(
      kind, description, node.id, by: subject,
      memo: OperationMemo(generation: node.generation + 1, folder: node.folderID, former: FormerWish(node)))
    let changed = record
    let stored = try await world.store.atomically { store throws(PlatformError) in
      try store.createOperation(operation)
      return try store.updateNode(changed)
    }
    await fleet.changed(stored, intent)
    return operation
  }

  /// Changes what needs no new release. `fields` are those of the request's `update_mask`.
  public func update(
    _ node: NodeRecord, _ request: UpdateNodeRequest, fields: [String], acl: [FolderID], by subject: String
  ) async throws(PlatformError) -> OperationRecord {
    try await change(node, kind: "updateNode", description: "Update node \(node.name)", by: subject) {
      record, intent throws(PlatformError) in
      for field in fields {
        switch field {
        case "name":
          try ResourceName.check(request.name ?? "")
          record.name = request.name ?? ""
        case "description": intent.spec.description = request.description ?? ""
        case "instances":
          if let source = intent.spec.address {
            intent.spec.instances = try NodeSpecBuilder.range(request.instances, of: source)
          } else {
            guard intent.spec.image == nil || request.instances?.min != 0 else {
              throw .invalid("instances.min", "instances.min: 0 is for nodes of kind cell")
            }
            let former = request.instances?.count == nil ? intent.spec.scaling : nil
            intent.spec.instances = try NodeSpecBuilder.range(request.instances)
            intent.spec.scaling = try NodeSpecBuilder.scaling(
              request.instances, fields.contains("scaling") ? request.scaling : former)
          }
        case "scaling":
          guard intent.spec.address == nil else {
            throw .invalid("scaling", "scaling: an address node has one instance per address")
          }
          guard !fields.contains("instances") else { break }
          let range = intent.spec.instances
          intent.spec.scaling = try NodeSpecBuilder.scaling(
            RequestedInstances(
              min: range.min, max: range.max, count: intent.spec.scaling == nil ? range.count : nil),
            request.scaling)
        case "acl": intent.spec.acl = acl.isEmpty ? [record.folderID] : acl
        case "maintenanceLimit": intent.spec.maintenanceLimit = request.maintenanceLimit ?? 1
        case "timeoutSeconds": intent.spec.timeoutSeconds = request.timeoutSeconds ?? 15
        case "rateLimit": intent.spec.rateLimit = request.rateLimit
        case "callerRateLimit": intent.spec.callerRateLimit = request.callerRateLimit
        case "addresses", "endpoint", "healthCheck", "telemetry":
          try NodeSpecBuilder.update(&intent.spec, field, request)
        default: intent.spec.queueLimit = request.queueLimit ?? 1000
        }
      }
      try NodeSpecBuilder.check(intent.spec)
      // Other places need other instances: that is a new release.
      let before = try StoredJSON.value(NodeIntent.self, from: node.specJSON).spec.address?.slots.map(\.key)
      if intent.spec.address?.slots.map(\.key) != before { record.release += 1 }
    }
  }

  public func suspend(_ node: NodeRecord, by subject: String) async throws(PlatformError) -> OperationRecord {
    try await change(node, kind: "suspendNode", description: "Suspend node \(node.name)", by: subject) {
      record, _ in
      record.suspended = true
    }
  }

  public func resume(_ node: NodeRecord, by subject: String) async throws(PlatformError) -> OperationRecord {
    try await change(node, kind: "resumeNode", description: "Resume node \(node.name)", by: subject) {
      record, _ in
      record.suspended = false
    }
  }

  /// Returns every instance to the pinned state: new forks first, then the old ones drain.
  public func reset(_ node: NodeRecord, by subject: String) async throws(PlatformError) -> OperationRecord {
    guard try StoredJSON.value(NodeIntent.self, from: node.specJSON).spec.kind != .address else {
      throw PlatformError(
        .failedPrecondition,
        "node '\(node.name)' is made of addresses: its state is not kept here, so it can't be reset",
        origin: .caller)
    }
    guard !node.suspended else {
      throw PlatformError(
        .failedPrecondition,
        "node '\(node.name)' is suspended; resume it, it then starts from the pinned state", origin: .caller)
    }
    return try await change(node, kind: "resetNode", description: "Reset node \(node.name)", by: subject) {
      _, intent in
      intent.epoch += 1
    }
  }

  public func delete(_ node: NodeRecord, by subject: String) async throws(PlatformError) -> OperationRecord {
    let now = world.now()
    return try await change(node, kind: "deleteNode", description: "Delete node \(node.name)", by: subject) {
      record, _ in
      record.deletedAt = record.deletedAt ?? now
    }
  }

  func operation(
    _ kind: String, _ description: String, _ node: NodeID, by subject: String, memo: OperationMemo
  ) throws(PlatformError) -> OperationRecord {
    let now = world.now()
    return OperationRecord(
      id: .random(), kind: kind, description: description, createdAt: now, createdBy: subject,
      modifiedAt: now, resourceID: node.text, metadataJSON: try StoredJSON.text(memo))
  }

  private func pinned(_ name: String, project: ProjectRecord) async throws(PlatformError) -> CheckpointRecord
  {
    guard !name.isEmpty else {
      throw .invalid(
        "checkpoint",
        "checkpoint: a node of kind cell needs one; name a pinned checkpoint, or give kind address and addresses, or kind image and image"
      )
    }
    var found: CheckpointRecord?
    do throws(PlatformError) { found = try await world.store.checkpoint(named: name, in: project.id) } catch
      where error.code == .notFound
    {}
    guard let found, found.projectID == project.id else {
      throw PlatformError(
        .notFound,
        "checkpoint: '\(name)' is neither an id nor the name of a pinned checkpoint of project '\(project.name)'",
        origin: .caller, field: "checkpoint")
    }
    guard found.name != nil else {
      throw PlatformError(
        .failedPrecondition,
        "checkpoint: \(found.id) is not pinned; pin it first: roost checkpoint pin \(found.id) --name NAME",
        origin: .caller,
        field: "checkpoint")
    }
    return found
  }
}
