import ControlPlane
import Domain
import DriverAPI
import Storage
import TestSupport
import Testing

@Suite(.ownThread, .timeLimit(.minutes(5))) struct ReleaseTests {
  private func error(_ phase: LastError.Phase, _ message: String) -> LastError {
    LastError(phase: phase, exitClass: .exit, message: message, at: Timestamp(seconds: 0))
  }

  private func update(_ life: Life, memory: Int64) async throws -> OperationRecord {
    try await life.nodes.update(
      try await life.node(), UpdateNodeRequest(memoryBytes: memory), fields: ["memoryBytes"], acl: [],
      by: "svb")
  }

  private func states(_ life: Life) async throws -> [Int: ReleaseState] {
    let all = try await life.nodes.releases(of: try await life.node())
    return Dictionary(uniqueKeysWithValues: all.map { ($0.number, $0.state) })
  }

  /// Releases of the instances that the driver runs.
  private func running(_ bench: Bench) async -> [Int] {
    await bench.driver.running.values.map(\.release).sorted()
  }

  private func status(_ life: Life) async throws -> NodeStatusResource {
    try #require(await life.fleet.snapshot(of: try await life.node().id)).status
  }

  @Test func `an update replaces all instances and never has fewer in rotation`() async throws {
    let bench = try await Bench()
    try await bench.live { life in
      try await life.up(3)
      let tables = await life.sink.tables.count
      let ended = try #require(try await life.ended(try await update(life, memory: 1 << 30)))
      #expect(ended.errorJSON == nil)
      #expect(await running(bench) == [2, 2, 2])
      let counts = await life.sink.tables.dropFirst(tables).map { $0.nodes.first?.instances.count ?? 0 }
      #expect(counts.min() == 3 && (counts.max() ?? 9) <= 4)
      #expect(try await states(life) == [1: .superseded, 2: .serving])
      let made = try await life.nodes.releases(of: try await life.node())[0]
      #expect(made.createdBy == "svb" && made.former == 1)
      #expect(made.changes == [FieldChange(field: "memoryBytes", after: "1073741824")])
      #expect(try await status(life).rollOut?.message == "release 2 serves")
    }
  }

  @Test func `a release whose instances fail is given up and no former instance is touched`() async throws {
    let bench = try await Bench()
    try await bench.live { life in
      try await life.up(3)
      let before = await life.rotation()
      await bench.driver.breakReleases(from: 2, with: error(.start, "model.bin is not here"), inStart: true)
      let ended = try #require(try await life.ended(try await update(life, memory: 1 << 30)))
      let said = "release 2 failed; release 1 serves: it failed 3 times: model.bin is not here"
      #expect(ended.errorJSON?.contains(said) == true)
      #expect(await bench.driver.starts[2] == 3)
      #expect(await life.rotation() == before)
      #expect(await running(bench) == [1, 1, 1])
      let status = try await status(life)
      #expect(status.status == .healthy && status.rollOut?.state == .failed && status.rollOut?.serving == 1)
      let fact = try #require(status.conditions.first { $0.type == "RollOut" })
      #expect(!fact.status && fact.reason == "ReleaseFailed" && fact.message.hasPrefix(said))
      #expect(status.lastError?.message == "model.bin is not here")
      #expect(try await states(life) == [1: .serving, 2: .failed])
      // What the former release loses is made of it again.
      await bench.driver.exit(try #require(before.first), error(.execute, "out of luck"))
      #expect(await eventually { await running(bench) == [1, 1, 1] })
      #expect(await eventually { await life.rotation().count == 3 })
      // A rollback leaves instances as they are; a better release supersedes the failed one.
      let kept = await life.rotation()
      let back = try await life.nodes.rollBack(try await life.node(), to: nil, by: "sva")
      #expect(try await life.ended(back)?.errorJSON == nil)
      #expect(await life.rotation() == kept)
      await bench.driver.mend()
      #expect(try await life.ended(try await update(life, memory: 2 << 30))?.errorJSON == nil)
      #expect(try await states(life) == [1: .superseded, 2: .failed, 3: .serving])
    }
  }

  @Test func `a release that can't be restored is given up at its first failure`() async throws {
    let bench = try await Bench()
    try await bench.live { life in
      try await life.up(2)
      let before = await life.rotation()
      await bench.driver.breakReleases(from: 2, with: error(.restore, "no such class"))
      let ended = try #require(try await life.ended(try await update(life, memory: 1 << 30)))
      #expect(ended.errorJSON?.contains("release 1 serves: it failed: no such class") == true)
      #expect(await life.rotation() == before)
    }
  }

  @Test func `a failed release is remembered by the next service, until another update`() async throws {
    let bench = try await Bench()
    try await bench.live { life in
      try await life.up(2)
      await bench.driver.breakReleases(from: 2, with: error(.restore, "no such class"))
      _ = try #require(try await life.ended(try await update(life, memory: 1 << 30)))
    }
    let starts = await bench.driver.starts
    try await bench.live { life in
      #expect(await eventually { await life.rotation().count == 2 })
      #expect(try await status(life).rollOut?.message.contains("release 2 failed; release 1 serves") == true)
      #expect(await bench.driver.starts == starts, "nothing is tried again")
      await bench.driver.mend()
      let ended = try await life.ended(try await update(life, memory: 2 << 30))
      #expect(ended?.errorJSON == nil)
      #expect(await running(bench) == [3, 3])
    }
  }

  @Test func `a roll-out that was cut short goes on in the next service`() async throws {
    let bench = try await Bench()
    var operation: OperationRecord?
    try await bench.live { life in
      try await life.up(3)
      for instance in await life.rotation() { await life.sink.set(1, on: instance) }
      operation = try await update(life, memory: 1 << 30)
      #expect(await eventually { await bench.driver.starts[2] == 3 })
    }
    #expect(await running(bench) == [1, 1, 1, 2, 2, 2], "the former ones have requests to end")
    let begun = try #require(operation)
    try await bench.live { life in
      #expect(await (life.sink.tables.first?.nodes.first?.instances.count ?? 0) >= 3)
      let ended = try await life.ended(begun)
      #expect(ended?.errorJSON == nil)
      #expect(await eventually { await running(bench) == [2, 2, 2] })
      #expect(try await states(life) == [1: .superseded, 2: .serving])
    }
  }

  @Test func `the newest wish wins and the one before says so`() async throws {
    let bench = try await Bench()
    try await bench.live { life in
      try await life.up(2)
      await bench.driver.hold(try await life.node().id)
      let first = try await update(life, memory: 1 << 30)
      let second = try await update(life, memory: 2 << 30)
      #expect(
        try await life.ended(first)?.errorJSON?.contains("gave way to release 3 before it served") == true)
      await bench.driver.release(try await life.node().id)
      #expect(try await life.ended(second)?.errorJSON == nil)
      #expect(try await states(life) == [1: .superseded, 2: .superseded, 3: .serving])
    }
  }

  @Test func `a cancelled update gives way to the release that serves`() async throws {
    let bench = try await Bench()
    try await bench.live { life in
      try await life.up(2)
      let before = await life.rotation()
      await bench.driver.hold(try await life.node().id)
      let begun = try await update(life, memory: 1 << 30)
      #expect(await eventually { await bench.driver.starts[2] == 1 })
      _ = try await life.nodes.cancel(begun.id, by: "sva")
      await bench.driver.release(try await life.node().id)
      #expect(await eventually { await running(bench) == [1, 1] })
      #expect(await life.rotation() == before)
      #expect(try await states(life) == [1: .serving, 2: .superseded])
    }
  }

  @Test func `recreation keeps within the wanted number and the maintenance limit`() async throws {
    let bench = try await Bench()
    try await bench.live { life in
      try await life.up(4)
      let settings = UpdateNodeRequest(
        maintenanceLimit: 2, memoryBytes: 1 << 30, rollOut: RollOutSpec(strategy: "recreate"))
      let tables = await life.sink.tables.count
      let begun = try await life.nodes.update(
        try await life.node(), settings, fields: ["memoryBytes", "rollOut", "maintenanceLimit"], acl: [],
        by: "sva")
      #expect(try await life.ended(begun)?.errorJSON == nil)
      let counts = await life.sink.tables.dropFirst(tables).map { $0.nodes.first?.instances.count ?? 0 }
      #expect(counts.min() == 2 && counts.max() == 4)
    }
  }

  @Test func `other variables enter rotation all at once`() async throws {
    let bench = try await Bench()
    try await bench.live { life in
      try await life.up(3)
      let tables = await life.sink.tables.count
      let begun = try await life.nodes.update(
        try await life.node(), UpdateNodeRequest(outputs: [.init(name: "out", type: "any")]),
        fields: ["outputs"],
        acl: [], by: "sva")
      #expect(try await life.ended(begun)?.errorJSON == nil)
      for table in await life.sink.tables.dropFirst(tables) {
        let node = try #require(table.nodes.first)
        #expect(node.instances.count >= 3)
        #expect(node.outputs.map(\.type) == [node.release == 1 ? .int : .any])
      }
    }
  }

  @Test func `streams that outlive the time to drain are ended before their instance is`() async throws {
    let bench = try await Bench()
    try await bench.live { life in
      let request = CreateNodeRequest(
        name: "node-a", checkpoint: "pinned", outputs: [.init(name: "out", type: "int")],
        instances: .init(count: 1), timeoutSeconds: 0.05)
      _ = try #require(
        try await life.ended(
          try await life.nodes.create(
            request, project: bench.project, folder: bench.folder, acl: [bench.folder.id], by: "sva")))
      #expect(await eventually { await life.rotation().count == 1 })
      let busy = try #require(await life.rotation().first)
      await life.sink.set(1, on: busy)
      #expect(try await life.ended(try await update(life, memory: 1 << 30))?.errorJSON == nil)
      #expect(await life.sink.parted == [busy])
      #expect(await bench.driver.stopped == [busy])
    }
  }

  @Test func `the checkpoint that a roll-out would fall back to can't be deleted`() async throws {
    let bench = try await Bench()
    try await bench.live { life in
      try await life.up(1)
      var node = try await life.node()
      let manifest = Array(Bench.manifest.replacing("2026-01-01", with: "2026-01-02").utf8)
      let service = CheckpointService(store: bench.store, blobs: bench.blobs, time: bench.time)
      let other = try await service.register(
        try StoredJSON.value(CheckpointManifest.self, from: manifest), bytes: manifest, project: bench.project
      )
      _ = try await bench.store.pinCheckpoint(other.id, name: "other", by: "sva", at: bench.clock.now())
      await bench.driver.breakReleases(from: 2, with: error(.restore, "no such class"))
      let begun = try await life.nodes.update(
        node, UpdateNodeRequest(checkpoint: "other"), fields: ["checkpoint"], acl: [], by: "sva")
      _ = try #require(try await life.ended(begun))
      let refusal = await #expect(throws: PlatformError.self) {
        try await bench.store.deleteCheckpoint(bench.checkpoint.id)
      }
      #expect(refusal?.message.contains("node-a") == true)
      node = try await life.node()
      #expect(node.checkpointID == other.id && node.release == 2)
    }
  }
}
