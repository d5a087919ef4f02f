import Domain

/// The spec of an image node. Pure.
extension NodeSpecBuilder {
  static func imageSpec(_ request: CreateNodeRequest, acl: [FolderID]) throws(PlatformError) -> NodeSpec {
    try refuseCellFields(
      request, allowing: ["configuration", "scaling", "subnet", "memoryBytes", "cpus", "zones", "secrets"],
      kind: "image"
    )
    var image = request.image
    if let secrets = request.secrets {
      guard image?.secrets == nil else {
        throw .invalid("secrets", "secrets: image.secrets is given too, which is the same; give one of them")
      }
      image?.secrets = secrets
    }
    guard request.addresses == nil else {
      throw .invalid(
        "addresses", "addresses: belongs to nodes of kind address; leave it out of one of kind image")
    }
    // Whether there are GPUs only the engine knows, which says so at the first start.
    let configuration = try Configuration.named(request.configuration ?? "c1.4")
    let source = try ImageValidation.source(
      image, endpoint: request.endpoint, healthCheck: request.healthCheck,
      telemetry: request.telemetry)
    let spec = NodeSpec(
      description: request.description ?? "", image: source, configuration: configuration.name,
      instances: try range(request.instances), scaling: try imageScaling(request.instances, request.scaling),
      subnet: try one(of: ["default", "none"], request.subnet, "subnet"), zones: request.zones ?? [],
      maintenanceLimit: request.maintenanceLimit ?? 1, timeoutSeconds: request.timeoutSeconds ?? 15,
      queueLimit: request.queueLimit ?? 1000, rateLimit: request.rateLimit,
      callerRateLimit: request.callerRateLimit, memoryBytes: request.memoryBytes, cpus: request.cpus, acl: acl
    )
    try check(spec)
    return spec
  }

  /// A container takes several requests at a time, most of them.
  static func imageScaling(
    _ instances: RequestedInstances?, _ requested: ScalingSpec?
  ) throws(PlatformError) -> ScalingSpec? {
    var spec = try scaling(instances, requested)
    if let asked = spec, asked.requestsPerSecond == nil, asked.cpuPercent == nil, asked.gauge == nil {
      spec?.concurrency = asked.concurrency ?? 5
    }
    return spec
  }

  static func refuseImageFields(_ request: CreateNodeRequest) throws(PlatformError) {
    let given = request.image != nil ? "image" : request.telemetry != nil ? "telemetry" : nil
    guard let given else { return }
    throw .invalid(given, "\(given): belongs to nodes of kind image; give kind image, or leave it out")
  }
}
