public import Domain
import DriverAPI
import Synchronization
import Wire

/// Pulls the metrics that instances tell of themselves, and shows them on as one text.
///
/// Only what the last pull of an instance brought is shown: an instance that can't be pulled has no series but those that say
/// so.
public final class NodeTelemetry: Sendable {
  /// Pulls under way at once; the others come as soon as one has ended.
  private static let width = 32
  /// A node that scales by a gauge looks at it at least this often.
  private static let gaugeInterval = 5.0

  private let pull: @Sendable (ScrapeTarget) async -> ScrapeAnswer
  private let time: TimeSource
  private let state = Mutex(State())

  private struct State {
    var nodes: [NodeID: Node] = [:]
    var pulls: [InstanceID: Pull] = [:]
  }

  private struct Node {
    var name: String
    var settings: TelemetrySettings
    var interval: Double
    /// What the node scales by, if it is a gauge.
    var gauge: String?
    /// Those that are to be pulled, in order.
    var instances: [InstanceID] = []
  }

  /// What was seen of an instance.
  private struct Pull {
    var target: ScrapeTarget
    var nextAt = Duration.zero
    var isUnderWay = false
    /// It was in rotation at some time: from then on silence is a fault.
    var isDue = false
    var part: ExpositionPart?
    var error: String?
    var seconds: Double?
    var samples = 0
    var repeated = 0
    var pulls = 0
    var failures = 0
    var gauges: [String: Double] = [:]
    /// Of an instance of Triton.
    var models: ModelFigures?
    /// Milliseconds in its queue between the last two pulls.
    var queue: Double?
  }

  public init(time: TimeSource, pull: @escaping @Sendable (ScrapeTarget) async -> ScrapeAnswer) {
    self.time = time
    self.pull = pull
  }

  /// Pulls until the task is cancelled; `views` tells the nodes there are.
  public func run(_ views: @Sendable () async -> [NodeView]) async {
    await withDiscardingTaskGroup { group in
      while !Task.isCancelled {
        follow(await views())
        for (id, target, gauge) in takeDue() {
          group.addTask { await self.pullOnce(id, target, gauge) }
        }
        try? await Task.sleep(for: .milliseconds(500))
      }
    }
  }

  // MARK: What to pull

  private func follow(_ views: [NodeView]) {
    let views = views.filter { $0.spec.telemetry != nil }
    state.withLock { state in
      var known = state.pulls
      state.pulls = [:]
      state.nodes = [:]
      for view in views {
        guard let settings = view.spec.telemetry else { continue }
        var interval = settings.intervalSeconds
        if view.spec.scaling?.gauge != nil { interval = min(interval, Self.gaugeInterval) }
        var node = Node(name: view.name, settings: settings, interval: interval)
        node.gauge = view.spec.scaling?.gauge?.name
        for instance in view.instances where instance.status != .deleting {
          guard let handle = instance.handle,
            let address = handle.metricsAddress ?? Self.address(handle.endpoint.address, settings.port)
          else { continue }
          let target = ScrapeTarget(address: address, path: settings.path)
          var pull = known.removeValue(forKey: instance.id) ?? Pull(target: target)
          if pull.target != target { pull = Pull(target: target, isDue: pull.isDue) }
          if instance.status == .healthy, !pull.isDue {
            pull.isDue = true
            if pull.part == nil { pull.nextAt = .zero }
          }
          state.pulls[instance.id] = pull
          node.instances.append(instance.id)
        }
        state.nodes[view.id] = node
      }
    }
  }

  /// `172.18.0.2:8080`, 9090 → `172.18.0.2:9090`. Of an instance that an earlier version started the port may not be known (0).
  private static func address(_ address: String, _ port: Int) -> String? {
    guard port > 0, !address.hasPrefix("unix:"), let colon = address.lastIndex(of: ":") else { return nil }
    return "\(address[...colon])\(port)"
  }

