import Domain
import Storage
import TestSupport
import Testing

@testable import ControlPlane

@Suite(.ownThread, .timeLimit(.minutes(5))) struct OperationCancelTests {
  private func error(of operation: OperationRecord?) throws -> StatusResource {
    try StoredJSON.value(StatusResource.self, from: try #require(operation?.errorJSON))
  }

  private func refusal(_ body: () async throws(PlatformError) -> OperationRecord) async -> PlatformError? {
    do { _ = try await body() } catch { return error }
    return nil
  }

  private func spec(_ life: Life) async throws -> NodeSpec {
    try StoredJSON.value(NodeIntent.self, from: try await life.node().specJSON).spec
  }

  @Test func `a cancelled creation takes the node away and says by which operation`() async throws {
    let bench = try await Bench()
    await bench.driver.holdAll()
    try await bench.live { life in
      let creation = try await life.create()
      let cancelled = try await life.nodes.cancel(creation.id, by: "svb")
      let error = try error(of: cancelled)
      #expect(cancelled.done && error.code == 1)
      let node = try #require(NodeID(creation.resourceID))
      let all = try await bench.store.operations(resource: node.text).items
      let deletion = try #require(all.first { $0.kind == "deleteNode" })
      #expect(
        error.message
          == "cancelled by svb: node 'node-a' is being deleted (operation \(deletion.id))")
      await bench.driver.releaseAll()
      #expect(try await life.ended(deletion)?.errorJSON == nil)
      #expect(try await bench.store.node(node) == nil)
      #expect(await eventually { await bench.driver.running.isEmpty })
      #expect(try await bench.store.operation(creation.id) == cancelled)
    }
  }

  @Test func `a cancelled update gives way to what was before`() async throws {
    let bench = try await Bench()
    try await bench.live { life in
      try await life.up(2)
      let before = await life.rotation()
      await bench.driver.holdAll()
      let update = try await life.nodes.update(
        try await life.node(), UpdateNodeRequest(instances: .init(count: 4)), fields: ["instances"], acl: [],
        by: "sva")
      let cancelled = try await life.nodes.cancel(update.id, by: "svb")
      #expect(try error(of: cancelled).message == "cancelled by svb: node 'node-a' is to be as it was before")
      await bench.driver.releaseAll()
      #expect(try await spec(life).instances.count == 2)
      #expect(await eventually { await bench.driver.running.count == 2 })
      #expect(await life.rotation() == before)
      #expect(try await life.node().generation == 3)
    }
  }

  @Test func `a cancelled suspend goes on running, a cancelled resume stays suspended`() async throws {
    let bench = try await Bench()
    try await bench.live { life in
      try await life.up(2)
      for instance in await life.rotation() { await life.sink.set(1, on: instance) }
      let suspend = try await life.nodes.suspend(try await life.node(), by: "sva")
      let cancelled = try await life.nodes.cancel(suspend.id, by: "svb")
      #expect(
        try error(of: cancelled).message == "cancelled by svb: node 'node-a' is to go on running")
      for instance in await bench.driver.running.keys { await life.sink.set(0, on: instance) }
      #expect(await eventually { await life.rotation().count == 2 })
      #expect(await eventually { await bench.driver.running.count == 2 })
      #expect(try await !life.node().suspended)

      let again = try await life.nodes.suspend(try await life.node(), by: "sva")
      _ = try #require(try await life.ended(again))
      await bench.driver.holdAll()
      let resume = try await life.nodes.resume(try await life.node(), by: "sva")
      let stayed = try await life.nodes.cancel(resume.id, by: "svb")
      #expect(try error(of: stayed).message == "cancelled by svb: node 'node-a' is to stay suspended")
      await bench.driver.releaseAll()
      #expect(await eventually { await bench.driver.running.isEmpty })
      #expect(try await life.node().suspended)
    }
  }

  @Test func `a cancelled update of addresses brings the former places back`() async throws {
    let bench = try await Bench()
    bench.replies.set("10.0.0.1:80", passed: true, "200")
    try await bench.live { life in
      let request = CreateNodeRequest(
        name: "node-a", kind: .address, addresses: [.init(address: "10.0.0.1:80")],
        endpoint: .init(type: "http"), healthCheck: .init(type: "http", intervalSeconds: 60))
      let creation = try await life.nodes.create(
        request, project: bench.project, folder: bench.folder, acl: [bench.folder.id], by: "sva")
      _ = try #require(try await life.ended(creation))
      let update = try await life.nodes.update(
        try await life.node(), UpdateNodeRequest(addresses: [.init(address: "10.0.0.9:80")]),
        fields: ["addresses"], acl: [], by: "sva")
      #expect(try await life.node().release == 2)
      _ = try await life.nodes.cancel(update.id, by: "svb")
      #expect(try await life.node().release == 1)
      #expect(try await spec(life).address?.addresses.map(\.address) == ["10.0.0.1:80"])
      #expect(
        await eventually {
          await life.routed()?.instances.map(\.endpoint.address) == ["10.0.0.1:80"]
        })
      let id = try await life.node().id
      #expect(await eventually { await life.fleet.snapshot(of: id)?.instances.count == 1 })
    }
  }

  @Test func `what can't be taken back is refused with the reason`() async throws {
    let bench = try await Bench()
    try await bench.live { life in
      try await life.up(1)
      await bench.driver.holdAll()
      let reset = try await life.nodes.reset(try await life.node(), by: "sva")
      var error = await refusal { () throws(PlatformError) in try await life.nodes.cancel(reset.id, by: "svb")
      }
      #expect(error?.code == .failedPrecondition)
      #expect(error?.message.contains("a reset can't be cancelled") == true)

      let update = try await life.nodes.update(
        try await life.node(), UpdateNodeRequest(instances: .init(count: 2)), fields: ["instances"], acl: [],
        by: "sva")
      _ = try await life.nodes.update(
        try await life.node(), UpdateNodeRequest(instances: .init(count: 3)), fields: ["instances"], acl: [],
        by: "sva")
      error = await refusal { () throws(PlatformError) in try await life.nodes.cancel(update.id, by: "svb") }
      #expect(error?.code == .failedPrecondition && error?.message.contains("was changed since") == true)

      let deletion = try await life.nodes.delete(try await life.node(), by: "sva")
      error = await refusal { () throws(PlatformError) in try await life.nodes.cancel(deletion.id, by: "svb")
      }
      #expect(error?.message.contains("a deletion can't be cancelled") == true)
      error = await refusal { () throws(PlatformError) in try await life.nodes.cancel(update.id, by: "svb") }
      #expect(error?.message.contains("is being deleted") == true)
      error = await refusal { () throws(PlatformError) in try await life.nodes.cancel(.random(), by: "svb") }
      #expect(error?.code == .notFound)
      await bench.driver.releaseAll()
      #expect(try await life.ended(deletion)?.errorJSON == nil)
    }
  }

  @Test func `an operation that has ended is given back as it is`() async throws {
    let bench = try await Bench()
    try await bench.live { life in
      let ended = try #require(try await life.ended(try await life.create(1)))
      #expect(try await life.nodes.cancel(ended.id, by: "svb") == ended)
      #expect(try await life.node().deletedAt == nil)
    }
  }

  @Test func `an operation begun before a restart is cancelled after it`() async throws {
    let bench = try await Bench()
    await bench.driver.failStarts(.max)
    var creation: OperationRecord?
    try await bench.live { life in creation = try await life.create(1) }
    let id = try #require(creation).id
    try await bench.live { life in
      let cancelled = try await life.nodes.cancel(id, by: "svb")
      #expect(try error(of: cancelled).code == 1)
      let gone = try #require(NodeID(cancelled.resourceID))
      #expect(await eventually { (try? await bench.store.node(gone)) == .some(nil) })
    }
  }

  @Test func `of two ends the first one counts`() async throws {
    let bench = try await Bench()
    try await bench.live { life in
      var record = try #require(try await life.ended(try await life.create(1)))
      record.errorJSON = "{}"
      #expect(try await !bench.store.endOperation(record))
      #expect(try await bench.store.operation(record.id)?.errorJSON == nil)
    }
  }
}
