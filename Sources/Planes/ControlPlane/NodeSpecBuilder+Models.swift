import Domain
import Storage

/// The spec of a model node. Pure.
extension NodeSpecBuilder {
  static let mostModels = 16
  /// Of one model: each is a process of its own in every instance.
  static let mostVersions = 16
  /// With all versions: an instance has room for so many processes.
  static let mostPlaced = 64
  /// Triton takes more; JSON keeps integers up to this one everywhere.
  static let lastVersion = 9_007_199_254_740_991

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
        "model.names: '\(name.prefix(128))' can't be the name of a served model; [NAME[:VERSION]=]MODEL takes 1 to 128 letters, digits, '_', '.' or '-' for NAME"
      )
    }
  }

  /// Refuses the last of `placed` where it can't stand beside the others. `text`: how it was asked for.
  static func checkLast(of placed: [PlacedModel], _ text: String) throws(PlatformError) {
    guard let last = placed.last else { return }
    let others = placed.dropLast()
    guard !others.contains(where: { $0.id == last.id }) else {
      throw .invalid("model.names", "model.names: '\(text)' is given twice; each model stands once")
    }
    let versions = others.filter { $0.name == last.name }
    guard !versions.contains(where: { $0.number == last.number }) else {
      throw .invalid(
        "model.names",
        "model.names: version \(last.number) of '\(last.name)' is given twice; NAME:VERSION=MODEL tells versions of one model apart, as in \(last.name):2=MODEL"
      )
    }
    guard versions.count < mostVersions else {
      throw .invalid(
        "model.names",
        "model.names: '\(last.name)' has more than \(mostVersions) versions; leave some out, or serve them from another node"
      )
    }
    guard Set(placed.map(\.name)).count <= mostModels else {
      throw .invalid(
        "model.names",
        "model.names: a node of kind model has at most \(mostModels) models, '\(text)' is one more")
    }
    guard placed.count <= mostPlaced else {
      throw .invalid(
        "model.names",
        "model.names: the versions of all models of a node may be \(mostPlaced), '\(text)' is one more; make another node of it"
      )
    }
    if let first = versions.first { try checkAlike(first, last) }
  }

  /// Versions of a model have the same inputs and outputs: Triton has one configuration of them.
  private static func checkAlike(_ one: PlacedModel, _ other: PlacedModel) throws(PlatformError) {
    for (side, ours, theirs) in [
      ("input", one.facts.inputs, other.facts.inputs), ("output", one.facts.outputs, other.facts.outputs),
    ] {
      for name in (ours + theirs).map(\.name) {
        let told = [ours, theirs].map { $0.first { $0.name == name }?.text ?? "missing" }
        guard told[0] != told[1] else { continue }
        throw .invalid(
          "model.names",
          "model.names: versions \(one.number) and \(other.number) of '\(one.name)' need the same inputs and outputs: \(side) '\(name)' is \(told[0]) in version \(one.number), but \(told[1]) in version \(other.number); serve one under another name"
        )
      }
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
    let image = asked.image == "none" ? nil : asked.image
    if let image {
      _ = try ImageReference(image, field: "model.image")
      if let name = request.environment, name != EnvironmentService.standardName {
        throw .invalid(
          "environment",
          "environment: models in an image find their packages in the image; leave out environment '\(name)' or model.image (--triton-image)"
        )
      }
    }
    guard image != nil || asked.nativeBackends == nil else {
      throw .invalid(
        "model.nativeBackends",
        "model.nativeBackends: only images have native backends, the server's own Triton has none; give model.image (--triton-image) too, or leave it out"
      )
    }
    if image == nil, asked.registryUser != nil || asked.passwordSecret != nil {
      let field = asked.passwordSecret == nil ? "model.registryUser" : "model.passwordSecret"
      throw .invalid(
        field,
        "\(field): only images come from a registry; give model.image (--triton-image) too, or leave it out")
    }
    try ImageValidation.checkLogin(
      user: asked.registryUser, secret: asked.passwordSecret, prefix: "model.")
    let configuration = try Configuration.named(request.configuration ?? "c1.4")
    // Whether an image gets GPUs only the engine knows, which says so at the first start.
    guard configuration.gpus == 0 || image != nil else {
      throw .invalid(
        "configuration",
        "configuration: '\(configuration.name)' has GPUs, and this machine's pool has none; use a c1 configuration, or an image with Triton in it (--triton-image), for which the container engine is asked"
      )
    }
    let spec = NodeSpec(
      description: request.description ?? "",
      model: ModelSource(
        models: models, maxBatchSize: asked.maxBatchSize,
        queueDelayMicroseconds: asked.queueDelayMicroseconds ?? 0, loadSeconds: asked.loadSeconds ?? 120,
        processes: asked.processes, image: image, nativeBackends: asked.nativeBackends,
        registryUser: asked.passwordSecret == nil ? nil : asked.registryUser ?? "json_key",
        passwordSecret: asked.passwordSecret),
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

/// `[NAME[:VERSION]=]MODEL`.
struct AskedModel: Equatable {
  var name: String?
  var version = 1
  /// Id or name of a saved model.
  var model: String

  init(_ text: String) throws(PlatformError) {
    let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2 else {
      model = text
      return
    }
    model = String(parts[1])
    let names = parts[0].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    name = String(names[0])
    guard names.count == 2 else { return }
    let digits = names[1].utf8
    guard digits.allSatisfy({ (0x30...0x39).contains($0) }), let number = Int(names[1]),
      (1...NodeSpecBuilder.lastVersion).contains(number)
    else {
      throw .invalid(
        "model.names",
        "model.names: '\(names[1].prefix(32))' of '\(text.prefix(200))' is no version; NAME:VERSION=MODEL takes whole numbers from 1 to \(NodeSpecBuilder.lastVersion)"
      )
    }
    version = number
  }
}

extension NodeService {
  /// The models of a request, as they are now.
  func modelSpec(
    _ request: CreateNodeRequest, _ project: ProjectRecord, _ folder: FolderRecord, acl: [FolderID]
  ) async throws(PlatformError) -> NodeSpec {
    let names = request.model?.names ?? []
    var placed: [PlacedModel] = []
    for text in names.prefix(NodeSpecBuilder.mostPlaced + 1) {
      let asked = try AskedModel(text)
      guard let record = try await world.store.model(called: asked.model, in: project.id) else {
        throw PlatformError(
          .notFound,
          "model.names: there is no model '\(asked.model)' in project '\(project.name)'; list them with: roost model list",
          origin: .caller, field: "model.names")
      }
      let served = asked.name ?? record.name
      try NodeSpecBuilder.checkServed(served)
      placed.append(
        PlacedModel(
          id: record.id, name: served, digest: record.digest,
          facts: try StoredJSON.value(ModelFacts.self, from: record.factsJSON), version: asked.version))
      try NodeSpecBuilder.checkLast(of: placed, text)
    }
    guard !names.isEmpty else {
      throw .invalid(
        "model.names",
        "model.names: a node of kind model needs 1 to \(NodeSpecBuilder.mostModels) models of its project")
    }
    var request = request
    // Who names an environment means a process in it.
    if request.model?.image == nil,
      (request.environment ?? EnvironmentService.standardName)
        == EnvironmentService.standardName
    {
      request.model?.image = world.tritonImage
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
