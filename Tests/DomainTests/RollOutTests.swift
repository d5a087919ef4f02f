import Domain
import Planning
import Testing

@Suite struct RollOutTests {
  /// A roll-out from release 1 to release 2, with instances of both.
  private func seen(
    _ policy: RollOutPolicy = .surge(1), count: Int = 3, isHalted: Bool = false, hosts: [Int] = [1, 2],
    of instances: [(Int, InstanceStatus)]
  ) -> NodeObservation {
    var random = SeededGenerator(seed: 11)
    return NodeObservation(
      now: .seconds(9), desiredCount: count, release: 2, stable: 1, isHalted: isHalted, policy: policy,
      hosts: hosts.map { .init(release: $0, host: .ready) },
      instances: instances.map {
        .init(id: InstanceID(using: &random), release: $0.0, epoch: 0, status: $0.1)
      })
  }

  private func drained(_ view: NodeObservation) -> [Int] {
    NodePlanner.plan(view).compactMap { step in
      guard case .drainAndStop(let id) = step else { return nil }
      return view.instances.firstIndex { $0.id == id }
    }
  }

  private let three: [(Int, InstanceStatus)] = [(1, .healthy), (1, .healthy), (1, .healthy)]

  @Test func `the host of the new release comes up first, that of the former stays`() {
    #expect(NodePlanner.plan(seen(hosts: [1], of: three)) == [.prepareHost(release: 2)])
  }

  @Test func `a surge adds no more than it may and drains when a new one is healthy`() {
    #expect(NodePlanner.plan(seen(of: three)) == [.launch(count: 1, release: 2, epoch: 0)])
    #expect(NodePlanner.plan(seen(.surge(2), of: three)) == [.launch(count: 2, release: 2, epoch: 0)])
    #expect(NodePlanner.plan(seen(of: three + [(2, .preparing)])) == [])
    #expect(drained(seen(of: three + [(2, .healthy)])) == [0])
  }

  @Test func `a recreation drains no more than its step, and only for a host that is there`() {
    #expect(drained(seen(.recreate(2), of: three)) == [0, 1])
    #expect(drained(seen(.recreate(1), of: three)) == [0])
    #expect(drained(seen(.recreate(1), hosts: [1], of: three)) == [])
    let leaving = seen(.recreate(1), of: [(1, .deleting), (1, .healthy), (1, .healthy)])
    #expect(NodePlanner.plan(leaving) == [], "it holds its memory until it is gone")
    let gone = seen(.recreate(1), of: [(1, .healthy), (1, .healthy)])
    #expect(NodePlanner.plan(gone) == [.launch(count: 1, release: 2, epoch: 0)])
  }

  @Test func `a release that callers can tell apart switches at once`() {
    #expect(NodePlanner.plan(seen(.atOnce, of: three)) == [.launch(count: 3, release: 2, epoch: 0)])
    #expect(drained(seen(.atOnce, of: three + [(2, .healthy), (2, .healthy), (2, .preparing)])) == [])
    #expect(drained(seen(.atOnce, of: three + [(2, .healthy), (2, .healthy), (2, .healthy)])) == [0, 1, 2])
  }

  @Test func `what the former release loses is made up for while the new one is unproven`() {
    let view = seen(of: [(1, .healthy), (1, .healthy), (2, .preparing)])
    #expect(NodePlanner.plan(view) == [.launch(count: 1, release: 1, epoch: 0)])
  }

  @Test func `a failed release leaves and the former one is whole again`() {
    let view = seen(isHalted: true, of: [(1, .healthy), (1, .healthy), (2, .preparing)])
    let plan = NodePlanner.plan(view)
    #expect(plan.contains(.launch(count: 1, release: 1, epoch: 0)))
    #expect(plan.contains(.drainAndStop(view.instances[2].id)))
    #expect(NodePlanner.plan(seen(isHalted: true, of: three)) == [.retireHost(release: 2)])
  }

  @Test func `the watch gives up after so many failures, at a hopeless one, or without progress`() {
    var watch = RollOutWatch(at: .seconds(100))
    func verdict(_ now: Int) -> RollOutWatch.Verdict? {
      watch.verdict(at: .seconds(now), failureLimit: 3, deadline: .seconds(60))
    }
    watch.failed(isHopeless: false)
    watch.failed(isHopeless: false)
    #expect(verdict(110) == nil)
    #expect(verdict(160) == .noProgress(.seconds(60)))
    watch.progressed(at: .seconds(150))
    #expect(verdict(160) == nil)
    watch.failed(isHopeless: false)
    #expect(verdict(160) == .failures(3))
    watch = RollOutWatch(at: .seconds(100))
    watch.failed(isHopeless: true)
    #expect(verdict(101) == .failures(1))
  }

