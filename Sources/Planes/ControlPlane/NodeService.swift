internal import Contract
public import Domain
public import Storage
import Wire

/// What users do to nodes. Each change is in the store before it is acknowledged; reconcilers do the rest.
public struct NodeService: Sendable {
  let world: NodeWorld
  let fleet: Fleet

  public init(world: NodeWorld, fleet: Fleet) {
    self.world = world
    self.fleet = fleet
  }

  /// Checks a request as `create` does and changes nothing.
  ///
  /// - Parameter used: a checkpoint that the node has already: it need not be pinned any more.
  public func validate(
    _ request: CreateNodeRequest, project: ProjectRecord, folder: FolderRecord, acl: [FolderID],
    used: CheckpointID? = nil
  ) async throws(PlatformError) -> ValidationResource {
    let (spec, warnings) = try await judge(request, project: project, folder: folder, acl: acl, used: used)
    return ValidationResource(spec: spec, warnings: warnings)
  }

  /// The spec of a request, and what its maker should know though nothing is refused.
  func judge(
    _ request: CreateNodeRequest, project: ProjectRecord, folder: FolderRecord, acl: [FolderID],
    used: CheckpointID? = nil
  ) async throws(PlatformError) -> (spec: NodeSpec, warnings: [String]) {
    try ResourceName.check(request.name)
    var (spec, warnings) =
      switch request.kind {
      case .address: (try NodeSpecBuilder.addressSpec(request, acl: acl), [String]())
      case .image: (try NodeSpecBuilder.imageSpec(request, acl: acl), [String]())
      case .model: (try await modelSpec(request, project, folder, acl: acl), [String]())
      case .cell, nil: try await cellSpec(request, project, folder, acl: acl, used: used)
      }
    spec.rollOut = request.rollOut
    try NodeSpecBuilder.check(spec)
    try await world.store.checkSecrets(of: spec, in: folder.id)
    try await world.checkZones(of: spec, in: folder.id)
    return (spec, warnings)
  }

  private func cellSpec(
    _ request: CreateNodeRequest, _ project: ProjectRecord, _ folder: FolderRecord, acl: [FolderID],
    used: CheckpointID?
  ) async throws(PlatformError) -> (NodeSpec, [String]) {
    try NodeSpecBuilder.refuseAddressFields(request)
    let checkpoint = try await pinned(request.checkpoint ?? "", project: project, used: used)
    let manifest = try await CheckpointReader(store: world.store, blobs: world.blobs).manifest(of: checkpoint)
    let (inputs, outputs) = try CellValidation.check(
      inputs: request.inputs ?? [], outputs: request.outputs ?? [], manifest: manifest)
    var spec = try NodeSpecBuilder.spec(
      request, checkpoint: checkpoint.id, inputs: inputs, outputs: outputs, acl: acl)
    let fit = try await fit(request, manifest, spec, folder)
    spec.cell?.environment = fit.pin
    return (spec, fit.warnings)
  }

  /// The environment that was asked for, which must have what the checkpoint needs.
  private func fit(
    _ request: CreateNodeRequest, _ manifest: CheckpointManifest, _ spec: NodeSpec, _ folder: FolderRecord
  ) async throws(PlatformError) -> EnvironmentFit {
    var record: EnvironmentRecord?
    if let name = request.environment, name != EnvironmentService.standardName {
      record = try await world.environment(name, folder: folder.id)
    }
    let findings = try await world.findings(
      manifest, record, inputs: spec.cell?.inputs ?? [], outputs: spec.cell?.outputs ?? [],
      restoresAll: spec.cell?.restore == "full")
    let pin = record.flatMap { found in
      found.lockDigest.map { EnvironmentPin(id: found.id, name: found.name, lockDigest: $0) }
    }
    return try EnvironmentFit.judge(findings, pin: pin, strict: request.strictEnvironment ?? false)
  }

  private static func check(_ pin: EnvironmentPin?, in store: isolated Store) throws(PlatformError) {
    guard let pin, try store.environment(pin.id) == nil else { return }
    throw PlatformError(
      .aborted, "environment: '\(pin.name)' was deleted meanwhile", origin: .caller, field: "environment")
  }

