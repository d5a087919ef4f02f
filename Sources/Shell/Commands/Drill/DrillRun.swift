internal import ControlClient
internal import Domain

/// The steps of a drill, one after the other, while its clients are at work.
struct DrillRun {
  /// What a step did, or why it did nothing.
  enum Outcome {
    case done(String)
    case restarted(DrillReport.Restart, String)
    case skipped(String)
  }

  let client: ControlClient
  let context: Context
  let alias: AliasResource
  /// How long each step is watched.
  let length: Duration
  let restart: DrillRestart

  private(set) var steps: [DrillReport.Step] = []
  /// Monotonic nanoseconds.
  private(set) var began: [Int64] = []
  private var answers: [DrillAnswer] = []

  init(
    _ client: ControlClient, _ context: Context, _ alias: AliasResource, length: Duration,
    restart: DrillRestart
  ) {
    self.client = client
    self.context = context
    self.alias = alias
    self.length = length
    self.restart = restart
  }

  /// All steps, again and again until `duration` is over; once without one.
  mutating func run(_ load: DrillLoad, for duration: Duration?) async throws -> DrillReport {
    let start = context.surroundings.uptime()
    do {
      repeat {
        try await step("calm", load) { _ in .done("nothing is done to it") }
        try await step("kill", load) { try await $0.disturb(.kill) }
        try await step("freeze", load) { try await $0.disturb(.freeze) }
        try await step("slow", load) { try await $0.disturb(.slow) }
        try await step("weights", load) { try await $0.moveWeights() }
        try await step("hold", load) { try await $0.hold() }
        try await step("restart", load) { try await $0.restartServer() }
      } while duration.map { context.surroundings.uptime() - start < $0 } ?? false
    } catch {
      load.stop()
      throw error
    }
    let ended = DrillLoad.now()
    load.stop()
    answers += load.take()
    return DrillReport(alias: alias.name, steps: steps, began: began, ended: ended, answers: answers)
  }

  private mutating func step(
    _ name: String, _ load: DrillLoad, _ body: (DrillRun) async throws -> Outcome
  ) async throws {
    let start = DrillLoad.now()
    began.append(start)
    context.note("\(name)...")
    var state = DrillReport.State.done
    var note = ""
    var restart: DrillReport.Restart?
    do {
      switch try await body(self) {
      case .done(let what): note = what
      case .restarted(let seen, let what): (restart, note) = (seen, what)
      case .skipped(let why): (state, note) = (.skipped, why)
      }
      if state == .done {
        let rest = length - .nanoseconds(DrillLoad.now() - start)
        if rest > .zero { try await context.surroundings.pause(rest) }
        try await waitForHealth()
      }
    } catch let error as ClientError {
      (state, note) = (.failed, error.message)
    } catch let error as CommandFailure {
      (state, note) = (.failed, error.message)
    }
    answers += load.take()
    steps.append(
      DrillReport.Step(
        name: name, state: state, note: note, seconds: Double(DrillLoad.now() - start) / 1e9,
        restart: restart))
  }

  /// Until the alias is healthy again, with as many instances as it should have.
  private func waitForHealth() async throws {
    let start = context.surroundings.uptime()
    while true {
      let seen = try client.alias(alias.name)
      var missing: [String] = seen.status == .healthy ? [] : ["alias \(seen.name) is \(seen.status.rawValue)"]
      for share in seen.shares where share.weight > 0 {
        let status = try client.node(share.nodeId.text).status
        guard status.healthyInstances < status.desiredInstances else { continue }
        missing.append(
          "node \(share.nodeName) has \(status.healthyInstances) of \(status.desiredInstances) instances")
      }
      if missing.isEmpty { return }
      guard context.surroundings.uptime() - start < .seconds(60) else {
        throw CommandFailure(.failed, "not healthy again after 60 s: \(missing.joined(separator: "; "))")
      }
      try await context.surroundings.pause(.milliseconds(100))
    }
  }

  // MARK: Steps

  private func disturb(_ what: Disturbance) async throws -> Outcome {
    let seen = try client.alias(alias.name)
    guard let share = seen.shares.filter(\.serving).max(by: { $0.weight < $1.weight }) else {
      return .skipped("no node of the alias serves")
    }
    let node = try client.node(share.nodeId.text)
    guard node.kind != .address else {
      return .skipped("node \(node.name) is made of servers that Roost did not start")
    }
    let healthy = try client.instances(of: node.id.text).items.filter { $0.status == .healthy }
    guard let instance = healthy.randomElement() else {
      return .skipped("node \(node.name) has no healthy instance")
    }
    guard node.kind == .cell || healthy.count > 1 else {
      return .skipped("node \(node.name) has only one container: give it two, or callers wait for a new one")
    }
    let seconds = min(max(Int(length.components.seconds), 1), 30, max(Int(node.spec.timeoutSeconds) / 3, 1))
    try client.disturb(instance.id.text, DisturbRequest(disturbance: what, seconds: seconds))
    let place = "instance \(instance.id) of node \(node.name), one of \(healthy.count)"
    switch what {
    case .kill: return .done("killed \(place)")
    case .freeze: return .done("froze \(place), for \(seconds) s")
    case .slow: return .done("slowed \(place), for \(seconds) s")
    }
  }

  /// Moves the weights between the nodes that serve, and back.
  private func moveWeights() async throws -> Outcome {
    var seen = try client.alias(alias.name)
    let shares = seen.shares
    let serving = shares.indices.filter { shares[$0].serving }
    guard serving.count > 1 else {
      return .skipped("the alias has one node; give it a second share, of 0 too")
    }
    let usual = shares.map(\.weight)
    let total = serving.reduce(0) { $0 + usual[$1] }
    guard total == 100 else { return .skipped("a node with a share does not serve") }
    var moves: [[Int]] = []
    for turn in 1..<serving.count {
      var next = usual
      for (place, share) in serving.enumerated() {
        next[share] = usual[serving[(place + turn) % serving.count]]
      }
      moves.append(next)
    }
    for share in [serving[0], serving[serving.count - 1]] {
      moves.append(usual.indices.map { $0 == share ? 100 : 0 })
    }
    var even = usual.map { _ in 0 }
    for (place, share) in serving.enumerated() {
      even[share] = 100 / serving.count + (place < 100 % serving.count ? 1 : 0)
    }
    moves += [even, usual]
    for weights in moves {
      let wanted = zip(shares, weights).map { RequestedShare(node: $0.nodeId.text, weight: $1) }
      seen = try client.updateAlias(
        alias.name, UpdateAliasRequest(generation: seen.generation, shares: wanted), fields: ["shares"])
      try await context.surroundings.pause(max(length / (2 * moves.count), .milliseconds(20)))
    }
    return .done("\(moves.count) times, the last back to \(AliasList.shares(seen))")
  }

  private func hold() async throws -> Outcome {
    let seconds = min(max(Int(length.components.seconds), 1), 10)
    let request = HoldAliasRequest(durationSeconds: seconds, reason: "a drill")
    _ = try client.holdAlias(alias.name, request)
    try await context.surroundings.pause(.milliseconds(500))
    let waited = try client.alias(alias.name).hold?.waiting ?? 0
    _ = try client.releaseAlias(alias.name)
    return .done("\(waited) requests waited half a second")
  }
}
