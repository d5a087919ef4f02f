import AddressNodes
import ControlPlane
import Domain
import FoundationEssentials
import Planning
import Storage
import Synchronization
import TestSupport
import Testing

/// Collects tables; says what is outstanding as it is told.
actor RecordingSink: RoutingSink {
  private(set) var tables: [RoutingTable] = []
  private var counts: [InstanceID: Int] = [:]

  func publish(_ table: RoutingTable) { tables.append(table) }
  /// How often it was asked what is outstanding.
  private(set) var asked = 0

  func outstanding(on instance: InstanceID) -> Int {
    asked += 1
    return counts[instance] ?? 0
  }
  func set(_ count: Int, on instance: InstanceID) { counts[instance] = count }

  /// Instances whose streams were ended, in order; nothing is outstanding there afterwards.
  private(set) var parted: [InstanceID] = []
  func endStreams(on instance: InstanceID) {
    parted.append(instance)
    counts[instance] = 0
  }

  private var loads: [NodeID: NodeLoad] = [:]
  func load(of node: NodeID) -> NodeLoad? { loads[node] }
  func set(_ load: NodeLoad, on node: NodeID) { loads[node] = load }

  private var answered: [NodeID: RampWindow] = [:]
  func compared(ofAlias alias: AliasID) -> [NodeID: RampWindow] { answered }
  func answer(_ window: RampWindow, by node: NodeID) {
    answered[node] = (answered[node] ?? RampWindow()) + window
  }
  /// As a gateway that was started again.
  func forgetAnswers() { answered = [:] }
}

/// Counts the failures that reconcilers speak of.
final class FailureTally: Sendable {
  private let total = Mutex(0)

  func count(_ message: String) { if message == "node failure" { total.withLock { $0 += 1 } } }
  var value: Int { total.withLock { $0 } }
}

/// What probes see, by address; an address that nothing was said of refuses connections.
final class ProbeReplies: Sendable {
  private let seen = Mutex<[String: ProbeOutcome]>([:])
  private let hanging = Mutex<Set<String>>([])

  func set(_ address: String, passed: Bool, _ message: String) {
    seen.withLock { $0[address] = ProbeOutcome(passed: passed, message: message, resolved: address) }
  }
  /// The next probe of this address never ends by itself.
  func hang(_ address: String) { hanging.withLock { _ = $0.insert(address) } }
  func answer(_ target: ProbeTarget) async -> ProbeOutcome {
    if hanging.withLock({ $0.remove(target.address) }) != nil { try? await Task.sleep(for: .seconds(3600)) }
    return seen.withLock { $0[target.address] } ?? ProbeOutcome(passed: false, message: "connection refused")
  }
}

/// A real store and blob store with a pinned checkpoint, and a driver in memory.
struct Bench {
  let home: TemporaryFolder
  let store: Store
  let blobs: BlobStore
  let driver = FakeDriver()
  let folder: FolderRecord
  let project: ProjectRecord
  let checkpoint: CheckpointRecord

  let clock = TurnableClock()
  let time: TimeSource
  let failures = FailureTally()
  let replies = ProbeReplies()

  static let manifest = """
    {"formatVersion":1,"createdAt":"2026-01-01T00:00:00.000Z","operation":"Cell run",
    "cell":{"source":"out = 1","code":"out = 1"},"python":{"version":"3.11.7"},"packages":{},"variables":[],
    "groups":[],"errors":[],"analysis":{"uses":[],"stores":[{"name":"out","line":1}],"unresolved":[],
    "dynamic":[],"shell":[],"isAsync":false}}
    """

  init() async throws {
    home = try TemporaryFolder()
    store = try Store(path: home.path + "/roost.db")
    blobs = try BlobStore(data: home.path)
    time = clock.source
    let now = clock.now()
    folder = FolderRecord(id: .random(), name: "default", createdAt: now)
    project = ProjectRecord(id: .random(), folderID: folder.id, name: "default", createdAt: now)
    try await store.createFolder(folder)
    try await store.createProject(project)
    let bytes = Array(Bench.manifest.utf8)
    let service = CheckpointService(store: store, blobs: blobs, time: time)
    let record = try await service.register(
      try StoredJSON.value(CheckpointManifest.self, from: bytes), bytes: bytes, project: project)
    _ = try await store.pinCheckpoint(record.id, name: "pinned", by: "sva", at: now)
    checkpoint = record
  }

  /// Runs the fleet of a server's life; instances outlive it.
  func live(
    firstTableDelay: Duration = .seconds(20), probePatience: Duration = .seconds(20),
    _ body: (Life) async throws -> Void
  ) async throws {
    var world = NodeWorld(
      cells: driver, addresses: AddressDriver(now: time.wall), images: FakeDriver(),
      probe: { [replies] in await replies.answer($0) },
      store: store, blobs: blobs, time: time,
      log: { [failures] _, message, _ in failures.count("\(message)") }, note: { _, _, _, _ in }
    )
    world.probePatience = probePatience
    let sink = RecordingSink()
    let fleet = Fleet(world: world, sink: sink, firstTableDelay: firstTableDelay)
    try await fleet.recover()
    let life = Life(
      bench: self, world: world, fleet: fleet, sink: sink, nodes: NodeService(world: world, fleet: fleet))
    let running = Task { await fleet.run() }
    let result: Result<Void, any Error>
    do { result = .success(try await body(life)) } catch { result = .failure(error) }
    await fleet.stop()
    running.cancel()
    await running.value
    try result.get()
  }
}

struct Life {
  let bench: Bench
  let world: NodeWorld
  let fleet: Fleet
  let sink: RecordingSink
  let nodes: NodeService

  func create(_ count: Int = 2, name: String = "node-a") async throws -> OperationRecord {
    let request = CreateNodeRequest(
      name: name, checkpoint: "pinned", outputs: [.init(name: "out", type: "int")],
      instances: .init(count: count))
    return try await nodes.create(
      request, project: bench.project, folder: bench.folder, acl: [bench.folder.id], by: "sva")
  }

  func node() async throws -> NodeRecord { try await bench.store.node(named: "node-a") }

  func ended(_ operation: OperationRecord) async throws -> OperationRecord? {
    guard try await eventually({ try await bench.store.operation(operation.id)?.done == true }) else {
      return nil
    }
    return try await bench.store.operation(operation.id)
  }

  /// Creates the node and waits until its instances are in rotation: an operation may end just before the table is out.
  func up(_ count: Int) async throws {
    _ = try #require(try await ended(try await create(count)))
    try #require(await eventually { await rotation().count == count })
  }

  func routed(_ name: String) async -> RoutedNode? { await sink.tables.last?.nodes.first { $0.name == name } }
  func routed() async -> RoutedNode? { await sink.tables.last?.nodes.first }
  func rotation() async -> Set<InstanceID> { Set((await routed()?.instances ?? []).map(\.id)) }
}
