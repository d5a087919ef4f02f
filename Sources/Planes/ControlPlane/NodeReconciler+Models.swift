import Domain
import DriverAPI
import Storage

/// What is said of nodes of models.
extension NodeReconciler {
  /// An instance says that one of its models died, or that all answer again.
  func turned(_ exit: InstanceExit, _ rotation: InstanceExit.Rotation) async {
    guard let instance = exit.instance, let live = instances[instance] else { return }
    switch rotation {
    case .leaves:
      reloads += 1
      lastError = exit.error
      guard live.status == .healthy else { break }
      instances[instance]?.lastError = exit.error
      instances[instance]?.status = .unhealthy
    case .returns:
      guard live.status == .unhealthy else { return }
      instances[instance]?.status = .healthy
      instances[instance]?.healthySince = world.now()
    }
    // First the gateway: each moment more is more callers who are answered with an error.
    await routesChanged(id)
    world.note(id, instance, exit.release, exit.error.message)
    await persist(instance)
    wake()
  }

  func modelFacts(healthy: Int, trouble: String?) -> [Fact] {
    let wanted = wantedCount
    let waiting = notBefore > world.uptime()
    let names = intent.spec.model?.titles.joined(separator: ", ") ?? ""
    let ready: (Bool, String, String) =
      if record.suspended {
        (false, "Suspended", "the user suspended the node")
      } else if wanted == 0 {
        (true, "Resting", "nobody called for long enough: no instance runs, the first request starts one")
      } else if healthy >= wanted {
        (true, "AllHealthy", "\(healthy) of \(wanted) instances are in rotation")
      } else if healthy > 0 {
        (false, "Replacing", "\(healthy) of \(wanted) instances are in rotation")
      } else if instances.values.contains(where: { $0.status == .unhealthy }) {
        (false, "Reloading", lastError?.message ?? "a model is loaded anew; requests wait")
      } else {
        (
          false, waiting ? "BackingOff" : "NoInstance",
          lastError?.message ?? "Triton is loading \(names); no instance is ready yet"
        )
      }
    let models: (Bool, String, String) =
      healthy > 0
      ? (
        true, "Loaded",
        "each instance loaded \(names) and answered a request made from the signature of each\(reloads > 0 ? "; \(reloads) were loaded anew, their process had died" : "")"
      )
      : (false, "NotLoaded", "no instance serves \(names) yet")
    let started = slowStart().map { [("Starting", $0)] } ?? []
    let telemetry = world.telemetry.fact(of: id).map { [("Telemetry", $0)] } ?? []
    let engine = intent.spec.model?.image.map { _ in [("Engine", engineFact(trouble))] } ?? []
    return [("Ready", ready)] + started + [("Models", models)] + engine + zoneFacts() + telemetry
  }
}
