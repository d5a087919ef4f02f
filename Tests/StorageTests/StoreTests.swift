import Domain
import Storage
import Testing

@Suite struct StoreTests {
  private func nodes(_ world: World, _ count: Int) async throws -> [NodeRecord] {
    let checkpoint = try await world.add(1)[0]
    var result: [NodeRecord] = []
    for index in 0..<count {
      let node = world.node("node-\(index + 10)", checkpoint)
      try await world.store.createNode(node)
      result.append(node)
    }
    return result
  }

  @Test func `pages of nodes go by name and survive a deletion in between`() async throws {
    let world = try await World()
    let made = try await nodes(world, 5)
    let first = try await world.store.nodes(folder: world.folder.id, limit: 2)
    #expect(first.items.map(\.name) == ["node-10", "node-11"])
    try await world.store.removeNode(made[1].id)
    let second = try await world.store.nodes(folder: world.folder.id, after: first.next, limit: 2)
    #expect(second.items.map(\.name) == ["node-12", "node-13"])
    let last = try await world.store.nodes(after: second.next, limit: 2)
    #expect(last.items.map(\.name) == ["node-14"] && last.next == nil)
  }

  @Test func `pages of checkpoints go from the newest and end`() async throws {
    let world = try await World(unpinned: 10)
    let ids = try await world.add(5)
    var seen: [CheckpointID] = []
    var after: String?
    repeat {
      let page = try await world.store.checkpoints(project: world.project.id, after: after, limit: 2)
      seen += page.items.map(\.id)
      after = page.next
    } while after != nil
    #expect(seen == ids.reversed())
  }

