import Domain

/// Requests that would make a node as it is. Pure.
enum NodeRequestBuilder {
  /// Everything is spelled out, so that defaults that change later change nothing.
  static func request(of spec: NodeSpec, name: String) throws(PlatformError) -> CreateNodeRequest {
    var request = CreateNodeRequest(
      name: name, description: spec.description, kind: spec.kind,
      instances: instances(spec), scaling: spec.scaling, maintenanceLimit: spec.maintenanceLimit,
      timeoutSeconds: spec.timeoutSeconds, queueLimit: spec.queueLimit, rateLimit: spec.rateLimit,
      callerRateLimit: spec.callerRateLimit, memoryBytes: spec.memoryBytes, cpus: spec.cpus)
    request.rollOut = spec.rollOut
    if spec.kind != .address {
      request.configuration = spec.configuration
      request.subnet = spec.subnet
      if !spec.zones.isEmpty { request.zones = spec.zones }
    }
    if let cell = spec.cell { try fill(&request, cell) }
    // The requested and the kept forms have the same members.
    if let image = spec.image {
      request.image = try recoded(image)
      request.telemetry = try image.telemetry.map(recoded) ?? RequestedTelemetry(type: "none")
    }
    request.addresses = spec.address?.addresses
    if let model = spec.model {
      request.model = RequestedModels(
        names: model.models.map { "\($0.name):\($0.number)=\($0.id)" }, maxBatchSize: model.maxBatchSize,
        queueDelayMicroseconds: model.queueDelayMicroseconds, loadSeconds: model.loadSeconds,
        processes: model.processes, image: model.image, nativeBackends: model.nativeBackends,
        registryUser: model.registryUser, passwordSecret: model.passwordSecret)
      request.environment = model.environment?.id.text
    }
    if spec.model == nil, let endpoint = spec.endpoint { request.endpoint = try recoded(endpoint) }
    if let check = spec.healthCheck {
      var asked: RequestedHealthCheck = try recoded(check)
      if check.type == "grpc" { asked.path = nil } else { asked.service = nil }
      request.healthCheck = asked
    }
    return request
  }

  private static func instances(_ spec: NodeSpec) -> RequestedInstances {
    let range = spec.instances
    if spec.address != nil { return RequestedInstances(min: range.min) }
    return RequestedInstances(min: range.min, max: range.max, count: spec.scaling == nil ? range.count : nil)
  }

  private static func fill(_ request: inout CreateNodeRequest, _ cell: CellSource) throws(PlatformError) {
    request.checkpoint = cell.checkpointId.text
    request.inputs = cell.inputs.map { RequestedVariable(name: $0.name, type: $0.type.rawValue) }
    request.outputs = cell.outputs.map { RequestedVariable(name: $0.name, type: $0.type.rawValue) }
    request.isolation = cell.isolation
    request.startMode = cell.startMode
    request.restore = cell.restore
    request.keepRandomState = cell.keepRandomState
    request.warmUp = cell.warmUp
    request.environment = cell.environment?.id.text
    request.secrets = cell.secrets
  }

  private static func recoded<Value: Decodable>(_ value: some Encodable) throws(PlatformError) -> Value {
    try StoredJSON.value(Value.self, from: try StoredJSON.text(value))
  }
}

extension CreateNodeRequest {
  /// With the masked fields of an update; of an image only what is given.
  func changed(by update: UpdateNodeRequest, fields: [String]) throws(PlatformError) -> CreateNodeRequest {
    var request = self
    request.strictEnvironment = update.strictEnvironment
    // What the server says of nodes that say nothing is for new ones.
    if let model = request.model, model.image == nil { request.model?.image = "none" }
    for field in fields {
      switch field {
      case "checkpoint": request.checkpoint = update.checkpoint
      case "inputs": request.inputs = update.inputs
      case "outputs": request.outputs = update.outputs
      case "isolation": request.isolation = update.isolation
      case "startMode": request.startMode = update.startMode
      case "restore": request.restore = update.restore
      case "keepRandomState": request.keepRandomState = update.keepRandomState
      case "warmUp": request.warmUp = update.warmUp
      case "environment": request.environment = update.environment
      case "secrets" where request.image != nil: request.image?.secrets = update.secrets
      case "secrets": request.secrets = update.secrets
      case "configuration": request.configuration = update.configuration
      case "subnet": request.subnet = update.subnet
      case "zones": request.zones = update.zones
      case "memoryBytes": request.memoryBytes = update.memoryBytes
      case "cpus": request.cpus = update.cpus
      case "image": request.image = try Self.merged(request.image, update.image)
      case "model": request.model = request.model?.changed(by: update.model) ?? update.model
      default: break
      }
    }
    return request
  }

  private static func merged(
    _ image: RequestedImage?, _ change: RequestedImage?
  ) throws(PlatformError) -> RequestedImage? {
    guard let image, let change else { return change ?? image }
    let whole = try StoredJSON.value(JSONValue.self, from: try StoredJSON.text(image))
    let over = try StoredJSON.value(JSONValue.self, from: try StoredJSON.text(change))
    guard case .object(var members) = whole, case .object(let given) = over else { return change }
    members.merge(given) { $1 }
    return try StoredJSON.value(RequestedImage.self, from: try StoredJSON.text(JSONValue.object(members)))
  }
}
