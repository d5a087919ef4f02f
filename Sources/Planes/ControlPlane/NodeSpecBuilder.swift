import Domain

/// Defaults and bounds of a node's spec. Pure.
enum NodeSpecBuilder {
  static func spec(
    _ request: CreateNodeRequest, checkpoint: CheckpointID, inputs: [Variable], outputs: [Variable],
    acl: [FolderID]
  ) throws(PlatformError) -> NodeSpec {
    let configuration = try Configuration.named(request.configuration ?? "c1.4")
    guard configuration.gpus == 0 else {
      throw .invalid(
        "configuration",
        "configuration: '\(configuration.name)' has GPUs, and this machine's pool has none; use a c1 configuration"
      )
    }
    let subnet = try one(of: ["none", "host"], request.subnet, "subnet")
    try SecretValidation.checkCell(request.secrets)
    let source = CellSource(
      checkpointId: checkpoint, inputs: inputs, outputs: outputs,
      isolation: try one(of: ["instance", "request"], request.isolation, "isolation"),
      startMode: try one(of: ["auto", "fork", "spawn"], request.startMode, "startMode"),
      restore: try one(of: ["reachable", "full"], request.restore, "restore"),
      keepRandomState: request.keepRandomState ?? false,
      warmUp: try warmUp(request, subnet: subnet), secrets: request.secrets)
    let spec = NodeSpec(
      description: request.description ?? "", cell: source, configuration: configuration.name,
      instances: try range(request.instances),
      scaling: try scaling(request.instances, request.scaling),
      subnet: subnet,
      zones: request.zones ?? [], maintenanceLimit: request.maintenanceLimit ?? 1,
      timeoutSeconds: request.timeoutSeconds ?? 15, queueLimit: request.queueLimit ?? 1000,
      rateLimit: request.rateLimit, callerRateLimit: request.callerRateLimit,
      memoryBytes: request.memoryBytes, cpus: request.cpus, acl: acl)
    try check(spec)
    return spec
  }

  /// A fork changes nothing that stays, but what it says to other machines is said: with a network the user decides.
  private static func warmUp(_ request: CreateNodeRequest, subnet: String) throws(PlatformError) -> String {
    let warmUp = try one(of: ["fork", "instance", "off"], request.warmUp, "warmUp")
    guard request.isolation != "request" || warmUp != "instance" else {
      throw .invalid(
        "warmUp",
        "warmUp: instance would change the state that every request begins with under isolation request; use fork or off"
      )
    }
    return request.warmUp == nil && subnet == "host" ? "off" : warmUp
  }

  static func check(_ spec: NodeSpec) throws(PlatformError) {
    try FieldCheck.within(spec.timeoutSeconds, 0.05...3600, "timeoutSeconds", "seconds")
    try FieldCheck.within(Double(spec.queueLimit), 0...100_000, "queueLimit", "requests")
    try FieldCheck.within(Double(spec.maintenanceLimit), 0...100, "maintenanceLimit", "instances")
    try checkRollOut(spec)
    if let cpus = spec.cpus { try FieldCheck.within(cpus, 0.05...1024, "cpus", "vCPU") }
    if let memory = spec.memoryBytes {
      try FieldCheck.within(Double(memory), 33_554_432...17_592_186_044_416, "memoryBytes", "bytes")
    }
    if spec.scaling?.gauge != nil, spec.telemetry == nil {
      throw .invalid(
        "scaling.gauge",
        "scaling.gauge: instances must tell it; give telemetry of an image node (--telemetry /metrics) too")
    }
    try AddressValidation.checkRate(spec.rateLimit, "rateLimit")
    try AddressValidation.checkRate(spec.callerRateLimit, "callerRateLimit")
    guard spec.description.utf8.count <= 1024 else {
      throw .invalid(
        "description", "description: at most 1024 bytes, this has \(spec.description.utf8.count)")
    }
  }

