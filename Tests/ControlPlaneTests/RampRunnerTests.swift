import Domain
import Planning
import Storage
import Synchronization
import TestSupport
import Testing

@testable import ControlPlane

/// Ramps of a real store and fleet on a clock that the test moves; what nodes answered is told by the test.
@Suite(.ownThread, .timeLimit(.minutes(5))) struct RampRunnerTests {
  /// An uptime that stands still until it is moved.
  final class Uptime: Sendable {
    private let now = Mutex(Duration.seconds(1000))
    func move(_ by: Duration) { now.withLock { $0 += by } }
    var value: Duration { now.withLock { $0 } }
  }

  /// An alias over two nodes, and who ramps it.
  struct Scene {
    let life: Life
    let uptime: Uptime
    let world: NodeWorld
    let aliases: AliasService
    let old: NodeID
    let new: NodeID
    var runner: RampRunner

    init(_ life: Life) async throws {
      self.life = life
      let uptime = Uptime()
      self.uptime = uptime
      var world = life.world
      world.time = TimeSource(wall: life.bench.time.wall, uptime: { uptime.value })
      self.world = world
      aliases = AliasService(world: world, fleet: life.fleet)
      for name in ["old", "new"] {
        _ = try #require(try await life.ended(try await life.create(1, name: name)))
      }
      (old, new) = (
        try await life.bench.store.node(named: "old").id, try await life.bench.store.node(named: "new").id
      )
      let fleet = life.fleet
      let ids = [old, new]
      try #require(
        await eventually {
          for id in ids where await fleet.refusal(of: id) != nil { return false }
          return true
        })
      runner = RampRunner(world: world, fleet: life.fleet, aliases: aliases)
      _ = try await aliases.create(
        CreateAliasRequest(name: "prod", shares: [.init(node: "old", weight: 100)]),
        folder: life.bench.folder,
        acl: [], by: "sva")
    }

    func alias() async throws -> AliasRecord { try await life.bench.store.alias(named: "prod") }

    func start(_ steps: [Int] = [10, 50, 100]) async throws {
      _ = try await runner.start(
        try await alias(), StartRampRequest(to: "new", steps: steps, stepSeconds: 60), by: "sva",
        requestID: "")
    }

    /// Lets seconds pass in which both sides answer by the weights, 100 requests each second.
    func pass(_ seconds: Int, failures: Double = 0, slowness: Double = 1) async throws {
      for _ in 0..<seconds {
        let weight = try await weights()[1]
        await life.sink.answer(Self.window(weight, failures: failures, slowness: slowness), by: new)
        await life.sink.answer(Self.window(100 - weight), by: old)
        uptime.move(.seconds(1))
        await runner.look(try await alias().id)
      }
    }

    private static func window(_ requests: Int, failures: Double = 0, slowness: Double = 1) -> RampWindow {
      var window = RampWindow(requests: requests, failures: Int(Double(requests) * failures))
      for index in 0..<requests {
        window.latencies.note(microseconds: Int(Double(5000 + index * 7919 % 10_000) * slowness))
      }
      return window
    }

    /// Of the old node and the new one, as the gateway was told.
    func weights() async throws -> [Int] {
      let shares = await life.sink.tables.last?.aliases.first?.spec.shares ?? []
      return [old, new].map { id in shares.first { $0.nodeId == id }?.weight ?? 0 }
    }

    func ramp() async throws -> RampResource { try await runner.ramp(of: try await alias()) }
    func journal() async throws -> [RampEventKind] {
      (try await ramp().journal ?? []).map(\.kind).filter { $0 != .held }
    }
  }

  @Test func `a good candidate gets its percents at their times`() async throws {
    try await Bench().live { life in
      let scene = try await Scene(life)
      try await scene.start()
      #expect(try await scene.weights() == [90, 10])
      try await scene.pass(59)
      #expect(try await scene.weights() == [90, 10])
      try await scene.pass(1)
      #expect(try await scene.weights() == [50, 50])
      try await scene.pass(60)
      #expect(try await scene.weights() == [0, 100])
      try await scene.pass(60)
      #expect(try await scene.ramp().status == .completed)
      #expect(try await scene.journal() == [.started, .advanced, .advanced, .completed])
      let last = try #require(try await scene.ramp().journal?.last)
      #expect(last.candidate.requests == 6000 && last.others.requests == 3000)
    }
  }

  @Test(arguments: [(0.1, 1.0, "errors: "), (0, 1.5, "p95: ")])
  func `a bad candidate is rolled back`(failures: Double, slowness: Double, words: String) async throws {
    try await Bench().live { life in
      let scene = try await Scene(life)
      try await scene.start()
      try await scene.pass(59, failures: failures, slowness: slowness)
      let ramp = try await scene.ramp()
      #expect(ramp.status == .rolledBack && ramp.message.contains(words), "\(ramp.message)")
      #expect(try await scene.weights() == [100, 0])
      #expect(try await scene.journal() == [.started, .rolledBack])
    }
  }

  @Test func `a ramp goes on where another process left it`() async throws {
    try await Bench().live { life in
      var scene = try await Scene(life)
      try await scene.start()
      try await scene.pass(60)
      try await scene.pass(40)
      let before = try await scene.ramp()
      // No goodbye: what counts is in the store. The gateway counts anew.
      scene.runner = RampRunner(world: scene.world, fleet: life.fleet, aliases: scene.aliases)
      await life.sink.forgetAnswers()
      scene.uptime.move(.seconds(3600))
      await scene.runner.recover()
      let after = try await scene.ramp()
      #expect(after.percent == 50 && after.step == 2)
      #expect(before.stepElapsedSeconds - after.stepElapsedSeconds <= 3)
      #expect(before.candidate.requests - after.candidate.requests <= 150)
      try await scene.pass(10)
      #expect(try await scene.weights() == [50, 50])
      try await scene.pass(13)
      #expect(try await scene.weights() == [0, 100])
      #expect(try await scene.journal() == [.started, .advanced, .continued, .advanced])
    }
  }

  @Test func `a paused ramp stays, but what is surely bad is rolled back`() async throws {
    try await Bench().live { life in
      let scene = try await Scene(life)
      try await scene.start()
      _ = try await scene.runner.pause(try await scene.alias(), by: "sva", requestID: "")
      try await scene.pass(300)
      #expect(try await scene.weights() == [90, 10])
      #expect(try await scene.ramp().stepElapsedSeconds < 1)
      try await scene.pass(60, failures: 0.1)
      #expect(try await scene.ramp().status == .rolledBack)
      #expect(try await scene.journal() == [.started, .paused, .rolledBack])
    }
  }

  @Test func `what others change of the alias meanwhile stays`() async throws {
    try await Bench().live { life in
      let scene = try await Scene(life)
      try await scene.start()
      _ = try await scene.aliases.update(
        try await scene.alias(), UpdateAliasRequest(metadata: ["team": "a"]), fields: ["metadata"], acl: [])
      try await scene.pass(60)
      #expect(try await scene.weights() == [50, 50])
      _ = try await scene.runner.abort(try await scene.alias(), by: "sva", requestID: "")
      #expect(try await scene.weights() == [100, 0])
      let spec = try StoredJSON.value(AliasSpec.self, from: try await scene.alias().specJSON)
      #expect(spec.metadata == ["team": "a"])
    }
  }
}