  @Test(arguments: ["x", "-1", "1:2:3"])
  func `a page token that is not ours is refused`(token: String) async throws {
    let world = try await World()
    let error = try await #require(throws: PlatformError.self) {
      try await world.store.checkpoints(after: token)
    }
    #expect(error.field == "page_token")
  }

  @Test func `a name is taken once among the live nodes of a folder`() async throws {
    let world = try await World()
    var first = try await nodes(world, 1)[0]
    let second = world.node(first.name, try #require(first.checkpointID))
    let error = try await #require(throws: PlatformError.self) { try await world.store.createNode(second) }
    #expect(error.code == .alreadyExists && error.message.contains("'node-10'") && error.field == "name")
    first.deletedAt = start
    try await world.store.updateNode(first)
    try await world.store.createNode(second)
    #expect(try await world.store.node(named: "node-10").id == second.id)
  }

  @Test func `a change on an old generation is refused`() async throws {
    let world = try await World()
    let node = try await nodes(world, 1)[0]
    var mine = node
    mine.suspended = true
    #expect(try await world.store.updateNode(mine).generation == 2)
    let error = try await #require(throws: PlatformError.self) { try await world.store.updateNode(node) }
    #expect(error.code == .aborted && error.message.contains("generation 2"))
    #expect(try await world.store.node(node.id)?.suspended == true)
  }

  @Test func `a new release is kept beside the old ones`() async throws {
    let world = try await World()
    var node = try await nodes(world, 1)[0]
    node.release = 2
    node.specJSON = #"{"v":2}"#
    try await world.store.updateNode(node)
    let releases = try await world.store.releases(node: node.id)
    #expect(releases.map(\.number) == [2, 1] && releases.map(\.specJSON) == [#"{"v":2}"#, "{}"])
  }

  @Test func `the newest twenty releases are kept, and the one that serves`() async throws {
    let world = try await World()
    var node = try await nodes(world, 1)[0]
    try await world.store.judgeRelease(1, of: node.id, .serving, "", at: start)
    for number in 2...30 {
      node.release = number
      node = try await world.store.updateNode(node, made: ("svb", "[]"))
    }
    let releases = try await world.store.releases(node: node.id)
    #expect(releases.map(\.number) == Array((11...30).reversed()) + [1])
    #expect(releases.map(\.state) == [.rollingOut] + Array(repeating: .superseded, count: 19) + [.serving])
    #expect(releases[0].createdBy == "svb" && releases[0].former == 29)
    try await world.store.judgeRelease(30, of: node.id, .serving, "", at: start)
    node.release = 1
    node = try await world.store.updateNode(node)
    let states = try await world.store.releases(node: node.id).map(\.state)
    #expect(
      states.first == .serving && states.last == .rollingOut, "release 1 is wished again, 30 serves meanwhile"
    )
  }

  @Test func `a node of an unknown checkpoint is refused and leaves nothing`() async throws {
    let world = try await World()
    await #expect(throws: PlatformError.self) {
      try await world.store.createNode(world.node("lost", .random()))
    }
    #expect(try await world.store.allNodes().isEmpty)
  }

  @Test func `instances come in the order of their making with all their members`() async throws {
    let world = try await World()
    let node = try await nodes(world, 1)[0]
    var made: [InstanceRecord] = []
    for _ in 0..<3 {
      let record = InstanceRecord(
        id: .random(), nodeID: node.id, release: 1, status: .created, createdAt: start)
      try await world.store.createInstance(record)
      made.append(record)
    }
    made[1].status = .healthy
    made[1].handleJSON = #"{"pid":7}"#
    made[1].startedAt = start
    made[1].lastErrorJSON = "{}"
    try await world.store.updateInstance(made[1])
    #expect(try await world.store.instances(node: node.id) == made)
    let error = try await #require(throws: PlatformError.self) { try await world.store.removeNode(node.id) }
    #expect(error.code == .failedPrecondition)
    for record in made { try await world.store.removeInstance(record.id, at: start) }
    try await world.store.removeNode(node.id)
    await #expect(throws: PlatformError.self) { try await world.store.updateInstance(made[0]) }
  }

  @Test func `a change of several parts is whole or nothing`() async throws {
    let world = try await World()
    let error = try await #require(throws: PlatformError.self) {
      try await world.store.atomically { (store) throws(PlatformError) in
        try store.setSetting("a", "1")
        try store.createFolder(FolderRecord(id: .random(), name: "second", createdAt: start))
        try store.createFolder(FolderRecord(id: .random(), name: "default", createdAt: start))
      }
    }
    #expect(error.code == .alreadyExists)
    #expect(try await world.store.setting("a") == nil)
    #expect(try await world.store.folders().items.map(\.name) == ["default"])
  }

  @Test func `an inner change that fails may be survived by the outer one`() async throws {
    let world = try await World()
    let checkpoint = try await world.add(1)[0]
    let node = world.node("twice", checkpoint)
    try await world.store.atomically { (store) throws(PlatformError) in
      try store.createNode(node)
      do throws(PlatformError) { try store.createNode(node) } catch {
        try store.setSetting("seen", error.message)
      }
    }
    #expect(try await world.store.allNodes() == [node])
    #expect(try await world.store.setting("seen") != nil)
  }

  @Test func `routing generations grow over restarts`() async throws {
    let world = try await World()
    let first = try await world.store.nextRoutingGeneration()
    let again = try Store(path: world.home.database)
    #expect(try await again.nextRoutingGeneration() == first + 1)
    #expect(try await world.store.nextRoutingGeneration() == first + 2)
  }

  @Test func `operations are found by resource and by being pending`() async throws {
    let world = try await World()
    var made: [OperationRecord] = []
    for index in 0..<4 {
      let record = OperationRecord(
        id: .random(), kind: "node.create", description: "Create", createdAt: start, createdBy: "sva",
        modifiedAt: start, done: index == 0, resourceID: index < 2 ? "nod1" : "nod2")
      try await world.store.createOperation(record)
      made.append(record)
    }
    #expect(try await world.store.operations(resource: "nod1").items.map(\.id) == [made[1].id, made[0].id])
    #expect(try await world.store.pendingOperations().map(\.id) == made[1...].map(\.id))
    made[3].done = true
    made[3].errorJSON = #"{"code":13}"#
    try await world.store.updateOperation(made[3])
    #expect(try await world.store.operation(made[3].id)?.errorJSON == #"{"code":13}"#)
    #expect(try await world.store.trimOperations(keeping: 1) == 1)
    #expect(try await world.store.operation(made[0].id) == nil)
  }

  @Test func `texts come back as they were`() async throws {
    let world = try await World()
    for text in ["", "'; DROP TABLE node; --", "пример 🐦\u{0}after", String(repeating: "x", count: 200_000)] {
      try await world.store.setSetting("text", text)
      #expect(try await world.store.setting("text") == text)
    }
  }
}
