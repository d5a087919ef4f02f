import Domain
import Telemetry

/// How often environments were made, and how long that took, since the service began.
struct EnvironmentMeters: Sendable {
  private let ready = Counter()
  private let failed = Counter()
  private let milliseconds = Counter()

  /// - Parameter status: what came of it; one that is still being made was given up.
  func note(_ status: EnvironmentStatus, _ took: Duration) {
    switch status {
    case .ready: ready.add()
    case .failed: failed.add()
    case .building: return
    }
    milliseconds.add(Int(took / .milliseconds(1)))
  }

  func text(_ statuses: [EnvironmentStatus]) -> String {
    var text = PrometheusText()
    text.family("roost_environments", .gauge, "Environments by status.")
    for status in [EnvironmentStatus.building, .ready, .failed] {
      text.sample(
        "roost_environments", [("status", status.rawValue)], statuses.count { $0 == status })
    }
    text.family("roost_environment_builds_total", .counter, "Environments made since the service began.")
    text.sample("roost_environment_builds_total", [("result", "ready")], ready.current)
    text.sample("roost_environment_builds_total", [("result", "failed")], failed.current)
    text.family("roost_environment_build_seconds_total", .counter, "Time that making them took.")
    text.sample("roost_environment_build_seconds_total", [], Double(milliseconds.current) / 1000)
    return String(decoding: text.bytes, as: UTF8.self)
  }
}