  /// A node whose instances start, crash and end by chance while releases come and go.
  private struct World {
    var random: SeededGenerator
    var view: NodeObservation
    /// Releases whose instances never become healthy.
    var broken: Set<Int> = []
    var failures = 0
    /// Healthy instances that crashed of themselves since the last look.
    var crashed = 0

    init(seed: UInt64) {
      random = SeededGenerator(seed: seed)
      let count = Int.random(in: 1...6, using: &random)
      let policies: [RollOutPolicy] = [.surge(1), .surge(3), .recreate(1), .recreate(2), .atOnce]
      view = NodeObservation(
        now: .zero, desiredCount: count, release: 1, stable: 1,
        policy: policies[Int(seed % UInt64(policies.count))], hosts: [.init(release: 1, host: .ready)])
      view.instances = (0..<count).map { _ in
        .init(id: InstanceID(using: &random), release: 1, epoch: 0, status: .healthy)
      }
    }

    var healthy: Int { view.instances.count { $0.status == .healthy } }
    var alive: Int { view.instances.count { $0.status != .deleting } }

    mutating func setHost(_ release: Int, _ host: NodeObservation.Host?) {
      view.hosts.removeAll { $0.release == release }
      if let host { view.hosts.append(.init(release: release, host: host)) }
    }

    mutating func update() {
      view.release += 1
      view.isHalted = false
      failures = 0
      if Int.random(in: 0..<3, using: &random) == 0 { broken.insert(view.release) }
    }

    mutating func act(_ step: NodeStep) {
      switch step {
      case .prepareHost(let release): setHost(release, .ready)
      case .launch(let count, let release, let epoch, _):
        #expect(view.host(of: release).host == .ready)
        for _ in 0..<count {
          view.instances.append(
            .init(id: InstanceID(using: &random), release: release, epoch: epoch, status: .preparing))
        }
      case .drainAndStop(let id):
        guard let index = view.instances.firstIndex(where: { $0.id == id }) else { return }
        view.instances[index].status = .deleting
      case .retireHost(let release):
        #expect(!view.instances.contains { $0.release == release })
        setHost(release, nil)
      case .fill, .forget: Issue.record("nobody asked for this")
      }
    }

    /// What happens by itself. With `chance` 0 nothing crashes.
    mutating func pass(chance: Int) {
      crashed = 0
      for index in view.instances.indices.reversed() {
        let one = view.instances[index]
        switch one.status {
        case .deleting where Bool.random(using: &random) || chance == 0: view.instances.remove(at: index)
        case .preparing where broken.contains(one.release):
          view.instances.remove(at: index)
          if one.release == view.release { failures += 1 }
        case .preparing where Bool.random(using: &random) || chance == 0:
          view.instances[index].status = .healthy
        case .healthy where chance > 0 && Int.random(in: 0..<chance, using: &random) == 0:
          view.instances.remove(at: index)
          crashed += 1
        default: break
        }
      }
      let isUp =
        view.instances.count { $0.release == view.release && $0.status == .healthy } >= view.desiredCount
      if isUp { view.stable = view.release }
      if view.stable != view.release, failures >= 3 { view.isHalted = true }
    }
  }

  /// Roll-outs never take more instances away than they may, whatever crashes, and end.
  @Test(arguments: 0..<300) func `every roll-out keeps its bounds and ends`(seed: UInt64) {
    var world = World(seed: seed)
    let desired = world.view.desiredCount
    let (fewest, most) =
      switch world.view.policy {
      case .surge(let extra): (desired, desired + extra)
      case .recreate(let step): (desired - step, desired)
      case .atOnce: (desired, 2 * desired)
      }
    for round in 0..<120 {
      if round % 20 == 5 || (round < 80 && Int.random(in: 0..<25, using: &world.random) == 0) {
        world.update()
      }
      let before = world.healthy
      for step in NodePlanner.plan(world.view) { world.act(step) }
      #expect(
        world.healthy >= min(before, fewest),
        "round \(round): \(before) healthy, then \(world.healthy); \(world.view)")
      #expect(world.alive <= most, "round \(round): \(world.view)")
      world.pass(chance: 12)
    }
    for _ in 0..<60 {
      for step in NodePlanner.plan(world.view) { world.act(step) }
      world.pass(chance: 0)
    }
    let target = world.view.isHalted ? world.view.stable : world.view.release
    #expect(world.view.instances.allSatisfy { $0.release == target && $0.status == .healthy })
    #expect(world.view.instances.count == desired)
    #expect(NodePlanner.plan(world.view) == [], "\(world.view)")
    #expect(world.view.stable.map(world.broken.contains) != true, "no broken release may ever serve")
  }
}
