internal import CLinux
internal import Contract
internal import Domain
internal import Synchronization
internal import Telemetry

/// What all loops know of an instance: how many requests are out and how long its code takes.
final class SharedInstance: Sendable {
  let routed: RoutedInstance
  private let outstanding = Atomic<Int>(0)
  /// Smoothed microseconds in user code; negative until measured.
  private let userMicroseconds = Atomic<Int>(-1)
  /// Monotonic nanoseconds until which nobody tries it: its socket refused or closed.
  private let restsUntil = Atomic<Int64>(0)
  /// Left the routing table: takes no more requests, whichever table a loop still looks at.
  private let retired = Atomic<Bool>(false)

  /// Requests that failed one after the other.
  private let failures = Atomic<Int>(0)
  /// Times it was taken out for failing, since it last did well for a minute.
  private let ejections = Atomic<Int64>(0)
  /// Monotonic nanoseconds since which it is in rotation.
  private let admitted: Atomic<Int64>

  /// Failures in a row after which nobody tries it for a while.
  static let mostFailures = 5

  init(_ routed: RoutedInstance) {
    self.routed = routed
    let age = routed.healthySince.map { max(roost_wall_us() - $0.microseconds, 0) * 1000 }
    admitted = Atomic<Int64>(age.map { roost_now_ns() - $0 } ?? 0)
  }

  /// Takes note of an answer; true when it was one failure too many and the instance rests from now on: 10 seconds the
  /// first time, longer each time it fails again, 5 minutes at most.
  func answered(isFailure: Bool, now: Int64) -> Bool {
    guard isFailure else {
      if failures.load(ordering: .relaxed) != 0 { failures.store(0, ordering: .relaxed) }
      if ejections.load(ordering: .relaxed) != 0, now > restsUntil.load(ordering: .relaxed) + 60_000_000_000 {
        ejections.store(0, ordering: .relaxed)
      }
      return false
    }
    guard !isResting(now), failures.wrappingAdd(1, ordering: .relaxed).newValue >= Self.mostFailures else {
      return false
    }
    failures.store(0, ordering: .relaxed)
    let times = ejections.wrappingAdd(1, ordering: .relaxed).newValue
    let until = now + min(times * 10_000_000_000, 300_000_000_000)
    rest(until: until)
    admitted.store(until, ordering: .relaxed)
    return true
  }

  /// Its load as it counts while it is still new: at a tenth of the slow start, ten times as much.
  func slowed(_ load: Int, _ slowStart: Int64, _ now: Int64) -> Int {
    let age = now - admitted.load(ordering: .relaxed)
    guard age < slowStart else { return load }
    return Int(Int64(load + 1) * slowStart / max(age, slowStart / 100)) - 1
  }

  var load: Int { outstanding.load(ordering: .relaxed) }

  /// Fast code is pipelined; code that is slow or not yet measured runs one request at a time.
  var limit: Int {
    let measured = userMicroseconds.load(ordering: .relaxed)
    return measured >= 0 && measured < 1000 ? max(routed.limit, routed.pipelineLimit) : routed.limit
  }

  func isResting(_ now: Int64) -> Bool { restsUntil.load(ordering: .relaxed) > now }
  func rest(until time: Int64) { restsUntil.store(time, ordering: .relaxed) }

  /// Takes a place if the load is still `seen` at most.
  func acquire() -> Bool {
    var seen = outstanding.load(ordering: .sequentiallyConsistent)
    while seen < limit {
      let (won, now) = outstanding.compareExchange(
        expected: seen, desired: seen + 1, ordering: .sequentiallyConsistent)
      if won {
        // Read after the place was taken: whoever retires it first sees either this place or this check.
        guard retired.load(ordering: .sequentiallyConsistent) else { return true }
        release()
        return false
      }
      seen = now
    }
    return false
  }

  func retire() { retired.store(true, ordering: .sequentiallyConsistent) }

  func release() { outstanding.wrappingSubtract(1, ordering: .sequentiallyConsistent) }

  func measured(_ microseconds: Int) {
    let old = userMicroseconds.load(ordering: .relaxed)
    userMicroseconds.store(old < 0 ? microseconds : (old * 7 + microseconds) / 8, ordering: .relaxed)
  }
}

