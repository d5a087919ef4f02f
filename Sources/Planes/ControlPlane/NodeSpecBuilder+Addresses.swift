import Domain

/// The spec of an address node. Pure.
extension NodeSpecBuilder {
  static func addressSpec(_ request: CreateNodeRequest, acl: [FolderID]) throws(PlatformError) -> NodeSpec {
    try refuseCellFields(request, kind: "address")
    try refuseImageFields(request)
    let source = try AddressValidation.source(
      addresses: request.addresses, endpoint: request.endpoint, healthCheck: request.healthCheck)
    let spec = NodeSpec(
      description: request.description ?? "", address: source, configuration: "",
      instances: try range(request.instances, of: source), subnet: "host",
      maintenanceLimit: request.maintenanceLimit ?? 1, timeoutSeconds: request.timeoutSeconds ?? 15,
      queueLimit: request.queueLimit ?? 1000, rateLimit: request.rateLimit,
      callerRateLimit: request.callerRateLimit, acl: acl)
    try check(spec)
    return spec
  }

  /// How many addresses must be healthy for the node to be; their number is that of the addresses.
  static func range(
    _ requested: RequestedInstances?, of source: AddressSource
  ) throws(PlatformError) -> InstanceRange {
    let count = source.addresses.count
    guard requested?.count == nil || requested?.count == count else {
      throw .invalid(
        "instances.count", "instances.count: an address node has one instance per address; leave it out")
    }
    guard requested?.max == nil || requested?.max == count else {
      throw .invalid(
        "instances.max", "instances.max: an address node has one instance per address; leave it out")
    }
    let least = requested?.min ?? 1
    guard (1...count).contains(least) else {
      throw .invalid("instances.min", "instances.min: \(least) must lie between 1 and the \(count) addresses")
    }
    return InstanceRange(min: least, max: count, count: count)
  }

  /// One field of an update of a node whose instances are probed.
  static func update(
    _ spec: inout NodeSpec, _ field: String, _ request: UpdateNodeRequest
  ) throws(PlatformError) {
    guard let endpoint = spec.endpoint else {
      throw .invalid(field, "\(field): a node of kind cell does not have it")
    }
    switch field {
    case "endpoint":
      let changed = try AddressValidation.settings(request.endpoint ?? RequestedEndpoint(), over: endpoint)
      spec.address?.endpoint = changed
      spec.image?.endpoint = changed
    case "healthCheck":
      let check = try request.healthCheck.map(AddressValidation.check)
      spec.address?.healthCheck = check
      spec.image?.healthCheck = check
    case "telemetry":
      guard let image = spec.image else {
        throw .invalid(field, "telemetry: only a node of kind image has it")
      }
      spec.image?.telemetry = try TelemetryValidation.settings(
        request.telemetry ?? RequestedTelemetry(type: "none"), port: image.port)
    default:
      guard var source = spec.address else {
        throw .invalid(field, "\(field): only a node of kind address has it")
      }
      source.addresses = try AddressValidation.checked(request.addresses ?? [], port: request.endpoint?.port)
      let least = min(spec.instances.min, source.addresses.count)
      spec.instances = try range(RequestedInstances(min: least), of: source)
      spec.address = source
    }
  }

  static func refuseAddressFields(_ request: CreateNodeRequest) throws(PlatformError) {
    let given: [(String, Bool)] = [
      ("addresses", request.addresses != nil), ("endpoint", request.endpoint != nil),
      ("healthCheck", request.healthCheck != nil),
    ]
    try refuse(given, kind: "address", hint: "give kind address, or leave it out")
    try refuseImageFields(request)
  }

  static func refuseCellFields(
    _ request: CreateNodeRequest, allowing allowed: Set<String> = [], kind: String
  ) throws(PlatformError) {
    let given: [(String, Bool)] = [
      ("checkpoint", request.checkpoint != nil), ("inputs", request.inputs != nil),
      ("outputs", request.outputs != nil), ("scaling", request.scaling != nil),
      ("configuration", request.configuration != nil),
      ("isolation", request.isolation != nil), ("startMode", request.startMode != nil),
      ("restore", request.restore != nil), ("keepRandomState", request.keepRandomState != nil),
      ("subnet", request.subnet != nil), ("memoryBytes", request.memoryBytes != nil),
      ("cpus", request.cpus != nil), ("zones", request.zones != nil),
      ("environment", request.environment != nil), ("strictEnvironment", request.strictEnvironment != nil),
      ("secrets", request.secrets != nil),
    ]
    try refuse(
      given.filter { !allowed.contains($0.0) }, kind: "cell", hint: "leave it out of a node of kind \(kind)")
  }

  private static func refuse(
    _ given: [(field: String, isGiven: Bool)], kind: String, hint: String
  ) throws(PlatformError) {
    guard let wrong = given.first(where: \.isGiven) else { return }
    throw .invalid(wrong.field, "\(wrong.field): belongs to nodes of kind \(kind); \(hint)")
  }
}