  private static func checkRollOut(_ spec: NodeSpec) throws(PlatformError) {
    guard let rollOut = spec.rollOut else { return }
    guard spec.address == nil else {
      throw .invalid("rollOut", "rollOut: the servers of an address node are not started here; leave it out")
    }
    _ = try one(of: ["surge", "recreate"], rollOut.strategy, "rollOut.strategy")
    let numbers = [
      ("surge", rollOut.surge, 1.0...100, "instances"), ("failures", rollOut.failures, 1...100, "instances"),
      ("deadlineSeconds", rollOut.deadlineSeconds, 5...86400, "seconds"),
    ]
    for (name, value, range, unit) in numbers {
      if let value { try FieldCheck.within(Double(value), range, "rollOut.\(name)", unit) }
    }
    guard rollOut.strategy != "recreate" || rollOut.surge == nil else {
      throw .invalid(
        "rollOut.surge",
        "rollOut.surge: belongs to strategy surge; recreate has no more instances than wanted")
    }
  }

  static func range(_ requested: RequestedInstances?) throws(PlatformError) -> InstanceRange {
    let scales = scales(requested)
    let count = requested?.count ?? max(requested?.min ?? 1, scales ? 1 : 0)
    let range = InstanceRange(
      min: requested?.min ?? count, max: requested?.max ?? max(count, requested?.min ?? count), count: count)
    guard range.min >= (scales ? 0 : 1), range.max <= 100 else {
      throw .invalid(
        "instances",
        "instances: min \(range.min) and max \(range.max) must lie between \(scales ? 0 : 1) and 100"
          + (range.min == 0 ? "; a min of 0 needs a max above it and no count" : ""))
    }
    guard range.min <= range.count, range.count <= range.max else {
      throw .invalid(
        "instances.count",
        "instances.count: \(range.count) is not within min \(range.min) and max \(range.max)")
    }
    return range
  }

  /// Whether the number is to follow the load.
  private static func scales(_ requested: RequestedInstances?) -> Bool {
    guard let requested, requested.count == nil, let most = requested.max else { return false }
    return most > requested.min ?? 1
  }

  /// How the number follows the load; nil: it is fixed.
  static func scaling(
    _ instances: RequestedInstances?, _ requested: ScalingSpec?
  ) throws(PlatformError) -> ScalingSpec? {
    guard scales(instances) else {
      guard requested == nil else {
        throw .invalid(
          "scaling",
          "scaling: the number of instances is fixed; give instances.max above instances.min, and no instances.count"
        )
      }
      return nil
    }
    let spec = requested ?? ScalingSpec()
    if let value = spec.concurrency {
      try FieldCheck.within(value, 0.01...1000, "scaling.concurrency", "requests")
    }
    if let value = spec.requestsPerSecond {
      try FieldCheck.within(value, 0.001...1_000_000, "scaling.requestsPerSecond", "requests per second")
    }
    if let value = spec.cpuPercent {
      try FieldCheck.within(value, 1...100_000, "scaling.cpuPercent", "percent of one vCPU")
    }
    if let gauge = spec.gauge {
      let isName = gauge.name.utf8.enumerated().allSatisfy { place, byte in
        (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte) || byte == 0x5f || byte == 0x3a
          || place > 0 && (0x30...0x39).contains(byte)
      }
      guard isName, !gauge.name.isEmpty, gauge.name.utf8.count <= 256 else {
        throw .invalid(
          "scaling.gauge.name",
          "scaling.gauge.name: '\(gauge.name)' is not the name of a metric, like queue_depth")
      }
      try FieldCheck.within(gauge.target, 1e-9...1e15, "scaling.gauge.target", "of the metric")
    }
    let times = [
      ("stableSeconds", spec.stableSeconds, 5.0...600), ("panicSeconds", spec.panicSeconds, 1...60),
      ("leaveSeconds", spec.leaveSeconds, 1...600), ("lastLeaveSeconds", spec.lastLeaveSeconds, 1...86400),
    ]
    for (name, value, range) in times {
      if let value { try FieldCheck.within(Double(value), range, "scaling.\(name)", "seconds") }
    }
    return spec
  }

  static func one(of choices: [String], _ value: String?, _ field: String) throws(PlatformError)
    -> String
  {
    guard let value else { return choices[0] }
    guard choices.contains(value) else {
      throw .invalid(
        field, "\(field): '\(value)' is not known; use one of \(choices.joined(separator: ", "))")
    }
    return value
  }
}
