import Domain
import Planning
import Testing

@Suite struct NodePlannerTests {
  let now = Duration.seconds(1000)

  func seen(
    host: NodeObservation.Host = .ready, count: Int = 2, epoch: Int = 0, deleting: Bool = false,
    suspended: Bool = false,
    notBefore: Duration = .zero, _ instances: [(InstanceStatus, Int)] = []
  ) -> NodeObservation {
    var random = SeededGenerator(seed: 7)
    return NodeObservation(
      now: now, isDeleting: deleting, isSuspended: suspended, epoch: epoch, desiredCount: count,
      hosts: [.init(host: host, notBefore: notBefore)],
      instances: instances.map { .init(id: InstanceID(using: &random), epoch: $0.1, status: $0.0) })
  }

  @Test func `a new node first gets its host`() {
    #expect(NodePlanner.plan(seen(host: .down)) == [.prepareHost(release: 1)])
    #expect(NodePlanner.plan(seen(host: .preparing)) == [])
  }

  @Test func `a ready host launches what is missing, all at once`() {
    #expect(NodePlanner.plan(seen()) == [.launch(count: 2, release: 1, epoch: 0)])
    #expect(NodePlanner.plan(seen([(.healthy, 0)])) == [.launch(count: 1, release: 1, epoch: 0)])
    #expect(NodePlanner.plan(seen([(.healthy, 0), (.preparing, 0)])) == [])
  }

  @Test func `nothing is launched before the back-off has passed`() {
    let later = now + .seconds(5)
    #expect(NodePlanner.plan(seen(host: .down, notBefore: later)) == [])
    #expect(NodePlanner.plan(seen(notBefore: later)) == [])
  }

  @Test func `after a reset old instances stay until the new ones are healthy`() {
    let begun = seen(epoch: 1, [(.healthy, 0), (.healthy, 0)])
    #expect(NodePlanner.plan(begun) == [.launch(count: 2, release: 1, epoch: 1)])
    let half = seen(epoch: 1, [(.healthy, 0), (.healthy, 0), (.healthy, 1), (.preparing, 1)])
    #expect(NodePlanner.plan(half) == [])
    let whole = seen(epoch: 1, [(.healthy, 0), (.healthy, 0), (.healthy, 1), (.healthy, 1)])
    let old = whole.instances.filter { $0.epoch == 0 }.map { NodeStep.drainAndStop($0.id) }
    #expect(NodePlanner.plan(whole) == old)
  }

  @Test func `a smaller count drains the surplus, unhealthy ones first`() {
    let plan = seen(count: 1, [(.unhealthy, 0), (.healthy, 0)])
    #expect(NodePlanner.plan(plan) == [.drainAndStop(plan.instances[0].id)])
  }

  @Test func `deleting drains, retires the host and then forgets`() {
    let running = seen(deleting: true, [(.healthy, 0)])
    #expect(NodePlanner.plan(running) == [.drainAndStop(running.instances[0].id)])
    #expect(NodePlanner.plan(seen(deleting: true, [(.deleting, 0)])) == [])
    #expect(NodePlanner.plan(seen(deleting: true)) == [.retireHost(release: 1)])
    #expect(NodePlanner.plan(seen(host: .down, deleting: true)) == [.forget])
  }

  @Test func `a suspended node keeps its records and runs nothing`() {
    #expect(NodePlanner.plan(seen(suspended: true)) == [.retireHost(release: 1)])
    #expect(NodePlanner.plan(seen(host: .down, suspended: true)) == [])
  }

  @Test func `a status never says more than was seen`() {
    #expect(NodePlanner.status(seen(), minimum: 1, everHealthy: false) == .created)
    #expect(NodePlanner.status(seen(), minimum: 1, everHealthy: true) == .unhealthy)
    #expect(NodePlanner.status(seen([(.healthy, 0)]), minimum: 2, everHealthy: true) == .unhealthy)
    #expect(NodePlanner.status(seen([(.healthy, 0)]), minimum: 1, everHealthy: true) == .healthy)
    #expect(NodePlanner.status(seen(suspended: true), minimum: 1, everHealthy: true) == .suspended)
    #expect(NodePlanner.status(seen(deleting: true), minimum: 1, everHealthy: true) == .deleting)
  }

  /// Whatever the world does, a node that is left alone reaches its wish and then has nothing to do.
  @Test(arguments: 0..<50) func `every plan converges`(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    var view = seen(
      host: .down, count: Int.random(in: 1...4, using: &random), epoch: Int.random(in: 0...2, using: &random))
    view.instances = (0..<Int.random(in: 0...4, using: &random)).map { _ in
      .init(
        id: InstanceID(using: &random), epoch: Int.random(in: 0...2, using: &random),
        status: [InstanceStatus.healthy, .unhealthy, .preparing].randomElement(using: &random) ?? .healthy)
    }
    for _ in 0..<30 {
      for step in NodePlanner.plan(view) {
        switch step {
        case .prepareHost: view.hosts = [.init(host: .ready)]
        case .launch(let count, _, let epoch, _):
          #expect(epoch == view.epoch)
          for _ in 0..<count {
            view.instances.append(.init(id: InstanceID(using: &random), epoch: epoch, status: .healthy))
          }
        case .drainAndStop(let id):
          let left = view.instances.filter { $0.status == .healthy && $0.id != id }.count
          #expect(left >= view.desiredCount || view.instances.first { $0.id == id }?.status != .healthy)
          view.instances.removeAll { $0.id == id }
        case .fill: Issue.record("this node has no places")
        case .retireHost, .forget: Issue.record("nobody asked to end the node")
        }
      }
      for index in view.instances.indices { view.instances[index].status = .healthy }
    }
    #expect(NodePlanner.plan(view) == [])
    #expect(view.instances.filter { $0.epoch == view.epoch }.count == view.desiredCount)
    #expect(view.instances.count == view.desiredCount)
  }
}

@Suite struct BackoffTests {
  @Test func `the first replacement is immediate, later ones wait longer up to a limit`() {
    var backoff = Backoff(base: .seconds(1), limit: .seconds(8))
    let delays = (0..<7).map { _ in backoff.failed(at: .seconds(50)) - .seconds(50) }
    #expect(delays == [0, 1, 2, 4, 8, 8, 8].map { .seconds($0) })
  }

  @Test func `a quiet time forgets the failures`() {
    var backoff = Backoff(base: .seconds(1), limit: .seconds(8), quiet: .seconds(60))
    for _ in 0..<5 { _ = backoff.failed(at: .zero) }
    #expect(backoff.failed(at: .seconds(61)) == .seconds(61))
  }
}

/// A small generator whose sequence depends on its seed alone (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }
}
