import Domain
import Telemetry

/// A part of the way of an instance from being asked for to its first answer.
enum StartPhase: String, CaseIterable {
  /// A process, or a container, exists.
  case create
  /// It runs: of a cell, it has said that it is ready.
  case start
  /// From then to its first passed health check.
  case healthy
  /// Of a node that rested: from the request that woke it to the first answer.
  case answer
}

/// How long starts took.
final class ColdStarts: Sendable {
  private let cells = StartPhase.allCases.map { _ in Histogram() }
  private let images = StartPhase.allCases.map { _ in Histogram() }

  func observe(_ kind: NodeKind, _ phase: StartPhase, _ took: Duration) {
    guard kind != .address, let place = StartPhase.allCases.firstIndex(of: phase) else { return }
    (kind == .cell ? cells : images)[place].observe(microseconds: Int(took / .microseconds(1)))
  }

  func write(_ text: inout PrometheusText) {
    text.family(
      "roost_cold_start_seconds", .histogram,
      "Starts of instances by phase; the phase answer is of nodes that rested, from the request that woke them."
    )
    for (kind, histograms) in [(NodeKind.cell, cells), (.image, images)] {
      for (phase, histogram) in zip(StartPhase.allCases, histograms) {
        text.histogram(
          "roost_cold_start_seconds", [("kind", kind.rawValue), ("phase", phase.rawValue)], histogram)
      }
    }
  }
}
