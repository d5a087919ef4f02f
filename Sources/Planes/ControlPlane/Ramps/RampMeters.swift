internal import Domain
internal import Synchronization
internal import Telemetry

/// Ramps as metrics.
public final class RampMeters: Sendable {
  struct Seen {
    var alias: String
    var node: NodeID
    var percent: Int
    var status: RampStatus
  }

  private struct State {
    var ramps: [AliasID: Seen] = [:]
    /// By alias and kind.
    var decisions: [String: [RampEventKind: Int]] = [:]
  }

  private let state = Mutex(State())

  /// The newest ramp of an alias; nil: the alias is gone.
  func show(_ seen: Seen?, of alias: AliasID) {
    state.withLock { state in
      if seen == nil, let gone = state.ramps[alias] { state.decisions[gone.alias] = nil }
      state.ramps[alias] = seen
    }
  }

  func count(_ kind: RampEventKind, alias: String) {
    state.withLock { $0.decisions[alias, default: [:]][kind, default: 0] += 1 }
  }

  /// Prometheus text.
  public var text: String {
    var text = PrometheusText()
    write(&text)
    return String(decoding: text.bytes, as: UTF8.self)
  }

  private func write(_ text: inout PrometheusText) {
    let (ramps, decisions) = state.withLock { ($0.ramps.values.sorted { $0.alias < $1.alias }, $0.decisions) }
    text.family("roost_alias_ramp_percent", .gauge, "Percent of the candidate of an alias' newest ramp.")
    for seen in ramps {
      text.sample(
        "roost_alias_ramp_percent", [("alias_name", seen.alias), ("node_id", seen.node.text)], seen.percent)
    }
    text.family(
      "roost_alias_ramp_status", .gauge, "1 for the status of an alias' newest ramp, 0 for the others.")
    for seen in ramps {
      for status in RampStatus.allCases {
        text.sample(
          "roost_alias_ramp_status", [("alias_name", seen.alias), ("status", status.rawValue)],
          status == seen.status ? 1 : 0)
      }
    }
    text.family("roost_alias_ramp_decisions_total", .counter, "Lines of the journals of ramps, by kind.")
    for (alias, kinds) in decisions.sorted(by: { $0.key < $1.key }) {
      for (kind, count) in kinds.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
        text.sample(
          "roost_alias_ramp_decisions_total", [("alias_name", alias), ("kind", kind.rawValue)], count)
      }
    }
  }
}
