public import Domain
public import Storage

/// What applying a request comes to, with the operation that does it.
public struct AppliedNode: Sendable {
  public var action: ApplyAction
  public var changes: [FieldChange]
  public var makesRelease: Bool
  public var operation: OperationRecord?
}

extension NodeService {
  /// Creates a node, or makes the live one of that name in that folder as the request says: what is left out gets its default.
  ///
  /// - Parameter isDryRun: everything is checked, nothing is done.
  public func apply(
    _ request: CreateNodeRequest, project: ProjectRecord, folder: FolderRecord, acl: [FolderID],
    isDryRun: Bool, by subject: String
  ) async throws(PlatformError) -> AppliedNode {
    guard let node = try await live(request.name, in: folder) else {
      guard !isDryRun else {
        _ = try await validate(request, project: project, folder: folder, acl: acl)
        return AppliedNode(action: .created, changes: [], makesRelease: true)
      }
      let operation = try await create(request, project: project, folder: folder, acl: acl, by: subject)
      return AppliedNode(action: .created, changes: [], makesRelease: true, operation: operation)
    }
    let former = try StoredJSON.value(NodeIntent.self, from: node.specJSON)
    let (spec, warnings) = try await judge(
      request, project: project, folder: folder, acl: acl, used: former.spec.cell?.checkpointId)
    try Self.checkChange(of: node, from: former.spec, to: spec)
    let changes = try SpecChanges.between(former.spec, spec)
    let makesRelease = !spec.makesSameInstances(as: former.spec)
    guard !changes.isEmpty else {
      return AppliedNode(action: .unchanged, changes: [], makesRelease: false)
    }
    guard !isDryRun else {
      return AppliedNode(action: .changed, changes: changes, makesRelease: makesRelease)
    }
    let shown = makesRelease ? await example(of: spec) : former.example
    let operation = try await change(
      node, kind: "updateNode", description: "Update node \(node.name)", by: subject
    ) { _, intent throws(PlatformError) in
      intent.spec = spec
      intent.example = shown
      intent.differences = warnings.isEmpty ? nil : warnings
    }
    return AppliedNode(
      action: .changed, changes: changes, makesRelease: makesRelease, operation: operation)
  }

  private func live(_ name: String, in folder: FolderRecord) async throws(PlatformError) -> NodeRecord? {
    do throws(PlatformError) {
      let found = try await world.store.node(named: name, in: folder.id)
      return found.deletedAt == nil ? found : nil
    } catch  where error.code == .notFound { return nil }
  }

  /// What no update can do.
  static func checkChange(of node: NodeRecord, from former: NodeSpec, to spec: NodeSpec) throws(PlatformError)
  {
    guard former.kind == spec.kind else {
      throw .invalid(
        "kind",
        "kind: node '\(node.name)' is of kind \(former.kind.rawValue), which can't be changed to \(spec.kind.rawValue); delete it first, or take another name"
      )
    }
    guard spec.image == nil || spec.subnet == former.subnet else {
      throw .invalid("subnet", "subnet: of a node of kind image it can't be changed; make another node")
    }
  }

  /// A request that would make a node as it is, with names where there are any.
  public func request(of node: NodeRecord) async throws(PlatformError) -> CreateNodeRequest {
    let spec = try StoredJSON.value(NodeIntent.self, from: node.specJSON).spec
    var request = try NodeRequestBuilder.request(of: spec, name: node.name)
    if let id = spec.cell?.checkpointId, let checkpoint = try await world.store.checkpoint(id) {
      request.checkpoint = checkpoint.name ?? id.text
    }
    if let pin = spec.cell?.environment ?? spec.model?.environment { request.environment = pin.name }
    if let source = spec.model {
      var names: [String] = []
      for model in source.models {
        let record = try await world.store.model(called: model.id.text, in: node.projectID)
        let saved = record?.name ?? model.id.text
        let title = source.title(model)
        names.append(saved == title ? saved : "\(title)=\(saved)")
      }
      request.model?.names = names
    }
    request.project = try await world.store.project(node.projectID)?.name
    request.folder = try await world.store.folder(node.folderID)?.name
    var folders: [String] = []
    for id in spec.acl { folders.append(try await world.store.folder(id)?.name ?? id.text) }
    request.acl = folders
    return request
  }
}
