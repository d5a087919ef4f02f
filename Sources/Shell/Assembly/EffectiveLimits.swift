import Domain
import Glibc

/// The limits in force on a node's instances and where each comes from.
enum EffectiveLimits {
  static func of(_ spec: NodeSpec, enforced: [String], missing: [String: String]) -> [EffectiveLimit] {
    if let address = spec.address { return limits(of: spec, address.endpoint) }
    if let image = spec.image {
      return container(spec, image, enforced: enforced, missing: missing) + limits(of: spec, image.endpoint)
    }
    let configuration = try? Configuration.named(spec.configuration)
    let cores = sysconf(Int32(_SC_NPROCESSORS_ONLN))
    let memory = Int64(sysconf(Int32(_SC_PHYS_PAGES))) * Int64(sysconf(Int32(_SC_PAGESIZE)))
    let asked = spec.memoryBytes ?? configuration?.memoryBytes ?? 0
    func origin(_ flag: String?, _ limit: String) -> String {
      let source = flag.map { "node spec (--\($0))" } ?? "configuration \(spec.configuration)"
      return enforcement(source, limit)
    }
    func enforcement(_ source: String, _ limit: String) -> String {
      if enforced.contains(limit) { return source }
      return "\(source); NOT enforced: \(missing[limit] ?? "this machine can't")"
    }
    let process: [EffectiveLimit] = [
      .init(
        name: "memory per instance",
        value: "\(asked >> 20) MiB" + (asked > memory ? " (the machine has \(memory >> 20) MiB)" : ""),
        origin: origin(spec.memoryBytes.map { _ in "memory" }, "memory")),
      .init(
        name: "vCPU per instance",
        value: "\(spec.cpus ?? configuration?.cpus ?? 0)"
          + ((spec.cpus ?? configuration?.cpus ?? 0) > Double(cores) ? " (the machine has \(cores))" : ""),
        origin: origin(spec.cpus.map { _ in "cpus" }, "cpu")),
      .init(name: "processes per instance", value: processes(spec), origin: enforcement("platform", "pids")),
      .init(
        name: "network", value: network(spec),
        origin: "node spec (--subnet)" + (enforced.contains("network") ? "" : "; NOT enforced")),
    ]
    if let model = spec.model, let endpoint = spec.endpoint {
      return process + batches(of: model) + limits(of: spec, endpoint)
    }
    return process + [
      .init(name: "request timeout", value: "\(spec.timeoutSeconds) s", origin: "node spec (--timeout)"),
      .init(
        name: "queue", value: "\(spec.queueLimit) requests, at most \(spec.timeoutSeconds) s",
        origin: "node spec (--queue-limit)"),
      .init(name: "request and answer size", value: "16 MiB each", origin: "platform"),
      .init(name: "requests at once per instance", value: "1", origin: "platform (one interpreter state)"),
    ] + rates(spec)
  }

  private static func processes(_ spec: NodeSpec) -> String {
    guard let model = spec.model else { return "512" }
    return model.image == nil ? "1024" : "4096"
  }

  private static func network(_ spec: NodeSpec) -> String {
    let isClosed = spec.subnet == "none"
    guard let model = spec.model else { return isClosed ? "none" : "that of the machine" }
    if model.image != nil { return "one of the node's own\(isClosed ? " without a way out" : "")" }
    return isClosed ? "none but to be called on 127.0.0.1" : "that of the machine"
  }

  /// What Triton holds the models of a node to.
  private static func batches(of model: ModelSource) -> [EffectiveLimit] {
    let delay = Double(model.queueDelayMicroseconds) / 1000
    return [
      .init(
        name: "rows in one call of a model", value: "\(model.maxBatchSize ?? 64)",
        origin: model.maxBatchSize == nil ? "platform" : "node spec (--max-batch)"),
      .init(name: "wait for more rows", value: "\(delay) ms", origin: "node spec (--queue-delay)"),
      .init(name: "load of a model", value: "\(model.loadSeconds) s", origin: "node spec (--load-timeout)"),
    ]
  }