/// What all loops know of a node: its queue over all loops, and its counters.
final class SharedNode: Sendable {
  /// Most loops that one gateway may have.
  static let maximumLoops = 64

  let id: String
  private let queued = Atomic<Int>(0)
  private let nextTicket = Atomic<UInt64>(0)
  /// The ticket at the front of each loop's part of the queue; max when that part is empty.
  private let fronts: InlineArray<64, Atomic<UInt64>> = .init { _ in Atomic<UInt64>(.max) }
  private let lastDone = Atomic<Int64>(0)
  /// Smoothed nanoseconds between two answers.
  private let interval = Atomic<Int64>(0)
  let rates = ProxyRates()
  let paths: NodePaths
  let inFlight = Gauge()

  init(id: String) {
    self.id = id
    paths = NodePaths(execute: "/datasphere/v1/nodes/\(id):execute")
  }

  var queueLength: Int { queued.load(ordering: .sequentiallyConsistent) }

  /// Takes one of `limit` places in the queue.
  func enterQueue(limit: Int) -> Bool {
    guard queued.wrappingAdd(1, ordering: .sequentiallyConsistent).newValue <= limit else {
      queued.wrappingSubtract(1, ordering: .sequentiallyConsistent)
      return false
    }
    return true
  }

  /// A request that was dispatched but never written goes back, past the limit.
  func reenterQueue() { queued.wrappingAdd(1, ordering: .sequentiallyConsistent) }
  func leaveQueue() { queued.wrappingSubtract(1, ordering: .sequentiallyConsistent) }

  func ticket() -> UInt64 { nextTicket.wrappingAdd(1, ordering: .sequentiallyConsistent).oldValue }

  func setFront(_ ticket: UInt64, loop: Int) { fronts[loop].store(ticket, ordering: .sequentiallyConsistent) }

  /// The loop with the oldest waiting request.
  func oldestLoop(of count: Int) -> Int? {
    var best: (loop: Int, ticket: UInt64)?
    for loop in 0..<count {
      let ticket = fronts[loop].load(ordering: .sequentiallyConsistent)
      if ticket != .max, ticket < (best?.ticket ?? .max) { best = (loop, ticket) }
    }
    return best?.loop
  }

  func done(_ now: Int64) {
    let last = lastDone.exchange(now, ordering: .relaxed)
    guard last > 0, now > last else { return }
    let old = interval.load(ordering: .relaxed)
    let gap = min(now - last, 10_000_000_000)
    interval.store(old == 0 ? gap : (old * 7 + gap) / 8, ordering: .relaxed)
  }

  /// Seconds after which the present queue will be gone at the present rate.
  func retryAfterSeconds() -> Int {
    let gap = interval.load(ordering: .relaxed)
    let nanoseconds = Int64(max(queueLength, 1)) * (gap == 0 ? 1_000_000_000 : gap)
    return Int(min(max((nanoseconds + 999_999_999) / 1_000_000_000, 1), 120))
  }

  func answered(status: Int, microseconds: Int) {
    paths.execute.answered(status: status, microseconds: microseconds)
  }

  /// Answers over all paths, without those that no instance was asked for.
  var answered: Int {
    answers.reduce(0) { [401, 403, 404, 413, 429].contains($1.status) ? $0 : $0 + $1.count }
  }

  /// Answers by status over all paths, those that occurred.
  var answers: [(status: Int, count: Int)] {
    var counts: [Int: Int] = [:]
    for path in paths.all { for answer in path.answers { counts[answer.status, default: 0] += answer.count } }
    return counts.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }
}

/// A routing table with the shared state that its loops use, built once and given to all.
final class LoopTable: Sendable {
  struct Grant: Hashable, Sendable {
    var subject: String
    var folder: String
  }
  /// A class, so that a request that looks at its node copies none of the many fields.
  final class Node: Sendable {
    let routed: RoutedNode
    let shared: SharedNode
    let instances: [SharedInstance]
    /// The API of a cell; nil for nodes of other kinds.
    let contract: NodeContract?
    /// The same of saved models.
    let models: ModelNodeContract?

