import ControlPlane
import Domain
import Storage
import TestSupport
import Testing

extension Life {
  fileprivate func register(
    _ addresses: [String], check: RequestedHealthCheck? = .init(intervalSeconds: 0.1, failsThreshold: 2)
  ) async throws -> OperationRecord {
    let request = CreateNodeRequest(
      name: "node-a", kind: .address, addresses: addresses.map { NodeAddress(address: $0) },
      healthCheck: check)
    return try await nodes.create(
      request, project: bench.project, folder: bench.folder, acl: [bench.folder.id], by: "sva")
  }

  fileprivate func routedAddresses() async -> Set<String> {
    Set((await routed()?.instances ?? []).map(\.endpoint.address))
  }

  fileprivate func change(_ request: UpdateNodeRequest, _ fields: [String]) async throws -> OperationRecord {
    try await nodes.update(try await node(), request, fields: fields, acl: [], by: "sva")
  }
}

@Suite(.ownThread, .timeLimit(.minutes(5))) struct AddressNodeTests {
  @Test func `addresses enter rotation once a probe has passed, with the endpoint's settings`() async throws {
    let bench = try await Bench()
    bench.replies.set("a:80", passed: true, "answered 200")
    try await bench.live { life in
      #expect(try #require(try await life.ended(try await life.register(["a:80"]))).errorJSON == nil)
      #expect(await eventually { await life.routedAddresses() == ["a:80"] })
      let routed = try #require(await life.routed())
      #expect(routed.refusal == nil && routed.timeoutMilliseconds == 0)
      #expect(routed.proxying.firstByteTimeoutMilliseconds == 15000)
      #expect(routed.instances[0].limit == 1000 && routed.instances[0].endpoint.wireProtocol == .http1)
      let snapshot = try #require(await life.fleet.snapshot(of: try await life.node().id))
      #expect(snapshot.status.status == .healthy && snapshot.status.startMode == nil)
      #expect(snapshot.instances[0].lastProbe?.message == "answered 200")
    }
  }

  @Test func `an address that nobody answers at is UNHEALTHY, and the operation ends with what was seen`()
    async throws
  {
    try await Bench().live { life in
      let ended = try #require(try await life.ended(try await life.register(["a:80"])))
      #expect(ended.errorJSON?.contains("GET / at a:80: connection refused") == true)
      let snapshot = try #require(await life.fleet.snapshot(of: try await life.node().id))
      #expect(snapshot.status.status == .unhealthy)
      #expect(snapshot.instances[0].status == .unhealthy)
      #expect(snapshot.status.conditions.first { $0.type == "Ready" }?.reason == "NoneHealthy")
      #expect(await eventually { await life.routed()?.refusal?.contains("connection refused") == true })
    }
  }

  @Test func `an address is looked at again even when a probe of it never ends`() async throws {
    let bench = try await Bench()
    bench.replies.set("a:80", passed: true, "answered 200")
    bench.replies.hang("a:80")
    try await bench.live(probePatience: .milliseconds(100)) { life in
      let check = RequestedHealthCheck(timeoutSeconds: 0.1, intervalSeconds: 0.1)
      let ended = try #require(try await life.ended(try await life.register(["a:80"], check: check)))
      #expect(ended.errorJSON == nil)
      #expect(await eventually { await life.routedAddresses() == ["a:80"] })
    }
  }

  @Test func `verdicts take an address out of rotation and bring it back`() async throws {
    let bench = try await Bench()
    bench.replies.set("a:80", passed: true, "answered 200")
    bench.replies.set("b:80", passed: true, "answered 200")
    try await bench.live { life in
      _ = try await life.ended(try await life.register(["a:80", "b:80"]))
      #expect(await eventually { await life.routedAddresses() == ["a:80", "b:80"] })
      bench.replies.set("b:80", passed: false, "answered 500")
      #expect(await eventually { await life.routedAddresses() == ["a:80"] })
      let node = try await life.node().id
      let seen = try #require(await life.fleet.snapshot(of: node))
      #expect(seen.status.status == .healthy && seen.status.healthyInstances == 1)
      #expect(seen.status.conditions.first?.message.contains("GET / at b:80: answered 500") == true)
      bench.replies.set("b:80", passed: true, "answered 200")
      #expect(await eventually { await life.routedAddresses() == ["a:80", "b:80"] })
    }
  }

  @Test func `new addresses are in rotation before the former ones leave`() async throws {
    let bench = try await Bench()
    for address in ["a:80", "b:80", "c:80"] { bench.replies.set(address, passed: true, "answered 200") }
    try await bench.live { life in
      _ = try await life.ended(try await life.register(["a:80", "b:80"]))
      #expect(await eventually { await life.routedAddresses() == ["a:80", "b:80"] })
      let before = await life.rotation()
      let operation = try await life.change(
        UpdateNodeRequest(addresses: [.init(address: "b:80"), .init(address: "c:80")]), ["addresses"])
      #expect(try #require(try await life.ended(operation)).errorJSON == nil)
      #expect(await eventually { await life.routedAddresses() == ["b:80", "c:80"] })
      let after = await life.rotation()
      #expect(before.intersection(after).count == 1)
      let sizes = await life.sink.tables.drop { ($0.nodes.first?.instances.count ?? 0) < 2 }.map {
        $0.nodes.first?.instances.count ?? 0
      }
      #expect(sizes.allSatisfy { $0 >= 2 })
      #expect(try await life.node().release == 2)
    }
  }

  @Test func `addresses that nobody answers at don't take the former ones out of rotation`() async throws {
    let bench = try await Bench()
    bench.replies.set("a:80", passed: true, "answered 200")
    try await bench.live { life in
      _ = try await life.ended(try await life.register(["a:80"]))
      #expect(await eventually { await life.routedAddresses() == ["a:80"] })
      let operation = try await life.change(
        UpdateNodeRequest(addresses: [.init(address: "typo:80")]), ["addresses"])
      let ended = try #require(try await life.ended(operation))
      #expect(ended.errorJSON?.contains("the former addresses stay in rotation") == true)
      #expect(await life.routedAddresses() == ["a:80"])
    }
  }

  @Test func `suspend empties the rotation, resume fills it again, delete removes the node`() async throws {
    let bench = try await Bench()
    bench.replies.set("a:80", passed: true, "connected")
    try await bench.live { life in
      _ = try await life.ended(try await life.register(["a:80"], check: nil))
      #expect(await eventually { await life.routedAddresses() == ["a:80"] })
      _ = try await life.ended(try await life.nodes.suspend(try await life.node(), by: "sva"))
      #expect(await life.routedAddresses().isEmpty)
      #expect(await life.routed()?.refusal?.contains("suspended") == true)
      _ = try await life.ended(try await life.nodes.resume(try await life.node(), by: "sva"))
      #expect(await eventually { await life.routedAddresses() == ["a:80"] })
      _ = try await life.ended(try await life.nodes.delete(try await life.node(), by: "sva"))
      #expect(await eventually { await life.routed() == nil })
    }
  }

  @Test func `after a restart the first table holds what answers now, under the same ids`() async throws {
    let bench = try await Bench()
    bench.replies.set("a:80", passed: true, "answered 200")
    bench.replies.set("b:80", passed: true, "answered 200")
    var before: Set<InstanceID> = []
    try await bench.live { life in
      _ = try await life.ended(try await life.register(["a:80", "b:80"]))
      #expect(await eventually { await life.rotation().count == 2 })
      before = await life.rotation()
    }
    bench.replies.set("b:80", passed: false, "connection refused")
    try await bench.live { life in
      let first = try #require(await life.sink.tables.first?.nodes.first)
      #expect(first.instances.map(\.endpoint.address) == ["a:80"])
      #expect(before.contains(first.instances[0].id))
      bench.replies.set("b:80", passed: true, "answered 200")
      #expect(await eventually { await life.rotation() == before })
    }
  }

  @Test func `what the gateway can't reach is probed at once`() async throws {
    let bench = try await Bench()
    bench.replies.set("a:80", passed: true, "answered 200")
    try await bench.live { life in
      _ = try await life.ended(
        try await life.register(["a:80"], check: .init(intervalSeconds: 3600, failsThreshold: 1)))
      #expect(await eventually { await life.rotation().count == 1 })
      let instance = try #require(await life.rotation().first)
      bench.replies.set("a:80", passed: false, "connection refused")
      await life.fleet.observed(.unreachable(instance, reason: "refused"))
      #expect(await eventually { await life.rotation().isEmpty })
    }
  }

  @Test func `what belongs to the other kind is refused by name`() async throws {
    try await Bench().live { life in
      func field(_ request: CreateNodeRequest) async -> String? {
        let error = await #expect(throws: PlatformError.self) {
          try await life.nodes.validate(
            request, project: life.bench.project, folder: life.bench.folder, acl: [])
        }
        return error?.field
      }
      let addresses = [NodeAddress(address: "a:80")]
      #expect(
        await field(.init(name: "node-a", kind: .address, checkpoint: "pinned", addresses: addresses))
          == "checkpoint")
      #expect(
        await field(.init(name: "node-a", checkpoint: "pinned", addresses: addresses)) == "addresses")
      #expect(await field(.init(name: "node-a", kind: .address)) == "addresses")
      #expect(await field(.init(name: "node-a")) == "checkpoint")
      #expect(
        await field(
          .init(name: "node-a", kind: .address, instances: .init(count: 2), addresses: addresses))
          == "instances.count")
    }
  }
}