  /// What the container engine holds an instance to.
  private static func container(
    _ spec: NodeSpec, _ image: ImageSource, enforced: [String], missing: [String: String]
  ) -> [EffectiveLimit] {
    let configuration = try? Configuration.named(spec.configuration)
    let cores = Double(sysconf(Int32(_SC_NPROCESSORS_ONLN)))
    let cpus = spec.cpus ?? configuration?.cpus ?? 0
    func origin(_ flag: String?) -> String {
      flag.map { "node spec (--\($0))" } ?? "configuration \(spec.configuration)"
    }
    func size(_ name: String, _ gigabytes: Int, _ source: String, _ limit: String) -> EffectiveLimit {
      let refusal = missing[limit].map { "; NOT enforced: \($0)" }
      let unknown = enforced.contains(limit) ? "" : "; not known yet whether the engine can enforce it"
      return .init(name: name, value: "\(gigabytes) GB", origin: source + (refusal ?? unknown))
    }
    var disks: [EffectiveLimit] = []
    if let disk = image.diskGigabytes {
      disks.append(size("disk per instance", disk, "node spec (--disk)", "disk"))
    }
    if !image.readOnlyRoot {
      let source = image.rootDiskGigabytes == nil ? "platform" : "node spec (--root-disk)"
      disks.append(
        size(
          "own files per instance", image.rootDiskGigabytes ?? ImageSource.usualRootDiskGigabytes, source,
          "root"
        ))
    }
    return [
      .init(
        name: "memory per instance",
        value: "\((spec.memoryBytes ?? configuration?.memoryBytes ?? 0) >> 20) MiB",
        origin: origin(spec.memoryBytes.map { _ in "memory" })),
      .init(
        name: "vCPU per instance",
        value: cpus > cores ? "\(cores) (of \(cpus): the machine has no more)" : "\(cpus)",
        origin: origin(spec.cpus.map { _ in "cpus" })),
      .init(name: "processes per instance", value: "4096", origin: "platform"),
      .init(
        name: "shared memory per instance", value: "\(image.sharedMemoryBytes >> 20) MiB",
        origin: "node spec (--shm-size)"),
      .init(
        name: "start", value: "\(image.startTimeoutSeconds) s to become healthy",
        origin: "node spec (--start-timeout)"),
      .init(
        name: "drain", value: "\(image.drainSeconds) s, then SIGTERM", origin: "node spec (--drain-timeout)"),
      .init(
        name: "stop", value: "\(image.stopSeconds) s, then SIGKILL", origin: "node spec (--stop-timeout)"),
    ] + disks
  }

  /// Servers of other people's making: their limits are those of the way there.
  private static func limits(of spec: NodeSpec, _ endpoint: EndpointSettings) -> [EffectiveLimit] {
    let total = endpoint.totalTimeoutSeconds
    return [
      .init(
        name: "connect timeout", value: "\(endpoint.connectTimeoutSeconds) s",
        origin: "node spec (--connect-timeout)"),
      .init(
        name: "time to the answer's head", value: "\(spec.timeoutSeconds) s", origin: "node spec (--timeout)"),
      .init(
        name: "idle timeout", value: "\(endpoint.idleTimeoutSeconds) s", origin: "node spec (--idle-timeout)"),
      .init(
        name: "total time", value: total > 0 ? "\(total) s" : "no limit",
        origin: "node spec (--total-timeout)"),
      .init(
        name: "requests at once per \(spec.address != nil ? "address" : "instance")",
        value: "\(endpoint.perInstanceLimit)",
        origin: "node spec (--per-instance-limit)"),
      .init(
        name: "queue", value: "\(spec.queueLimit) requests, at most \(spec.timeoutSeconds) s",
        origin: "node spec (--queue-limit)"),
    ] + rates(spec)
  }

  private static func rates(_ spec: NodeSpec) -> [EffectiveLimit] {
    let given = [("requests of all callers", spec.rateLimit), ("requests of a caller", spec.callerRateLimit)]
    return given.compactMap { name, limit in
      limit.map {
        .init(name: name, value: "\($0.requestsPerSecond) a second, \($0.burst) at once", origin: "node spec")
      }
    }
  }
}
