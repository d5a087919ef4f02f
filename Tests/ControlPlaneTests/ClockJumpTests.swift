import ControlPlane
import Domain
import FoundationEssentials
import Glibc
import Storage
import TestSupport
import Testing

private let jumps: [Duration] = [
  .seconds(86400), .seconds(-86400), .seconds(3650 * 86400), .seconds(-3650 * 86400),
]

private func death(_ message: String) -> LastError {
  LastError(phase: .execute, exitClass: .signal, message: message, at: Timestamp(seconds: 0))
}

/// The wall clock is set while a node lives. What waits, waits as long as it would have.
@Suite(.ownThread, .timeLimit(.minutes(5))) struct ClockJumpTests {
  @Test(arguments: jumps) func `back-off goes on as if nothing had happened`(_ jump: Duration) async throws {
    let bench = try await Bench()
    try await bench.live { life in
      try await life.up(1)
      // The first replacement is immediate, the next ones wait 0.2 s, 0.4 s, 0.8 s.
      for round in 0..<4 {
        let victim = try #require(await life.rotation().first)
        let before = ContinuousClock.now
        await bench.driver.exit(victim, death("round \(round)"))
        bench.clock.turn(round % 2 == 0 ? jump : .zero - jump)
        #expect(await eventually { await life.rotation().first.map { $0 != victim } ?? false })
        #expect(
          ContinuousClock.now - before
            > [.zero, .milliseconds(190), .milliseconds(390), .milliseconds(790)][round])
      }
    }
  }

  @Test(arguments: jumps) func `an operation that can't succeed ends though the clock was set after it began`(
    _ jump: Duration
  ) async throws {
    let bench = try await Bench()
    try await bench.live { life in
      await bench.driver.failRestores(
        with: LastError(
          phase: .restore, exitClass: .exception, message: "boom", at: bench.clock.now() + jump))
      let begun = try await life.create(1)
      bench.clock.turn(jump)
      let ended = try #require(try await life.ended(begun))
      #expect(ended.errorJSON?.contains("boom") == true)
      #expect(ended.modifiedAt >= ended.createdAt)
    }
  }

  @Test(arguments: jumps) func `a drain waits for requests under way`(_ jump: Duration) async throws {
    let bench = try await Bench()
    try await bench.live { life in
      try await life.up(1)
      let old = try #require(await life.rotation().first)
      await life.sink.set(1, on: old)
      let reset = try await life.nodes.reset(try await life.node(), by: "sva")
      #expect(await eventually { await life.rotation().first.map { $0 != old } ?? false })
      bench.clock.turn(jump)
      // A deadline by the wall clock would be over at once after a jump forward.
      let asked = await life.sink.asked
      #expect(await eventually { await life.sink.asked > asked + 20 })
      #expect(await !bench.driver.stopped.contains(old))
      await life.sink.set(0, on: old)
      _ = try #require(try await life.ended(reset))
      #expect(await bench.driver.stopped.contains(old))
    }
  }

  @Test func `ids stay unique and listings keep the order in which things were made`() async throws {
    let bench = try await Bench()
    try await bench.live { life in
      var operations: [OperationID] = []
      for (index, jump) in jumps.enumerated() {
        bench.clock.turn(jump)
        let begun = try await life.create(2, name: "node-\(index)")
        operations.append(begun.id)
        _ = try #require(try await life.ended(begun))
      }
      let listed = try await bench.store.operations(resource: nil, after: nil, limit: 100).items.map(\.id)
      #expect(listed == operations.reversed())
      let instances = try await bench.store.instances()
      #expect(instances.count == 8 && Set(instances.map(\.id)).count == 8)
      // Instances of a node that is scaled up under a clock that was set back come last.
      let node = try await bench.store.node(named: "node-0")
      let first = try #require(await life.fleet.snapshot(of: node.id)).instances.map(\.id)
      bench.clock.turn(.seconds(-3650 * 86400))
      _ = try await life.ended(
        try await life.nodes.update(
          node, UpdateNodeRequest(instances: .init(count: 4)), fields: ["instances"], acl: [], by: "sva"))
      let all = try #require(await life.fleet.snapshot(of: node.id)).instances.map(\.id)
      #expect(all.count == 4 && Array(all.prefix(2)) == first)
    }
  }

  @Test(arguments: jumps) func `garbage is not older for a clock that was set`(_ jump: Duration) async throws
  {
    let bench = try await Bench()
    let blob = try await bench.blobs.add(Array("uploaded, not registered yet".utf8))
    let service = CheckpointService(store: bench.store, blobs: bench.blobs, time: bench.time)
    bench.clock.turn(jump)
    _ = try await service.collectGarbage()
    #expect(try bench.blobs.missing([blob.digest]).isEmpty)
    // What is really old goes: as if it had been written two hours ago.
    bench.clock.turn(.zero - jump)
    let path = try bench.blobs.path(of: blob.digest)
    let written = timespec(tv_sec: time(nil) - 7200, tv_nsec: 0)
    var times = [written, written]
    #expect(utimensat(AT_FDCWD, path, &times, 0) == 0)
    _ = try await service.collectGarbage()
    #expect(try bench.blobs.missing([blob.digest]) == [blob.digest])
  }

  @Test func `a token that was revoked is named in every table, whatever the clock is set to`() async throws {
    let bench = try await Bench()
    try await bench.live { life in
      let now = bench.clock.now()
      try await bench.store.addToken(
        TokenRecord(
          id: "tok1", subject: "sva", createdAt: now, expiresAt: now + .seconds(3600), revokedAt: nil,
          description: ""))
      try await bench.store.revokeToken("tok1", at: now)
      for jump in jumps {
        bench.clock.turn(jump)
        await life.fleet.accessChanged()
        #expect(await life.sink.tables.last?.revokedTokens == ["tok1"], "\(jump)")
        #expect(
          try await bench.store.forgetTokens(expiredBefore: bench.time.cautious() + .seconds(-86400)) == 0)
        bench.clock.turn(.zero - jump)
      }
    }
  }
}

@Suite(.ownThread, .timeLimit(.minutes(5))) struct SlowStartTests {
  @Test func `a start that hangs leaves other nodes alone and is told in the node's conditions`() async throws
  {
    let bench = try await Bench()
    try await bench.live { life in
      try await life.up(1)
      let stuck = try await life.node()
      await bench.driver.hold(stuck.id)
      await bench.driver.exit(try #require(await life.rotation().first), death("killed"))
      _ = try #require(try await life.ended(try await life.create(1, name: "node-b")))
      #expect(await eventually { await life.routed("node-b")?.instances.count == 1 })
      func condition() async -> Condition? {
        await life.fleet.snapshot(of: stuck.id)?.status.conditions.first { $0.type == "Starting" }
      }
      #expect(await eventually { await condition() != nil })
      let told = try #require(await condition())
      #expect(told.reason == "Slow" && told.message.contains("has not said that it is ready"), "\(told)")
      #expect(told.message.contains("roost node logs node-a"))
      await bench.driver.release(stuck.id)
      #expect(await eventually { await life.routed("node-a")?.instances.count == 1 })
      #expect(await eventually { await condition() == nil })
    }
  }
}
