import Domain
import Storage
import Testing

@Suite struct CheckpointRetentionTests {
  @Test func `beyond the limit the oldest unpinned goes`() async throws {
    let world = try await World(unpinned: 3)
    let ids = try await world.add(3)
    let result = try await world.store.addCheckpoint(world.checkpoint(), blobs: [])
    #expect(result.dropped == [ids[0]])
    #expect(try await world.ids() == [result.added.id, ids[2], ids[1]])
  }

  @Test func `pinned and used checkpoints stay`() async throws {
    let world = try await World(unpinned: 2)
    let ids = try await world.add(2)
    try await world.store.pinCheckpoint(ids[0], name: "keep", by: "sva", at: start)
    try await world.store.createNode(world.node("busy", ids[1]))
    let more = try await world.add(3)
    #expect(try await world.ids() == [more[2], more[1], ids[1], ids[0]])
  }

  @Test func `a clock that jumps back changes neither order nor retention`() async throws {
    let world = try await World(unpinned: 2)
    let first = try await world.store.addCheckpoint(world.checkpoint(at: start), blobs: []).added
    let second = try await world.store.addCheckpoint(
      world.checkpoint(at: start + .seconds(-9999)), blobs: []
    ).added
    #expect(try await world.ids() == [second.id, first.id])
    let third = try await world.store.addCheckpoint(world.checkpoint(at: start + .seconds(-5000)), blobs: [])
    #expect(third.dropped == [first.id])
  }

  @Test func `pinning beyond the limit is refused and says which to unpin`() async throws {
    let world = try await World(unpinned: 3, pinned: 2)
    let ids = try await world.add(3)
    try await world.store.pinCheckpoint(ids[0], name: "used", by: "sva", at: start)
    try await world.store.createNode(world.node("busy", ids[0]))
    try await world.store.pinCheckpoint(ids[1], name: "spare", by: "sva", at: start)
    let error = try await #require(throws: PlatformError.self) {
      try await world.store.pinCheckpoint(ids[2], name: "third", by: "sva", at: start)
    }
    #expect(error.code == .failedPrecondition && error.message.contains("'spare'"))
    let renamed = try await world.store.pinCheckpoint(ids[1], name: "renamed", by: "sva", at: start)
    #expect(renamed.name == "renamed")
  }

  @Test func `two pinned ones of a project can't share a name`() async throws {
    let world = try await World()
    let ids = try await world.add(2)
    try await world.store.pinCheckpoint(ids[0], name: "same", by: "sva", at: start)
    let error = try await #require(throws: PlatformError.self) {
      try await world.store.pinCheckpoint(ids[1], name: "same", by: "sva", at: start)
    }
    #expect(error.code == .alreadyExists && error.message.contains("'same'"))
    #expect(try await world.store.checkpoint(named: "same", in: world.project.id).id == ids[0])
  }

  @Test func `unpinning the oldest of a full list deletes it at once`() async throws {
    let world = try await World(unpinned: 2)
    let ids = try await world.add(1)
    try await world.store.pinCheckpoint(ids[0], name: "old", by: "sva", at: start)
    let newer = try await world.add(2)
    #expect(try await world.store.unpinCheckpoint(ids[0]) == ids)
    #expect(try await world.ids() == [newer[1], newer[0]])
  }

  @Test func `unpinning with room keeps it`() async throws {
    let world = try await World(unpinned: 2)
    let ids = try await world.add(1)
    try await world.store.pinCheckpoint(ids[0], name: "old", by: "sva", at: start)
    #expect(try await world.store.unpinCheckpoint(ids[0]).isEmpty)
    let record = try #require(try await world.store.checkpoint(ids[0]))
    #expect(record.name == nil && record.pinnedAt == nil && record.pinnedBy == nil)
  }

  @Test func `a checkpoint in use is neither deleted nor unpinned until the node is`() async throws {
    let world = try await World()
    let ids = try await world.add(1)
    try await world.store.pinCheckpoint(ids[0], name: "model", by: "sva", at: start)
    var node = world.node("busy-node", ids[0])
    try await world.store.createNode(node)
    for attempt in [
      { () async throws in try await world.store.deleteCheckpoint(ids[0]) },
      { () async throws in try await world.store.unpinCheckpoint(ids[0]) },
    ] {
      let error = try await #require(throws: PlatformError.self) { try await attempt() }
      #expect(error.code == .failedPrecondition && error.message.contains("'busy-node'"))
    }
    node.deletedAt = start
    try await world.store.updateNode(node)
    try await world.store.deleteCheckpoint(ids[0])
    #expect(try await world.ids().isEmpty)
  }

  @Test func `new bytes count only blobs that nobody had`() async throws {
    let world = try await World()
    let shared = BlobReference(digest: "sha256:a", size: 100)
    let first = try await world.store.addCheckpoint(world.checkpoint(), blobs: [shared, shared])
    let second = try await world.store.addCheckpoint(
      world.checkpoint(), blobs: [shared, BlobReference(digest: "sha256:b", size: 7)])
    #expect(first.added.newBytes == 100 && second.added.newBytes == 7)
    #expect(try await world.store.referencedDigests() == ["sha256:a", "sha256:b"])
    try await world.store.deleteCheckpoint(second.added.id)
    #expect(try await world.store.referencedDigests() == ["sha256:a"])
  }

  @Test func `a smaller limit trims at once`() async throws {
    let world = try await World(unpinned: 3)
    let ids = try await world.add(3)
    var project = world.project
    project.unpinnedLimit = 1
    #expect(try await world.store.updateProject(project) == [ids[0], ids[1]])
  }
}
