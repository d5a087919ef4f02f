import ControlPlane
import Domain
import Storage
import TestSupport
import Testing

@Suite(.ownThread, .timeLimit(.minutes(5))) struct NodeLifeTests {
  private func error(_ phase: LastError.Phase, _ message: String) -> LastError {
    LastError(phase: phase, exitClass: .exception, message: message, at: Timestamp(seconds: 0))
  }

  @Test func `a created node becomes healthy, is routed by rising generations, and its operation ends`()
    async throws
  {
    try await Bench().live { life in
      let ended = try #require(try await life.ended(try await life.create()))
      #expect(ended.errorJSON == nil)
      let node = try await life.node()
      #expect(await life.fleet.snapshot(of: node.id)?.status.status == .healthy)
      #expect(await eventually { await life.rotation().count == 2 })
      let generations = await life.sink.tables.map(\.generation)
      #expect(generations == Set(generations).sorted())
    }
  }

  @Test func `a failing restore ends the operation with the user's words and the refusal names them`()
    async throws
  {
    let bench = try await Bench()
    await bench.driver.failRestores(with: error(.restore, "model.bin is not here"))
    try await bench.live { life in
      let ended = try #require(try await life.ended(try await life.create()))
      #expect(ended.errorJSON?.contains("model.bin is not here") == true)
      let node = try await life.node()
      #expect(await life.fleet.snapshot(of: node.id)?.status.status == .unhealthy)
      #expect(
        await eventually { await life.routed()?.refusal?.contains("model.bin is not here") == true })
    }
  }

  @Test func `an instance that exits is replaced and the status says why`() async throws {
    let bench = try await Bench()
    try await bench.live { life in
      try await life.up(2)
      let victim = try #require(await life.rotation().first)
      await bench.driver.exit(victim, error(.execute, "out of luck"))
      #expect(
        await eventually {
          let now = await life.rotation()
          return now.count == 2 && !now.contains(victim)
        })
      let status = await life.fleet.snapshot(of: try await life.node().id)?.status
      #expect(status?.restarts == 1)
      #expect(status?.lastError?.message == "out of luck")
    }
  }

  @Test func `a request that lost its process is told and costs no instance`() async throws {
    let bench = try await Bench()
    try await bench.live { life in
      try await life.up(2)
      let before = await life.rotation()
      let one = try #require(before.first)
      await bench.driver.requestEnds(one, error(.execute, "out of luck"))
      let node = try await life.node().id
      #expect(
        await eventually { await life.fleet.snapshot(of: node)?.status.lastError?.message == "out of luck" })
      let snapshot = try #require(await life.fleet.snapshot(of: node))
      #expect(snapshot.status.restarts == 0 && snapshot.status.status == .healthy)
      #expect(snapshot.instances.filter { $0.lastError?.message == "out of luck" }.map(\.id) == [one])
      #expect(await life.rotation() == before)
      #expect(bench.failures.value == 0)
    }
  }

  @Test func `the death of the host brings all instances back`() async throws {
    let bench = try await Bench()
    try await bench.live { life in
      try await life.up(3)
      let before = await life.rotation()
      await bench.driver.hostDies(try await life.node().id, error(.execute, "the zygote died"))
      #expect(
        await eventually {
          let now = await life.rotation()
          return now.count == 3 && now.isDisjoint(with: before)
        })
      #expect(await bench.driver.prepared == 2)
      #expect(bench.failures.value == 1)
    }
  }

  @Test func `a hung instance is killed and replaced, an unreachable healthy one stays`() async throws {
    let bench = try await Bench()
    try await bench.live { life in
      try await life.up(2)
      let before = await life.rotation()
      let victim = try #require(before.first)
      await life.fleet.observed(.unreachable(victim, reason: "refused"))
      #expect(await life.rotation() == before)
      await life.fleet.observed(.hung(victim, requestID: "r1"))
      #expect(await bench.driver.killed == [victim])
      #expect(
        await eventually {
          let now = await life.rotation()
          return now.count == 2 && !now.contains(victim)
        })
    }
  }

  @Test func `a reset replaces all instances and keeps as many in rotation`() async throws {
    let bench = try await Bench()
    try await bench.live { life in
      try await life.up(2)
      let before = await life.rotation()
      let tables = await life.sink.tables.count
      _ = try #require(try await life.ended(try await life.nodes.reset(try await life.node(), by: "sva")))
      #expect(await eventually { await life.rotation().isDisjoint(with: before) })
      let counts = await life.sink.tables.dropFirst(tables).map { $0.nodes.first?.instances.count ?? 0 }
      #expect((counts.min() ?? 0) >= 2)
    }
  }

  @Test func `a drain waits for the requests under way`() async throws {
    let bench = try await Bench()
    try await bench.live { life in
      try await life.up(1)
      let busy = try #require(await life.rotation().first)
      await life.sink.set(1, on: busy)
      let operation = try await life.nodes.suspend(try await life.node(), by: "sva")
      #expect(await eventually { await life.rotation().isEmpty })
      #expect(await bench.driver.running[busy] != nil)
      await life.sink.set(0, on: busy)
      #expect(try await life.ended(operation)?.errorJSON == nil)
      #expect(await bench.driver.stopped == [busy])
    }
  }

  @Test func `suspend, resume and delete reach their ends`() async throws {
    let bench = try await Bench()
    try await bench.live { life in
      try await life.up(2)
      _ = try #require(try await life.ended(try await life.nodes.suspend(try await life.node(), by: "sva")))
      #expect(await bench.driver.running.isEmpty)
      _ = try #require(try await life.ended(try await life.nodes.resume(try await life.node(), by: "sva")))
      #expect(await bench.driver.running.count == 2)
      _ = try #require(try await life.ended(try await life.nodes.delete(try await life.node(), by: "sva")))
      #expect(try await eventually { try await bench.store.allNodes().isEmpty })
      #expect(try await eventually { try await bench.store.instances().isEmpty })
    }
  }

  @Test func `a restarted service adopts living instances and replaces dead ones`() async throws {
    let bench = try await Bench()
    var before: Set<InstanceID> = []
    try await bench.live { life in
      try await life.up(2)
      before = await life.rotation()
    }
    let dead = try #require(before.first)
    await bench.driver.vanish(dead)
    let kept = before.subtracting([dead])
    try await bench.live { life in
      #expect(await life.sink.tables.first?.nodes.first?.instances.map(\.id) == Array(kept))
      #expect(await eventually { await life.rotation().count == 2 })
      #expect(await life.rotation().isSuperset(of: kept))
      #expect(await !life.rotation().contains(dead))
    }
  }

  @Test func `after a restart an instance that answers late delays no other node`() async throws {
    let bench = try await Bench()
    var late: NodeRecord?
    try await bench.live { life in
      try await life.up(1)
      late = try await life.node()
      _ = try #require(try await life.ended(try await life.create(1, name: "node-b")))
    }
    let node = try #require(late)
    await bench.driver.hold(node.id)
    try await bench.live(firstTableDelay: .milliseconds(1)) { life in
      let first = try #require(await life.sink.tables.first)
      #expect(first.nodes.map(\.name).sorted() == ["node-a", "node-b"], "no node may seem unknown")
      let routed = first.nodes.first { $0.name == "node-a" }
      #expect(routed?.instances == [] && routed?.refusal == nil, "requests wait, they are not refused")
      #expect(await eventually { await life.routed("node-b")?.instances.count == 1 })
      #expect(await !life.fleet.isReady)
      await bench.driver.release(node.id)
      #expect(await eventually { await life.routed("node-a")?.instances.count == 1 })
      #expect(await eventually { await life.fleet.isReady })
      #expect(await bench.driver.running.count == 2)
    }
  }

  @Test func `a change made to an old generation of a node is aborted`() async throws {
    try await Bench().live { life in
      try await life.up(1)
      let old = try await life.node()
      _ = try #require(try await life.ended(try await life.nodes.reset(old, by: "sva")))
      let refusal = await #expect(throws: PlatformError.self) { try await life.nodes.suspend(old, by: "sva") }
      #expect(refusal?.code == .aborted)
    }
  }

  /// What a service that was killed may have left of a delete, by how far it came.
  enum Remains: CaseIterable { case everything, noInstances, noHost, recordsOnly }

  @Test(arguments: Remains.allCases) func `a delete cut short is finished by the next service`(
    _ remains: Remains
  ) async throws {
    let bench = try await Bench()
    var operation: OperationRecord?
    try await bench.live { life in
      try await life.up(2)
      operation = OperationRecord(
        id: .random(), kind: "deleteNode", description: "Delete node node-a", createdAt: bench.clock.now(),
        createdBy: "sva", modifiedAt: bench.clock.now(), resourceID: try await life.node().id.text)
    }
    // The one transaction that a delete begins with; then the steps that were done.
    let begun = try #require(operation)
    var node = try await bench.store.node(named: "node-a")
    node.deletedAt = bench.clock.now()
    let deleting = node
    _ = try await bench.store.atomically { store throws(PlatformError) in
      try store.createOperation(begun)
      return try store.updateNode(deleting)
    }
    let instances = try await bench.store.instances(node: node.id)
    switch remains {
    case .everything: break
    case .noInstances: for one in instances { await bench.driver.vanish(one.id) }
    case .noHost: await bench.driver.retire(node.id, release: node.release)
    case .recordsOnly:
      await bench.driver.retire(node.id, release: node.release)
      for one in instances { try await bench.store.removeInstance(one.id, at: bench.clock.now()) }
    }
    try await bench.live { life in
      let first = await life.sink.tables.first?.nodes.first
      #expect(first?.refusal == "node 'node-a' is being deleted")
      let ended = try #require(try await life.ended(begun))
      #expect(ended.errorJSON == nil)
      #expect(try await eventually { try await bench.store.allNodes().isEmpty })
      #expect(try await bench.store.instances().isEmpty)
      #expect(await bench.driver.running.isEmpty)
      #expect(await bench.driver.retired.contains(node.id))
      #expect(try await bench.store.usage(node: node.id).allSatisfy { $0.endedAt != nil })
    }
  }

  @Test func `a checkpoint in use can't be deleted`() async throws {
    let bench = try await Bench()
    try await bench.live { life in
      try await life.up(1)
      let refusal = await #expect(throws: PlatformError.self) {
        try await bench.store.deleteCheckpoint(bench.checkpoint.id)
      }
      #expect(refusal?.code == .failedPrecondition)
    }
  }
}
