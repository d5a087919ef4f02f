public import Domain
public import DriverAPI
import Synchronization
public import Telemetry

/// What nodes and instances use: samples their counters every few seconds and keeps the last two of each.
public final class NodeMeters: Sendable {
  /// Seconds between samples, and of a node that scales by its processor time.
  private static let interval = 3.0
  private static let quickInterval = 1.0
  /// Requests are looked at over this time.
  private static let window = Duration.seconds(10)

  private let time: TimeSource
  private let state = Mutex(State())
  private let starts = ColdStarts()

  struct State {
    var nodes: [NodeID: Node] = [:]
    var instances: [InstanceID: Instance] = [:]
  }

  struct Node {
    var view: NodeView
    var sampledAt: Duration?
    /// Requests and their durations so far, the oldest first.
    var traffic: [(at: Duration, seen: NodeTraffic)] = []
    var load: NodeLoad?
    /// Processor seconds of all its instances, as far as they were seen, at the last two samples.
    var cpu: (before: Double, now: Double, took: Duration) = (0, 0, .zero)
  }

  struct Instance {
    var meter: InstanceMeter
    var at: Duration
    /// Since the sample before; nil for a first one.
    var since: (meter: InstanceMeter, seconds: Double)?
    var running = 0
  }

  public init(time: TimeSource) { self.time = time }

  /// Samples until the task is cancelled.
  public func run(_ fleet: Fleet, driver: @escaping @Sendable (NodeKind) -> any InstanceDriver) async {
    while !Task.isCancelled {
      await sample(await fleet.views(), fleet, driver)
      try? await Task.sleep(for: .seconds(1))
    }
  }

  func sample(
    _ views: [NodeView], _ fleet: Fleet, _ driver: @Sendable (NodeKind) -> any InstanceDriver
  ) async {
    let now = time.uptime()
    let due = state.withLock { state in
      let former = state.nodes
      state.nodes = [:]
      for view in views {
        var node = former[view.id] ?? Node(view: view)
        node.view = view
        state.nodes[view.id] = node
      }
      let there = Set(views.flatMap { $0.instances.map(\.id) })
      state.instances = state.instances.filter { there.contains($0.key) }
      return views.filter { view in
        guard let last = state.nodes[view.id]?.sampledAt else { return true }
        let interval = view.spec.scaling?.cpuPercent == nil ? Self.interval : Self.quickInterval
        return now - last > .milliseconds(Int64(interval * 1000) - 100)
      }
    }
    for kind in [NodeKind.cell, .image, .model, .address] {
      let nodes = due.filter { $0.spec.kind == kind }
      let handles = nodes.flatMap { $0.instances.compactMap(\.handle) }
      guard !nodes.isEmpty else { continue }
      let meters = kind == .address || handles.isEmpty ? [:] : await driver(kind).meters(handles)
      let at = time.uptime()
      for view in nodes {
        let traffic = await fleet.traffic(of: view.id)
        let load = await fleet.load(of: view.id)
        var running: [InstanceID: Int] = [:]
        for instance in view.instances { running[instance.id] = await fleet.outstanding(on: instance.id) }
        take(view, meters, traffic, load, running, at: at)
      }
    }
  }

  private func take(
    _ view: NodeView, _ meters: [InstanceID: InstanceMeter], _ traffic: NodeTraffic?, _ load: NodeLoad?,
    _ running: [InstanceID: Int], at now: Duration
  ) {
    state.withLock { state in
      guard var node = state.nodes[view.id] else { return }
      var spent = 0.0
      for instance in view.instances {
        guard let meter = meters[instance.id] else {
          // What was true three seconds ago is not said to be true now.
          state.instances[instance.id] = nil
          continue
        }
        let last = state.instances[instance.id]
        var taken = Instance(meter: meter, at: now)
        if let last, now > last.at, meter.cpuSeconds >= last.meter.cpuSeconds {
          taken.since = (last.meter, (now - last.at) / .seconds(1))
          spent += meter.cpuSeconds - last.meter.cpuSeconds
        }
        taken.running = running[instance.id] ?? 0
        state.instances[instance.id] = taken
      }
      node.cpu = (node.cpu.now, node.cpu.now + spent, node.sampledAt.map { now - $0 } ?? .zero)
      node.sampledAt = now
      node.load = load
      if let traffic {
        // The service counts on; the same node under a new table may begin anew.
        if let last = node.traffic.last, traffic.requests < last.seen.requests { node.traffic = [] }
        node.traffic.append((now, traffic))
        while node.traffic.count > 2, now - node.traffic[1].at >= Self.window { node.traffic.removeFirst() }
      }
      state.nodes[view.id] = node
    }
  }