  public func create(
    _ request: CreateNodeRequest, project: ProjectRecord, folder: FolderRecord, acl: [FolderID],
    by subject: String
  ) async throws(PlatformError) -> OperationRecord {
    let (spec, warnings) = try await judge(request, project: project, folder: folder, acl: acl)
    let now = world.now()
    let intent = NodeIntent(
      spec: spec, example: await example(of: spec), differences: warnings.isEmpty ? nil : warnings)
    let record = NodeRecord(
      id: .random(), folderID: folder.id, projectID: project.id, name: request.name, generation: 1,
      specJSON: try StoredJSON.text(intent), release: 1, checkpointID: spec.cell?.checkpointId,
      suspended: false,
      deletedAt: nil, createdAt: now, createdBy: subject, updatedAt: now)
    let operation = try operation(
      "createNode", "Create node \(request.name)", record.id, by: subject,
      memo: OperationMemo(generation: 1, folder: folder.id, warnings: intent.differences))
    try await world.store.atomically { store throws(PlatformError) in
      try Self.check(spec.cell?.environment ?? spec.model?.environment, in: store)
      try store.checkModels(of: spec)
      // One may have been deleted since.
      try store.checkSecrets(of: spec, in: folder.id)
      try store.createNode(record)
      try store.createOperation(operation)
    }
    await fleet.changed(record, intent)
    return operation
  }

  /// Inputs for one request of a node of a cell or of saved models.
  func example(of spec: NodeSpec) async -> String? {
    if let source = spec.model {
      let contract = ModelNodeContract(
        nodeID: "", nodeName: "", release: 1, models: source.models.map { RoutedModel($0) })
      return String(decoding: contract.exampleInput.bytes, as: UTF8.self)
    }
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
  ///
  /// An intent whose instances are made of something else is a new release, unless the edit names another.
  func change(
    _ node: NodeRecord, kind: String, description: String, by subject: String,
    _ edit: (inout NodeRecord, inout NodeIntent) throws(PlatformError) -> Void
  ) async throws(PlatformError) -> OperationRecord {
    guard node.deletedAt == nil || kind == "deleteNode" else {
      throw PlatformError(.failedPrecondition, "node '\(node.name)' is being deleted", origin: .caller)
    }
    var record = node
    let former = try StoredJSON.value(NodeIntent.self, from: node.specJSON)
    var intent = former
    try edit(&record, &intent)
    if record.release == node.release, !intent.spec.makesSameInstances(as: former.spec) {
      record.release = try await releaseNumber(for: intent, of: node)
    }
    record.checkpointID = intent.spec.cell?.checkpointId
    record.specJSON = try StoredJSON.text(intent)
    record.updatedAt = world.now()
    var memo = OperationMemo(
      generation: node.generation + 1, folder: node.folderID, former: FormerWish(node))
    if record.release != node.release { memo.release = record.release }
    if intent.differences != former.differences { memo.warnings = intent.differences }
    let pin = intent.spec.cell?.environment ?? intent.spec.model?.environment
    let operation = try operation(kind, description, node.id, by: subject, memo: memo)
    let changed = record
    let changes = try StoredJSON.text(try SpecChanges.between(former.spec, intent.spec))
    let wanted = intent.spec
    let stored = try await world.store.atomically { store throws(PlatformError) in
      if kind == "updateNode" { try Self.check(pin, in: store) }
      if changed.release != node.release { try store.checkModels(of: wanted) }
      if changed.release != node.release { try store.checkSecrets(of: wanted, in: node.folderID) }
      try store.createOperation(operation)
      return try store.updateNode(changed, made: (subject, changes))
    }
    await fleet.changed(stored, intent)
    return operation
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

  private func pinned(
    _ name: String, project: ProjectRecord, used: CheckpointID?
  ) async throws(PlatformError) -> CheckpointRecord {
    guard !name.isEmpty else {
      throw .invalid(
        "checkpoint",
        "checkpoint: a node of kind cell needs one; name a pinned checkpoint, or give kind address and addresses, or kind image and image, or kind model and model"
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
    guard found.name != nil || found.id == used else {
      throw PlatformError(
        .failedPrecondition,
        "checkpoint: \(found.id) is not pinned; pin it first: roost checkpoint pin \(found.id) --name NAME",
        origin: .caller,
        field: "checkpoint")
    }
    return found
  }
}
