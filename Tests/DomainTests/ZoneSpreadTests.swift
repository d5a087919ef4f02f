import Domain
import Planning
import Testing

@Suite struct ZoneSpreadTests {
  typealias Instance = NodeObservation.Instance

  func seen(
    _ count: Int, zones: [ZoneView], _ instances: [(String, InstanceStatus)] = []
  ) -> NodeObservation {
    var random = SeededGenerator(seed: 3)
    return NodeObservation(
      now: .seconds(1000), desiredCount: count, stable: 1, hosts: [.init(host: .ready)],
      instances: instances.map {
        Instance(id: InstanceID(using: &random), epoch: 0, status: $0.1, zone: $0.0)
      }, zones: zones)
  }

  let both = [ZoneView("a"), ZoneView("b")]
  let onlyA = [ZoneView("a"), ZoneView("b", isUp: false)]

  @Test func `new instances are spread evenly, the first zones get the odd ones`() {
    #expect(
      NodePlanner.plan(seen(3, zones: both)) == [
        .launch(count: 2, release: 1, epoch: 0, zone: "a"),
        .launch(count: 1, release: 1, epoch: 0, zone: "b"),
      ])
    #expect(
      NodePlanner.plan(seen(4, zones: both, [("a", .healthy), ("a", .healthy), ("b", .healthy)])) == [
        .launch(count: 1, release: 1, epoch: 0, zone: "b")
      ])
  }

  @Test func `a zone that is down gets nothing while another is up`() {
    #expect(
      NodePlanner.plan(seen(2, zones: onlyA)) == [.launch(count: 2, release: 1, epoch: 0, zone: "a")])
    let none = [ZoneView("a", isUp: false), ZoneView("b", isUp: false)]
    #expect(
      NodePlanner.plan(seen(2, zones: none)) == [
        .launch(count: 1, release: 1, epoch: 0, zone: "a"),
        .launch(count: 1, release: 1, epoch: 0, zone: "b"),
      ])
  }

  @Test func `what answers in a zone that is down serves on, what does not is replaced elsewhere`() {
    let serving = [("a", InstanceStatus.healthy), ("b", .healthy)]
    #expect(NodePlanner.plan(seen(2, zones: onlyA, serving)) == [])
    for status in [InstanceStatus.unhealthy, .preparing] {
      #expect(
        NodePlanner.plan(seen(2, zones: onlyA, [("a", .healthy), ("b", status)])) == [
          .launch(count: 1, release: 1, epoch: 0, zone: "a")
        ])
    }
  }

  @Test func `with the zone up again, its instance takes back the place of the one that stood in`() {
    let back = seen(2, zones: both, [("a", .healthy), ("a", .healthy), ("b", .healthy)])
    #expect(NodePlanner.plan(back) == [.drainAndStop(back.instances[1].id)])
    let broken = seen(2, zones: both, [("a", .healthy), ("a", .healthy), ("b", .unhealthy)])
    #expect(NodePlanner.plan(broken) == [.drainAndStop(broken.instances[2].id)])
  }

  @Test func `an empty zone gets an instance before the full one gives one up`() {
    let uneven = seen(2, zones: both, [("a", .healthy), ("a", .healthy)])
    #expect(NodePlanner.plan(uneven) == [.launch(count: 1, release: 1, epoch: 0, zone: "b")])
    #expect(
      NodePlanner.plan(seen(2, zones: both, [("a", .healthy), ("a", .healthy), ("b", .preparing)])) == [])
    let odd = seen(3, zones: both, [("a", .healthy), ("a", .healthy), ("b", .healthy)])
    #expect(NodePlanner.plan(odd) == [])
  }

  @Test func `fewer instances leave evenly`() {
    let four = seen(
      2, zones: both, [("a", .healthy), ("a", .healthy), ("b", .healthy), ("b", .healthy)])
    guard case let steps = NodePlanner.plan(four), steps.count == 2 else {
      Issue.record("not two steps")
      return
    }
    let left = four.instances.filter { !steps.contains(.drainAndStop($0.id)) }
    #expect(left.map(\.zone) == ["a", "b"])
  }

  /// Whatever happens to zones and instances: it ends in an even spread over the zones that are up, and at no step are there fewer
  /// healthy instances than there could be.
  @Test(arguments: 0..<200) func `every disturbance settles evenly`(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let desired = Int.random(in: 1...9, using: &random)
    var zones = ["a", "b", "c"].map { ZoneView($0) }
    var instances: [Instance] = []
    func now() -> NodeObservation {
      NodeObservation(
        now: .seconds(1000), desiredCount: desired, stable: 1, hosts: [.init(host: .ready)],
        instances: instances, zones: zones)
    }
    func act(_ random: inout SeededGenerator) -> Bool {
      let steps = NodePlanner.plan(now())
      for step in steps {
        switch step {
        case .launch(let count, _, _, let zone):
          for _ in 0..<count {
            instances.append(
              Instance(id: InstanceID(using: &random), epoch: 0, status: .preparing, zone: zone))
          }
        case .drainAndStop(let id): instances.removeAll { $0.id == id }
        default: Issue.record("unexpected \(step)")
        }
      }
      var moved = !steps.isEmpty
      for index in instances.indices
      where zones.contains(where: { $0.name == instances[index].zone && $0.isUp }) {
        moved = moved || instances[index].status != .healthy
        instances[index].status = .healthy
      }
      return moved
    }
    for _ in 0..<6 {
      let place = Int.random(in: 0..<3, using: &random)
      zones[place].isUp.toggle()
      if !zones[place].isUp, Bool.random(using: &random) {
        for index in instances.indices where instances[index].zone == zones[place].name {
          instances[index].status = .unhealthy
        }
      }
      for _ in 0..<Int.random(in: 0...4, using: &random) { _ = act(&random) }
    }
    for place in zones.indices { zones[place].isUp = true }
    var rounds = 0
    while act(&random), rounds < 100 { rounds += 1 }
    #expect(rounds < 100, "it never rests")
    let counts = zones.map { zone in instances.count { $0.zone == zone.name } }
    #expect(instances.count == desired && (counts.max() ?? 0) - (counts.min() ?? 0) <= 1, "\(counts)")
  }

  @Test func `ranges of subnets are read strictly and compared`() throws {
    for text in ["10.0.0.0", "10.0.0.1/24", "10.0.0/24", "010.0.0.0/8", "10.0.0.0/33", "10.0.0.0/08", "a/1"] {
      #expect(SubnetRange(text) == nil, "\(text)")
    }
    let range = try #require(SubnetRange("10.77.0.0/24"))
    #expect(range.description == "10.77.0.0/24")
    #expect(try range.overlaps(#require(SubnetRange("10.77.0.128/25"))))
    #expect(try range.overlaps(#require(SubnetRange("10.0.0.0/8"))))
    #expect(try !range.overlaps(#require(SubnetRange("10.77.1.0/24"))))
  }

  @Test func `a subnet must be private, of a fit size, and beside the others`() throws {
    let taken = [(name: "subnet 'x'", range: try #require(SubnetRange("10.77.0.0/24")))]
    for (cidr, words) in [
      ("8.8.8.0/24", "is not private"), ("10.0.0.0/8", "between /16 and /28"), ("10.77.0.0/30", "/30"),
      ("10.77.0.0/25", "overlaps subnet 'x' (10.77.0.0/24)"), ("ten", "is not a range like"),
    ] {
      #expect { _ = try SubnetValidation.range(cidr, taken: taken) } throws: {
        ($0 as? PlatformError)?.message.contains(words) ?? false
      }
    }
    #expect(try SubnetValidation.range("10.78.0.0/16", taken: taken).bits == 16)
  }
}