    init(
      routed: RoutedNode, shared: SharedNode, instances: [SharedInstance], contract: NodeContract?,
      models: ModelNodeContract? = nil
    ) {
      self.routed = routed
      self.shared = shared
      self.instances = instances
      self.contract = contract
      self.models = models
    }

    /// Full names of its typed services.
    var serviceNames: [String] { contract.map { [$0.serviceName] } ?? models?.serviceNames ?? [] }
    /// What its typed services are made of.
    var proto: ProtoFile? { contract?.proto ?? models?.proto }
  }

  /// An alias; a class for the same reason.
  final class Alias: Sendable {
    let routed: RoutedAlias
    let shared: SharedAlias

    init(routed: RoutedAlias, shared: SharedAlias) {
      self.routed = routed
      self.shared = shared
    }
  }

  let generation: UInt64
  let nodes: [Node]
  let aliases: [Alias]
  let grants: Set<Grant>
  /// Who may say which node of an alias a request is for.
  let choosers: Set<Grant>
  let revoked: Set<String>
  /// Places of nodes by the full names of their typed services; nodes of different folders may have the same.
  let services: [String: [Int]]

  init(_ table: RoutingTable, after last: LoopTable?) {
    generation = table.generation
    grants = Set(table.grants.map { Grant(subject: $0.subject, folder: $0.folderID.text) })
    choosers = Set(
      table.grants.lazy.filter(\.mayChoose).map { Grant(subject: $0.subject, folder: $0.folderID.text) })
    revoked = Set(table.revokedTokens)
    aliases = table.aliases.map { routed in
      let known = last?.aliases.first { $0.routed.id == routed.id }?.shared
      return Alias(routed: routed, shared: known ?? SharedAlias(id: routed.id, name: routed.name))
    }
    var knownNodes: [String: SharedNode] = [:]
    var known: [InstanceID: SharedInstance] = [:]
    for node in last?.nodes ?? [] {
      knownNodes[node.shared.id] = node.shared
      for instance in node.instances { known[instance.routed.id] = instance }
    }
    var contracts: [String: (RoutedNode, NodeContract)] = [:]
    var models: [String: (RoutedNode, ModelNodeContract)] = [:]
    for node in last?.nodes ?? [] {
      if let contract = node.contract { contracts[node.shared.id] = (node.routed, contract) }
      if let contract = node.models { models[node.shared.id] = (node.routed, contract) }
    }
    let nodes: [Node] = table.nodes.map { node in
      let instances = node.instances.map { routed in
        // The same instance keeps its load over tables; one that changed its address is another.
        if let old = known[routed.id], old.routed == routed { return old }
        return SharedInstance(routed)
      }
      return Node(
        routed: node, shared: knownNodes[node.id.text] ?? SharedNode(id: node.id.text), instances: instances,
        contract: Self.contract(node, contracts[node.id.text]),
        models: Self.models(node, models[node.id.text]))
    }
    self.nodes = nodes
    var services: [String: [Int]] = [:]
    for (place, node) in nodes.enumerated() {
      for name in node.serviceNames { services[name, default: []].append(place) }
    }
    self.services = services
  }

  private static func contract(_ node: RoutedNode, _ last: (RoutedNode, NodeContract)?) -> NodeContract? {
    guard !node.outputs.isEmpty else { return nil }
    if let (old, contract) = last, old.name == node.name, old.release == node.release,
      old.inputs == node.inputs,
      old.outputs == node.outputs
    {
      return contract
    }
    return NodeContract(
      nodeID: node.id.text, nodeName: node.name, release: node.release, inputs: node.inputs,
      outputs: node.outputs)
  }

  private static func models(
    _ node: RoutedNode, _ last: (RoutedNode, ModelNodeContract)?
  ) -> ModelNodeContract? {
    guard let models = node.models else { return nil }
    if let (old, contract) = last, old.name == node.name, old.release == node.release, old.models == models {
      return contract
    }
    return ModelNodeContract(
      nodeID: node.id.text, nodeName: node.name, release: node.release, models: models)
  }
}
