public import Domain
public import Storage

extension NodeService {
  /// Fields of an update of which instances are made: the node's whole request is built anew of what it is and what is given.
  private static let content: Set<String> = [
    "checkpoint", "inputs", "outputs", "isolation", "startMode", "restore", "keepRandomState", "warmUp",
    "configuration", "subnet", "zones", "memoryBytes", "cpus", "image", "environment", "secrets",
    "model",
  ]

  /// The fields that `update` takes in its mask.
  public static let updatable: Set<String> = content.union([
    "name", "description", "instances", "scaling", "acl", "maintenanceLimit", "timeoutSeconds", "queueLimit",
    "addresses", "endpoint", "healthCheck", "telemetry", "rateLimit", "callerRateLimit", "rollOut",
  ])

  /// Changes a node. What its instances are made of makes a new release. `fields` are those of the request's `update_mask`.
  public func update(
    _ node: NodeRecord, _ request: UpdateNodeRequest, fields: [String], acl: [FolderID], by subject: String
  ) async throws(PlatformError) -> OperationRecord {
    let rebuilt = try await rebuilt(node, request, fields)
    return try await change(node, kind: "updateNode", description: "Update node \(node.name)", by: subject) {
      record, intent throws(PlatformError) in
      if let rebuilt { intent = rebuilt }
      for field in fields where !Self.content.contains(field) {
        try Self.set(field, &record, &intent, request, fields, acl)
      }
      try NodeSpecBuilder.check(intent.spec)
    }
  }

  private static func set(
    _ field: String, _ record: inout NodeRecord, _ intent: inout NodeIntent, _ request: UpdateNodeRequest,
    _ fields: [String], _ acl: [FolderID]
  ) throws(PlatformError) {
    switch field {
    case "name":
      try ResourceName.check(request.name ?? "")
      record.name = request.name ?? ""
    case "description": intent.spec.description = request.description ?? ""
    case "instances": try setInstances(&intent.spec, request, fields)
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
    case "rollOut": intent.spec.rollOut = request.rollOut
    case "addresses", "endpoint", "healthCheck", "telemetry":
      try NodeSpecBuilder.update(&intent.spec, field, request)
    default: intent.spec.queueLimit = request.queueLimit ?? 1000
    }
  }

  private static func setInstances(
    _ spec: inout NodeSpec, _ request: UpdateNodeRequest, _ fields: [String]
  ) throws(PlatformError) {
    if let source = spec.address {
      spec.instances = try NodeSpecBuilder.range(request.instances, of: source)
      return
    }
    let former = request.instances?.count == nil ? spec.scaling : nil
    spec.instances = try NodeSpecBuilder.range(request.instances)
    spec.scaling = try NodeSpecBuilder.scaling(
      request.instances, fields.contains("scaling") ? request.scaling : former)
  }

  /// The intent with what the request says of its instances' content; nil when it says nothing of that.
  private func rebuilt(
    _ node: NodeRecord, _ request: UpdateNodeRequest, _ fields: [String]
  ) async throws(PlatformError) -> NodeIntent? {
    guard fields.contains(where: Self.content.contains) else { return nil }
    var intent = try StoredJSON.value(NodeIntent.self, from: node.specJSON)
    let whole = try NodeRequestBuilder.request(of: intent.spec, name: node.name)
      .changed(by: request, fields: fields)
    guard let project = try await world.store.project(node.projectID),
      let folder = try await world.store.folder(node.folderID)
    else { throw PlatformError(.internal, "the project or folder of node '\(node.name)' is gone") }
    let (spec, warnings) = try await judge(
      whole, project: project, folder: folder, acl: intent.spec.acl,
      used: intent.spec.cell?.checkpointId)
    try Self.checkChange(of: node, from: intent.spec, to: spec)
    intent.spec = intent.spec.with(contentOf: spec)
    if spec.cell != nil || spec.model != nil { intent.example = await example(of: spec) }
    intent.differences = warnings.isEmpty ? nil : warnings
    return intent
  }
}
