import Domain
import Glibc

/// The limits in force on a node's instances and where each comes from.
enum EffectiveLimits {
  static func of(_ spec: NodeSpec, enforced: [String], missing: [String: String]) -> [EffectiveLimit] {
    if let address = spec.address { return limits(of: spec, address.endpoint) }
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
    return [
      .init(
        name: "memory per instance",
        value: "\(asked >> 20) MiB" + (asked > memory ? " (the machine has \(memory >> 20) MiB)" : ""),
        origin: origin(spec.memoryBytes.map { _ in "memory" }, "memory")),
      .init(
        name: "vCPU per instance",
        value: "\(spec.cpus ?? configuration?.cpus ?? 0)"
          + ((spec.cpus ?? configuration?.cpus ?? 0) > Double(cores) ? " (the machine has \(cores))" : ""),
        origin: origin(spec.cpus.map { _ in "cpus" }, "cpu")),
      .init(name: "processes per instance", value: "512", origin: enforcement("platform", "pids")),
      .init(
        name: "network", value: spec.subnet == "none" ? "none" : "that of the machine",
        origin: "node spec (--subnet)" + (enforced.contains("network") ? "" : "; NOT enforced")),
      .init(name: "request timeout", value: "\(spec.timeoutSeconds) s", origin: "node spec (--timeout)"),
      .init(
        name: "queue", value: "\(spec.queueLimit) requests, at most \(spec.timeoutSeconds) s",
        origin: "node spec (--queue-limit)"),
      .init(name: "request and answer size", value: "16 MiB each", origin: "platform"),
      .init(name: "requests at once per instance", value: "1", origin: "platform (one interpreter state)"),
    ] + rates(spec)
  }

  /// An address node runs elsewhere: its limits are those of the way there.
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
        name: "requests at once per address", value: "\(endpoint.perInstanceLimit)",
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