  /// Processor seconds that all instances of a node have used since they are watched. It grows evenly from sample to sample, one
  /// sample late; nil when nothing was sampled lately.
  func cpuSeconds(of node: NodeID) -> Double? {
    let now = time.uptime()
    return state.withLock { state in
      guard let node = state.nodes[node], let at = node.sampledAt, node.cpu.took > .zero,
        now - at < .seconds(10)
      else { return nil }
      let part = min(max((now - at) / node.cpu.took, 0), 1)
      return node.cpu.before + (node.cpu.now - node.cpu.before) * part
    }
  }

  /// How long a phase of an instance's start took.
  func coldStart(_ kind: NodeKind, _ phase: StartPhase, _ took: Duration) {
    starts.observe(kind, phase, took)
  }

  // MARK: Views

  /// What nodes use, those that `includes` says.
  public func top(at now: Timestamp, includes: (NodeID) -> Bool) -> TopResource {
    let (nodes, instances) = state.withLock { ($0.nodes, $0.instances) }
    var result = TopResource(at: now, nodes: [], instances: [])
    let shown = nodes.values.filter { includes($0.view.id) }
      .sorted { ($0.view.name, $0.view.id) < ($1.view.name, $1.view.id) }
    for node in shown {
      let uses = node.view.instances.map { Self.use(of: $0, in: node.view, instances[$0.id]) }
      result.nodes.append(Self.use(of: node, uses))
      result.instances += uses
    }
    return result
  }

  private static func use(of one: NodeView.Instance, in node: NodeView, _ seen: Instance?) -> InstanceUse {
    var use = InstanceUse(
      id: one.id, nodeId: node.id, nodeName: node.name, release: one.release, status: one.status)
    guard let seen else { return use }
    let meter = seen.meter
    use.memoryBytes = meter.memoryBytes
    use.memoryLimitBytes = meter.memoryLimitBytes
    use.processes = meter.processes
    use.running = seen.running
    guard let (before, seconds) = seen.since else { return use }
    func rate(_ now: Int64?, _ before: Int64?) -> Double? {
      guard let now, let before, now >= before else { return nil }
      return rounded(Double(now - before) / seconds)
    }
    use.cpuPercent = rounded((meter.cpuSeconds - before.cpuSeconds) / seconds * 100)
    use.receivedBytesPerSecond = rate(meter.receivedBytes, before.receivedBytes)
    use.sentBytesPerSecond = rate(meter.sentBytes, before.sentBytes)
    if let held = meter.throttledSeconds, let former = before.throttledSeconds, held >= former {
      use.throttledPercent = rounded(min((held - former) / seconds * 100, 100))
    }
    return use
  }

