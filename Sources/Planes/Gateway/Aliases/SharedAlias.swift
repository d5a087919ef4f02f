internal import Domain
internal import Planning
internal import Synchronization
internal import Telemetry

/// What one node answered to requests of one alias.
final class ShareCounters: Sendable {
  let node: NodeID
  private let total = Atomic<Int>(0)
  private let failed = Atomic<Int>(0)
  let durations = Histogram()
  let compared = ComparedCounters()

  init(node: NodeID) { self.node = node }

  var requests: Int { total.load(ordering: .relaxed) }
  /// Answers with a status of 500 or above.
  var failures: Int { failed.load(ordering: .relaxed) }

  func answered(status: Int, microseconds: Int) {
    total.wrappingAdd(1, ordering: .relaxed)
    if status >= 500 { failed.wrappingAdd(1, ordering: .relaxed) }
    durations.observe(microseconds: microseconds)
  }
}

/// What ramps compare: answers to requests that the weights, or what callers stick to, brought to a node. Those that a rule or a
/// caller chose are of another kind than the others'.
final class ComparedCounters: Sendable {
  private let total = Atomic<Int>(0)
  private let failed = Atomic<Int>(0)
  private let buckets: InlineArray<428, Atomic<Int>> = .init { _ in Atomic<Int>(0) }

  /// `microseconds`: nil for what lasts as long as it likes and says nothing of the node, such as a WebSocket.
  func answered(isFailure: Bool, microseconds: Int?) {
    total.wrappingAdd(1, ordering: .relaxed)
    if isFailure { failed.wrappingAdd(1, ordering: .relaxed) }
    guard let microseconds else { return }
    buckets[LatencyScale.bucket(microseconds: microseconds)].wrappingAdd(1, ordering: .relaxed)
  }

  /// All since the service started. What is answered meanwhile may be in one number and not yet in another.
  var current: RampWindow {
    RampWindow(
      requests: total.load(ordering: .relaxed), failures: failed.load(ordering: .relaxed),
      latencies: LatencyCounts((0..<LatencyScale.bucketCount).map { buckets[$0].load(ordering: .relaxed) }))
  }
}

/// What all loops know of an alias: its counters live as long as it does, whatever its shares are.
final class SharedAlias: Sendable {
  let id: AliasID
  let paths: NodePaths
  /// Requests that wait because it is held, and their bytes.
  let held = Atomic<Int>(0)
  let heldBytes = Atomic<Int>(0)
  let holds = HoldCounters()
  /// What became of copies of its requests.
  let mirrored = CopyCounters()
  let recorded = CopyCounters()
  private let shares = Mutex<[NodeID: ShareCounters]>([:])

  init(id: AliasID, name: String) {
    self.id = id
    paths = NodePaths(execute: "/datasphere/v1/aliases/\(name):execute")
  }

  func counters(of node: NodeID) -> ShareCounters {
    shares.withLock { shares in
      if let known = shares[node] { return known }
      let made = ShareCounters(node: node)
      shares[node] = made
      return made
    }
  }

  /// Of every node that ever had a share, by its id.
  var allShares: [ShareCounters] { shares.withLock { $0.values.sorted { $0.node < $1.node } } }
}

/// What became of requests that waited because their alias was held.
final class HoldCounters: Sendable {
  let waited = Counter()
  /// Refused: too many waited already.
  let refused = Counter()
  /// Refused after the longest wait.
  let aged = Counter()
  /// Times of those that went on.
  let durations = Histogram()
}

extension Histogram {
  /// Milliseconds within which `part` of all was done, between two bounds of the histogram; nil when there was nothing.
  func milliseconds(within part: Double) -> Double? {
    let counts = current.counts
    let total = counts.reduce(0, +)
    guard total > 0 else { return nil }
    let wanted = part * Double(total)
    var seen = 0.0
    for (index, count) in counts.enumerated() where count > 0 {
      let low = index == 0 ? 0 : Double(Self.bounds[index - 1])
      // What is longer than the last bound is only known to be so.
      guard index < Self.bounds.count else { return low / 1000 }
      if seen + Double(count) >= wanted {
        let inside = (wanted - seen) / Double(count)
        return (low + (Double(Self.bounds[index]) - low) * inside) / 1000
      }
      seen += Double(count)
    }
    return nil
  }
}
