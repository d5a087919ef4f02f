import Domain
import Storage
import Telemetry

extension AliasMirrors {
  /// Prometheus text.
  public func metrics() async -> String {
    var text = PrometheusText()
    var found: [(labels: [(String, String)], status: AliasMirrorResource)] = []
    do throws(PlatformError) {
      for alias in try await world.store.allAliases() {
        let status = try await status(alias)
        guard status.state != .off else { continue }
        found.append(([("alias_name", alias.name), ("node_id", status.spec?.nodeId.text ?? "")], status))
      }
    } catch { world.log(.error, "mirrors not measured", ["error": error.message]) }
    guard !found.isEmpty else { return "" }
    text.family(
      "alias_mirror_requests_total", .counter, "Copies of an alias' requests for which a candidate was asked."
    )
    for entry in found { text.sample("alias_mirror_requests_total", entry.labels, entry.status.sent) }
    text.family(
      "alias_mirror_answers_total", .counter,
      "Answers of the candidate, by how they compare with those that callers got.")
    for entry in found {
      for (result, count) in [
        ("equal", entry.status.equal), ("different", entry.status.different), ("failed", entry.status.failed),
      ] { text.sample("alias_mirror_answers_total", entry.labels + [("result", result)], count) }
    }
    text.family(
      "alias_mirror_dropped_total", .counter, "Requests that were to be copied and were not, by reason.")
    for entry in found {
      let dropped = entry.status.dropped
      for (reason, count) in [
        ("over_budget", dropped.overBudget), ("busy", dropped.busy), ("too_large", dropped.tooLarge),
        ("over_memory", dropped.overMemory), ("not_copyable", dropped.notCopyable),
        ("unanswered", dropped.unanswered),
      ] { text.sample("alias_mirror_dropped_total", entry.labels + [("reason", reason)], count) }
    }
    text.family(
      "alias_mirror_latency_ratio", .gauge,
      "Time of the candidate by time of the node that answered the caller.")
    for entry in found {
      guard let latency = entry.status.latency else { continue }
      text.sample("alias_mirror_latency_ratio", entry.labels + [("quantile", "0.5")], latency.ratioP50)
      text.sample("alias_mirror_latency_ratio", entry.labels + [("quantile", "0.95")], latency.ratioP95)
    }
    return String(decoding: text.bytes, as: UTF8.self)
  }
}