  private static func use(of node: Node, _ uses: [InstanceUse]) -> NodeUse {
    func sum<Value: AdditiveArithmetic>(_ path: KeyPath<InstanceUse, Value?>) -> Value? {
      let known = uses.compactMap { $0[keyPath: path] }
      return known.isEmpty ? nil : known.reduce(.zero, +)
    }
    var use = NodeUse(
      id: node.view.id, name: node.view.name, kind: node.view.spec.kind,
      healthyInstances: uses.count { $0.status == .healthy }, instances: uses.count,
      cpuPercent: sum(\.cpuPercent), memoryBytes: sum(\.memoryBytes),
      memoryLimitBytes: sum(\.memoryLimitBytes), receivedBytesPerSecond: sum(\.receivedBytesPerSecond),
      sentBytesPerSecond: sum(\.sentBytesPerSecond), running: node.load?.running ?? 0,
      queued: node.load?.queued ?? 0)
    guard let first = node.traffic.first, let last = node.traffic.last, last.at > first.at else { return use }
    let counts = zip(last.seen.durations, first.seen.durations).map { max($0 - $1, 0) }
    use.requestsPerSecond = rounded(
      Double(last.seen.requests - first.seen.requests) / ((last.at - first.at) / .seconds(1)))
    use.p50Seconds = DurationBuckets.quantile(0.5, counts)
    use.p99Seconds = DurationBuckets.quantile(0.99, counts)
    return use
  }

  private static func rounded(_ value: Double) -> Double { (value * 100).rounded() / 100 }

  /// The families of `/metrics` about instances.
  public func write(_ text: inout PrometheusText) {
    starts.write(&text)
    let (nodes, instances) = state.withLock { ($0.nodes, $0.instances) }
    let views = nodes.values.map(\.view).sorted { ($0.name, $0.id) < ($1.name, $1.id) }
    let seen: [(labels: [(String, String)], meter: InstanceMeter)] = views.flatMap { view in
      view.instances.compactMap { one in
        instances[one.id].map {
          ([("node_id", view.id.text), ("node", view.name), ("instance_id", one.id.text)], $0.meter)
        }
      }
    }
    func family(
      _ name: String, _ kind: PrometheusText.Kind, _ help: String, _ value: (InstanceMeter) -> Double?
    ) {
      text.family(name, kind, help)
      for (labels, meter) in seen { if let value = value(meter) { text.sample(name, labels, value) } }
    }
    family("roost_instance_cpu_seconds_total", .counter, "Processor time of an instance.") { $0.cpuSeconds }
    family(
      "roost_instance_memory_bytes", .gauge, "Memory of an instance that can't be given back at once."
    ) { Double($0.memoryBytes) }
    family("roost_instance_memory_limit_bytes", .gauge, "Most memory that an instance may have.") {
      $0.memoryLimitBytes.map(Double.init)
    }
    family("roost_instance_network_received_bytes_total", .counter, "Bytes that an instance received.") {
      $0.receivedBytes.map(Double.init)
    }
    family("roost_instance_network_sent_bytes_total", .counter, "Bytes that an instance sent.") {
      $0.sentBytes.map(Double.init)
    }
    family("roost_instance_processes", .gauge, "Processes and threads of an instance.") {
      $0.processes.map(Double.init)
    }
    family(
      "roost_instance_cpu_periods_total", .counter, "Periods in which the limit of vCPU could have held it."
    ) { $0.periods.map(Double.init) }
    family("roost_instance_cpu_throttled_periods_total", .counter, "Periods in which it did.") {
      $0.throttledPeriods.map(Double.init)
    }
    family("roost_instance_cpu_throttled_seconds_total", .counter, "Time for which it did.") {
      $0.throttledSeconds
    }
  }
}

/// Durations counted in the buckets of `Histogram`.
enum DurationBuckets {
  /// Seconds that this part of the requests took at most, evenly spread within a bucket; nil without any. Beyond the last bound
  /// that bound is told.
  static func quantile(_ part: Double, _ counts: [Int]) -> Double? {
    let total = counts.reduce(0, +)
    guard total > 0 else { return nil }
    let wanted = part * Double(total)
    var below = 0.0
    for (index, count) in counts.enumerated() where count > 0 {
      guard below + Double(count) >= wanted, index < Histogram.bounds.count else {
        below += Double(count)
        continue
      }
      let low = index == 0 ? 0 : Double(Histogram.bounds[index - 1])
      let high = Double(Histogram.bounds[index])
      let value = low + (high - low) * (wanted - below) / Double(count)
      return value.rounded() / 1e6
    }
    return Histogram.bounds.last.map { Double($0) / 1e6 }
  }
}
