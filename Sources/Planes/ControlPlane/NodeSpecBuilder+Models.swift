import Domain
import Storage

/// The spec of a model node. Pure.
extension NodeSpecBuilder {
  static let mostModels = 16

  /// The name under which a model is called.
  static func checkServed(_ name: String) throws(PlatformError) {
    let isPlain = name.utf8.allSatisfy { byte in
      switch byte {
      case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f: true
      default: false
      }
    }
    guard isPlain, let first = name.first, first.isLetter || first.isNumber, name.utf8.count <= 128 else {
      throw .invalid(
        "model.names",
        "model.names: '\(name.prefix(128))' can't be the name of a served model; NAME=MODEL takes 1 to 128 letters, digits, '_', '.' or '-' for NAME"
      )
    }
  }

  static func modelSpec(
    _ request: CreateNodeRequest, models: [PlacedModel], acl: [FolderID]
  ) throws(PlatformError) -> NodeSpec {
    try refuseCellFields(
      request,
      allowing: [
        "configuration", "scaling", "subnet", "memoryBytes", "cpus", "zones", "environment",
        "strictEnvironment",
      ], kind: "model")
    try refuseImageFields(request)
    let given =
      request.addresses != nil
      ? "addresses" : request.endpoint != nil ? "endpoint" : request.healthCheck != nil ? "healthCheck" : nil
    if let given {
      throw .invalid(given, "\(given): does not belong to nodes of kind model; leave it out")
    }
    let asked = request.model ?? RequestedModels(names: [])
    if let size = asked.maxBatchSize {
      try FieldCheck.within(Double(size), 0...4096, "model.maxBatchSize", "rows")
    }
    if let delay = asked.queueDelayMicroseconds {
      try FieldCheck.within(Double(delay), 0...10_000_000, "model.queueDelayMicroseconds", "microseconds")
    }
    if let time = asked.loadSeconds {
      try FieldCheck.within(time, 1...3600, "model.loadSeconds", "seconds")
    }
    if let count = asked.processes {
      try FieldCheck.within(Double(count), 1...64, "model.processes", "processes")
    }
    let configuration = try Configuration.named(request.configuration ?? "c1.4")
    guard configuration.gpus == 0 else {
      throw .invalid(
        "configuration",
        "configuration: '\(configuration.name)' has GPUs, and this machine's pool has none; use a c1 configuration"
      )
    }
    let spec = NodeSpec(
      description: request.description ?? "",
      model: ModelSource(
        models: models, maxBatchSize: asked.maxBatchSize,
        queueDelayMicroseconds: asked.queueDelayMicroseconds ?? 0, loadSeconds: asked.loadSeconds ?? 120,
        processes: asked.processes),
      configuration: configuration.name, instances: try range(request.instances),
      scaling: try imageScaling(request.instances, request.scaling),
      subnet: try one(of: ["none", "host"], request.subnet, "subnet"), zones: request.zones ?? [],
      maintenanceLimit: request.maintenanceLimit ?? 1, timeoutSeconds: request.timeoutSeconds ?? 15,
      queueLimit: request.queueLimit ?? 1000, rateLimit: request.rateLimit,
      callerRateLimit: request.callerRateLimit, memoryBytes: request.memoryBytes, cpus: request.cpus, acl: acl
    )
    try check(spec)
    return spec
  }
}

extension NodeService {
  /// The models of a request, as they are now.
  func modelSpec(
    _ request: CreateNodeRequest, _ project: ProjectRecord, _ folder: FolderRecord, acl: [FolderID]
  ) async throws(PlatformError) -> NodeSpec {
    let names = request.model?.names ?? []
    guard !names.isEmpty, names.count <= NodeSpecBuilder.mostModels else {
      throw .invalid(
        "model.names",
        "model.names: a node of kind model needs 1 to \(NodeSpecBuilder.mostModels) models of its project, this has \(names.count)"
      )
    }
    var placed: [PlacedModel] = []
    for asked in names {
      let parts = asked.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      let name = parts.count == 2 ? parts[1] : asked
      guard let record = try await world.store.model(called: name, in: project.id) else {
        throw PlatformError(
          .notFound,
          "model.names: there is no model '\(name)' in project '\(project.name)'; list them with: roost model list",
          origin: .caller, field: "model.names")
      }
      let served = parts.count == 2 ? parts[0] : record.name
      try NodeSpecBuilder.checkServed(served)
      guard !placed.contains(where: { $0.id == record.id || $0.name == served }) else {
        throw .invalid(
          "model.names", "model.names: '\(asked)' is given twice; each model and each name stands once")
      }
      placed.append(
        PlacedModel(
          id: record.id, name: served, digest: record.digest,
          facts: try StoredJSON.value(ModelFacts.self, from: record.factsJSON)))
    }
    var spec = try NodeSpecBuilder.modelSpec(request, models: placed, acl: acl)
    if let name = request.environment, name != EnvironmentService.standardName {
      let record = try await world.environment(name, folder: folder.id)
      guard let digest = record.lockDigest else {
        throw .invalid("environment", "environment: '\(name)' is not ready yet; wait for it, or use another")
      }
      spec.model?.environment = EnvironmentPin(id: record.id, name: record.name, lockDigest: digest)
    }
    return spec
  }
}
