import Domain
import Storage
import Telemetry

extension AliasRecordings {
  /// Prometheus text.
  public func metrics() async -> String {
    var found: [(labels: [(String, String)], status: AliasRecordingResource)] = []
    do throws(PlatformError) {
      for alias in try await world.store.allAliases() {
        let status = await status(alias)
        if status.spec != nil { found.append(([("alias_name", alias.name)], status)) }
      }
    } catch { world.log(.error, "recordings not measured", ["error": error.message]) }
    guard !found.isEmpty else { return "" }
    var text = PrometheusText()
    text.family("alias_recording_requests", .gauge, "Recorded requests of an alias that are kept.")
    for entry in found { text.sample("alias_recording_requests", entry.labels, entry.status.requests) }
    text.family("alias_recording_bytes", .gauge, "Bytes of an alias' recorded requests on the disk.")
    for entry in found { text.sample("alias_recording_bytes", entry.labels, entry.status.bytes) }
    text.family(
      "alias_recording_dropped_total", .counter,
      "Requests that were to be recorded and were not, by reason.")
    for entry in found {
      let dropped = entry.status.dropped
      for (reason, count) in [
        ("over_budget", dropped.overBudget), ("too_large", dropped.tooLarge),
        ("over_memory", dropped.overMemory), ("not_copyable", dropped.notCopyable),
        ("unanswered", dropped.unanswered), ("failed", dropped.failed),
      ] { text.sample("alias_recording_dropped_total", entry.labels + [("reason", reason)], count) }
    }
    return String(decoding: text.bytes, as: UTF8.self)
  }
}