  private func takeDue() -> [(InstanceID, ScrapeTarget, String?)] {
    let now = time.uptime()
    return state.withLock { state in
      var room = Self.width - state.pulls.values.count { $0.isUnderWay }
      var due: [(InstanceID, ScrapeTarget, String?)] = []
      for node in state.nodes.values {
        for id in node.instances {
          guard room > 0, var pull = state.pulls[id], !pull.isUnderWay, pull.nextAt <= now else { continue }
          room -= 1
          pull.isUnderWay = true
          pull.nextAt = now + .milliseconds(Int64(node.interval * 1000))
          state.pulls[id] = pull
          due.append((id, pull.target, node.gauge))
        }
      }
      return due
    }
  }

  // MARK: One pull

  private func pullOnce(_ id: InstanceID, _ target: ScrapeTarget, _ gauge: String?) async {
    let began = time.uptime()
    let answer = await pull(target)
    let took = (time.uptime() - began) / .seconds(1)
    let node = state.withLock { state in
      state.nodes.first { $0.value.instances.contains(id) }.map { ($0.key, $0.value.name) }
    }
    guard let node else { return }
    let result: Result<ExpositionText.Reading, ScrapeFailure>
    switch answer {
    case .failed(let words): result = .failure(ScrapeFailure(words: words))
    case .text(let bytes, let isOpenMetrics):
      do throws(ExpositionFault) {
        result = .success(try ExpositionText.read(bytes, isOpenMetrics: isOpenMetrics))
      } catch {
        result = .failure(ScrapeFailure(words: "the answer is not in the Prometheus text format: \(error)"))
      }
    }
    let labels = Self.labels(node.0, node.1, id)
    let part = (try? result.get()).map { ExpositionPart($0.families, adding: labels) }
    state.withLock { state in
      guard var pull = state.pulls[id], pull.target == target else { return }
      pull.isUnderWay = false
      pull.pulls += 1
      pull.seconds = took
      pull.part = part
      pull.gauges = [:]
      switch result {
      case .success(let reading):
        pull.error = nil
        pull.samples = reading.sampleCount
        pull.repeated = reading.repeated
        if let gauge, let sum = Self.sum(gauge, reading.families) { pull.gauges[gauge] = sum }
        let models = ModelFigures(reading.families)
        pull.queue = pull.models.flatMap { models?.queueMilliseconds(since: $0) }
        pull.models = models
        if gauge == ModelFigures.queueGauge { pull.gauges[ModelFigures.queueGauge] = pull.queue }
      case .failure(let failure):
        pull.error = failure.words
        pull.failures += 1
        pull.samples = 0
        pull.repeated = 0
      }
      state.pulls[id] = pull
    }
  }

  private struct ScrapeFailure: Error { var words: String }

  private static func labels(_ node: NodeID, _ name: String, _ instance: InstanceID) -> [MetricLabel] {
    [
      MetricLabel("node_id", node.text), MetricLabel("node", name),
      MetricLabel("instance_id", instance.text),
    ]
  }

  /// All series of a metric added up; nil when there is none with a number.
  private static func sum(_ name: String, _ families: [MetricFamily]) -> Double? {
    let values = families.flatMap(\.samples).filter { $0.name == name && $0.value.isFinite }.map(\.value)
    return values.isEmpty ? nil : values.reduce(0, +)
  }

  // MARK: Views

  /// What was measured of each model of a node, summed over its instances; empty when none told.
  func figures(of node: NodeID) -> ModelFigures {
    state.withLock { state in
      var sum = ModelFigures()
      for id in state.nodes[node]?.instances ?? [] {
        if let models = state.pulls[id]?.models { sum.add(models) }
      }
      return sum
    }
  }

  /// A gauge summed over the instances that told it at their last pull; nil when none did.
  public func gauge(_ name: String, of node: NodeID) -> Double? {
    state.withLock { state in
      let values = (state.nodes[node]?.instances ?? []).compactMap { state.pulls[$0]?.gauges[name] }
      return values.isEmpty ? nil : values.reduce(0, +)
    }
  }

