import Domain
import Telemetry

/// Which releases nodes run, as metrics.
public enum ReleaseMetrics {
  /// Prometheus text of all nodes.
  public static func text(_ views: [NodeView]) -> String {
    var text = PrometheusText()
    text.family(
      "roost_node_release", .gauge, "The release of a node that is wished, and the one that served last.")
    for view in views {
      let labels = [("node_id", view.id.text), ("node", view.name)]
      text.sample("roost_node_release", labels + [("role", "wished")], view.release)
      if let serving = view.rollOut.serving {
        text.sample("roost_node_release", labels + [("role", "serving")], serving)
      }
    }
    text.family(
      "roost_node_roll_out", .gauge, "1 for the state of a node's wished release, 0 for the others.")
    for view in views {
      let labels = [("node_id", view.id.text), ("node", view.name)]
      for state in [ReleaseState.rollingOut, .serving, .failed] {
        text.sample(
          "roost_node_roll_out", labels + [("state", state.rawValue)], view.rollOut.state == state ? 1 : 0)
      }
    }
    text.family("roost_node_roll_out_failures", .gauge, "Failures of a release while it is rolled out.")
    for view in views {
      text.sample(
        "roost_node_roll_out_failures", [("node_id", view.id.text), ("node", view.name)],
        view.rollOut.failures)
    }
    text.family(
      "roost_model_reloads_total", .counter,
      "Models that were loaded anew because their process had died, since the server was started.")
    for view in views where view.spec.model != nil {
      text.sample(
        "roost_model_reloads_total", [("node_id", view.id.text), ("node", view.name)], view.reloads)
    }
    return String(decoding: text.bytes, as: UTF8.self)
  }
}
