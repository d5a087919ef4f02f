import Domain
import DriverAPI
import Storage

/// What is said of nodes of models.
extension NodeReconciler {
  func modelFacts(healthy: Int) -> [Fact] {
    let wanted = wantedCount
    let waiting = notBefore > world.uptime()
    let names = intent.spec.model?.models.map(\.name).joined(separator: ", ") ?? ""
    let ready: (Bool, String, String) =
      if record.suspended {
        (false, "Suspended", "the user suspended the node")
      } else if wanted == 0 {
        (true, "Resting", "nobody called for long enough: no instance runs, the first request starts one")
      } else if healthy >= wanted {
        (true, "AllHealthy", "\(healthy) of \(wanted) instances are in rotation")
      } else if healthy > 0 {
        (false, "Replacing", "\(healthy) of \(wanted) instances are in rotation")
      } else {
        (
          false, waiting ? "BackingOff" : "NoInstance",
          lastError?.message ?? "Triton is loading \(names); no instance is ready yet"
        )
      }
    let models: (Bool, String, String) =
      healthy > 0
      ? (
        true, "Loaded", "each instance loaded \(names) and answered a request made from the signature of each"
      )
      : (false, "NotLoaded", "no instance serves \(names) yet")
    let started = slowStart().map { [("Starting", $0)] } ?? []
    let telemetry = world.telemetry.fact(of: id).map { [("Telemetry", $0)] } ?? []
    return [("Ready", ready)] + started + [("Models", models)] + zoneFacts() + telemetry
  }
}