  /// What the condition `Telemetry` of a node says; nil when nothing is pulled of it.
  func fact(of node: NodeID) -> (Bool, String, String)? {
    state.withLock { state in
      guard let known = state.nodes[node] else { return nil }
      let what =
        "GET \(known.settings.path) of \(known.settings.port == 0 ? "its own port" : "port \(known.settings.port)") every \(ExpositionWords.seconds(known.interval))"
      let due = known.instances.compactMap { id in
        state.pulls[id].flatMap { $0.isDue && $0.pulls > 0 ? (id: id, pull: $0) : nil }
      }
      guard !due.isEmpty else { return (false, "NothingPulled", "no instance was pulled yet: \(what)") }
      let bad = due.filter { $0.pull.error != nil }
      guard let first = bad.first else {
        let samples = due.reduce(0) { $0 + $1.pull.samples }
        return (true, "Pulled", "\(samples) samples of \(due.count) instances: \(what)")
      }
      return (
        false, "Failing",
        "\(bad.count) of \(due.count) instances: \(first.pull.target.description) (instance \(first.id)): \(first.pull.error ?? "")"
      )
    }
  }

  /// The answer of `/metrics/nodes`, content type `text/plain; version=0.0.4`; `only`: id or name of a node.
  public func text(only: String? = nil) -> [UInt8] {
    let (nodes, pulls) = state.withLock { ($0.nodes, $0.pulls) }
    let shown = nodes.filter { only == nil || $0.key.text == only || $0.value.name == only }
      .sorted { ($0.value.name, $0.key) < ($1.value.name, $1.key) }
    let sources = shown.flatMap { node in
      node.value.instances.compactMap { id in
        pulls[id].map { (labels: Self.labels(node.key, node.value.name, id), pull: $0) }
      }
    }.filter { $0.pull.pulls > 0 }
    // The platform's own families come first in the text, so that no instance can take their names; how much of the others is
    // left out is known when they were merged.
    var own = ExpositionMerge()
    let names = Self.own.map { MetricFamily(name: $0.name, kind: $0.kind, help: $0.help) }
    _ = own.add(ExpositionPart(names, adding: []))
    var rest = own
    var samples = names.map { _ in [MetricSample]() }
    for (labels, pull) in sources {
      let conflicting = pull.part.map { rest.add($0) } ?? 0
      for (index, family) in Self.own.enumerated() {
        guard let value = family.value(pull, conflicting) else { continue }
        samples[index].append(MetricSample(name: family.name, labels: labels, value: value))
      }
    }
    for index in names.indices {
      var family = names[index]
      family.samples = samples[index]
      _ = rest.add(ExpositionPart([family], adding: []))
    }
    return rest.text
  }

  private struct OwnFamily {
    var name: String
    var kind: MetricFamily.Kind
    var help: String
    /// Nil: there is no such sample.
    var value: @Sendable (Pull, _ conflicting: Int) -> Double?
  }

  private static let own = [
    OwnFamily(
      name: "roost_scrape_up", kind: .gauge,
      help: "Whether the last pull of the instance's metrics succeeded."
    ) { pull, _ in pull.error == nil ? 1 : 0 },
    OwnFamily(
      name: "roost_scrape_duration_seconds", kind: .gauge, help: "How long the last pull took."
    ) { pull, _ in pull.seconds ?? 0 },
    OwnFamily(name: "roost_scrape_samples", kind: .gauge, help: "Samples that the last pull brought.") {
      pull, _ in Double(pull.samples)
    },
    OwnFamily(
      name: "roost_scrape_left_out_samples", kind: .gauge,
      help: "Of those, samples not shown: there twice, or of a metric that has another type elsewhere."
    ) { pull, conflicting in Double(pull.repeated + conflicting) },
    OwnFamily(
      name: ModelFigures.queueGauge, kind: .gauge,
      help:
        "Mean time of requests in Triton's queue between the last two pulls, of the model where they waited longest."
    ) { pull, _ in pull.queue },
    OwnFamily(name: "roost_scrapes_total", kind: .counter, help: "Pulls of the instance's metrics.") {
      pull, _ in Double(pull.pulls)
    },
    OwnFamily(name: "roost_scrape_failures_total", kind: .counter, help: "Pulls that failed.") {
      pull, _ in Double(pull.failures)
    },
  ]
}

enum ExpositionWords {
  /// `15 s`, `2.5 s`.
  static func seconds(_ value: Double) -> String {
    value == value.rounded() ? "\(Int(value)) s" : "\(value) s"
  }
}
