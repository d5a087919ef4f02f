import Access
import AddressNodes
import ControlPlane
import Domain
import FoundationEssentials
import HTTPModel
import Planning
import Secrets
import Storage
import TestSupport
import Testing

@testable import ControlAPI

private struct NoSink: RoutingSink {
  func publish(_ table: RoutingTable) async {}
  func outstanding(on instance: InstanceID) async -> Int { 0 }
  func load(of node: NodeID) async -> NodeLoad? { nil }
}

/// The API over a real store, with a driver in memory.
private struct Served {
  static let account = ServiceAccountID.random()
  static let stranger = ServiceAccountID.random()

  let home: TemporaryFolder
  let store: Store
  let authority: TokenAuthority
  let clock = TurnableClock()
  let keys = APIKeys()
  let folder: FolderRecord
  let responder: APIResponder

  init() async throws {
    home = try TemporaryFolder()
    store = try Store(path: home.path + "/roost.db")
    let blobs = try BlobStore(data: home.path)
    authority = try TokenAuthority.generate()
    let time = clock.source
    let world = NodeWorld(
      cells: FakeDriver(), addresses: AddressDriver(now: time.wall), images: FakeDriver(),
      probe: { _ in ProbeOutcome(passed: false, message: "") }, store: store, blobs: blobs, time: time,
      log: { _, _, _ in }, note: { _, _, _, _ in })
    let fleet = Fleet(world: world, sink: NoSink())
    folder = FolderRecord(id: .random(), name: "default", createdAt: time.wall())
    try await store.createFolder(folder)
    for id in [Self.account, Self.stranger] {
      try await store.createServiceAccount(
        ServiceAccountRecord(id: id, folderID: folder.id, name: id.text, createdAt: time.wall()))
    }
    try await store.grant(GrantRecord(subject: Self.account.text, role: "admin", folderID: folder.id))
    let vault = try await SecretVault.open(store: store, keyFile: home.path + "/secrets.json")
    let recordings = AliasRecordings(
      world: world, fleet: fleet, vault: vault, folder: home.path + "/recordings")
    responder = APIResponder(
      APIWorld(
        world: world, fleet: fleet, nodes: NodeService(world: world, fleet: fleet),
        checkpoints: CheckpointService(store: store, blobs: blobs, time: time),
        secrets: SecretService(world: world, vault: vault),
        mirrors: AliasMirrors(world: world, fleet: fleet), recordings: recordings,
        replays: AliasReplays(world: world, fleet: fleet, recordings: recordings),
        authority: authority,
        exchange: TokenExchange(store: store, authority: authority, now: time.wall), apiKeys: keys,
        metrics: { "" }, logs: { _, _, _ in LogPage(lines: [], cursor: "1-0") }, requests: { _ in nil },
        limits: { _ in [] }, version: VersionResource(version: "0", api: "v1", swift: "6"),
        server: {
          ServerResource(
            processId: .random(), pid: 2, version: "0", startedAt: time.wall(), dataFolder: "/data",
            formerProcessDrains: false)
        }))
  }

  func token(_ subject: String = Served.account.text) async throws -> String {
    let now = clock.now()
    let issued = try authority.issue(subject: subject, ttl: .seconds(3600), at: now)
    try await store.addToken(
      TokenRecord(
        id: issued.principal.tokenID, subject: subject, createdAt: now, expiresAt: issued.principal.expiresAt,
        revokedAt: nil, description: ""))
    return issued.token
  }

  func ask(_ method: String, _ target: String, authorization: String?) async -> Asked {
    let headers = authorization.map { [(name: "authorization", value: $0)] } ?? []
    let response = await responder.respond(
      to: HTTPRequest(method: method, target: target, headers: headers, requestID: "req1"))
    return Asked(response: response)
  }
}

private struct Asked {
  struct Problem: Decodable {
    var status: Int
    var detail: String
    var code: String
    var requestId: String
  }

  let response: HTTPResponse
  var status: Int { response.status }
  var problem: Problem? { try? JSONDecoder().decode(Problem.self, from: Data(response.body)) }
  func header(_ name: String) -> String? { response.headers.first { $0.name == name }?.value }
}

@Suite(.ownThread, .timeLimit(.minutes(5))) struct RefusalTests {
  @Test func `who shows nothing is told what to send, and of no error in a token`() async throws {
    let asked = await (try Served()).ask("GET", "/v1/nodes", authorization: nil)
    #expect(asked.status == 401 && asked.problem?.status == 401 && asked.problem?.code == "UNAUTHENTICATED")
    #expect(asked.problem?.detail.contains("roost token create") == true)
    #expect(asked.problem?.requestId == "req1")
    #expect(asked.header("www-authenticate") == "Bearer realm=\"roost\"")
    #expect(asked.header("x-roost-fault") == "caller")
  }

  @Test(arguments: [
    ("Basic YTpi", "use the scheme Bearer or Api-Key"), ("Bearer", "the token is empty"),
    ("Bearer a.b", "malformed"), ("Bearer " + String(repeating: "a", count: 5000), "longer than 4096 bytes"),
    ("Api-Key nothing", "an API key begins with roost_"),
    ("Api-Key roost_nothing", "the API key is unknown here or was deleted"),
  ]) func `what is no good credential is refused with the reason`(_ shown: String, _ words: String)
    async throws
  {
    let asked = await (try Served()).ask("GET", "/v1/nodes", authorization: shown)
    #expect(asked.status == 401)
    #expect(
      asked.problem?.detail.lowercased().contains(words.lowercased()) == true,
      "\(asked.problem?.detail ?? "")")
    #expect(asked.header("www-authenticate") == "Bearer realm=\"roost\", error=\"invalid_token\"")
  }

  @Test func `tokens of other servers, expired, early and revoked ones are told apart`() async throws {
    let served = try await Served()
    let foreign = try TokenAuthority.generate().issue(
      subject: Served.account.text, ttl: .seconds(60), at: served.clock.now())
    var asked = await served.ask("GET", "/v1/nodes", authorization: "Bearer \(foreign.token)")
    #expect(asked.status == 401 && asked.problem?.detail.contains("made by another server") == true)

    let good = "Bearer \(try await served.token())"
    #expect(await served.ask("GET", "/v1/nodes", authorization: good).status == 200)
    served.clock.turn(.seconds(2 * 3600))
    asked = await served.ask("GET", "/v1/nodes", authorization: good)
    #expect(asked.status == 401 && asked.problem?.detail.contains("expired at") == true)
    served.clock.turn(.seconds(-4 * 3600))
    asked = await served.ask("GET", "/v1/nodes", authorization: good)
    #expect(asked.status == 401 && asked.problem?.detail.contains("set the clock right") == true)
    served.clock.turn(.seconds(2 * 3600))
    #expect(await served.ask("GET", "/v1/nodes", authorization: good).status == 200)

    let live = try await served.store.liveTokens(at: served.clock.now())
    for token in live { try await served.store.revokeToken(token.id, at: served.clock.now()) }
    asked = await served.ask("GET", "/v1/nodes", authorization: good)
    #expect(asked.status == 401 && asked.problem?.detail.contains("revoked") == true)
  }

  @Test(arguments: [
    ("PUT", "/v1/nodes", "GET, POST"), ("POST", "/v1/nodes/n1", "DELETE, GET, PATCH"),
    ("GET", "/v1/nodes/n1:suspend", "POST"), ("DELETE", "/v1/instances", "GET"),
    ("POST", "/livez", "GET, HEAD"),
    ("DELETE", "/v1/openapi.json", "GET, HEAD"),
  ]) func `a method that a path does not take is refused with those it takes, before any credential`(
    _ method: String, _ target: String, _ allowed: String
  ) async throws {
    let asked = await (try Served()).ask(method, target, authorization: nil)
    #expect(asked.status == 405 && asked.problem?.status == 405)
    #expect(asked.header("allow") == allowed)
    #expect(asked.problem?.detail == "\(method) is not allowed here; use \(allowed)")
  }

  @Test func `a path that is none is not found, with and without a credential`() async throws {
    let served = try await Served()
    for authorization in [nil, "Bearer \(try await served.token())"] {
      let asked = await served.ask("GET", "/v1/nodez?x=1", authorization: authorization)
      #expect(asked.status == 404 && asked.problem?.detail.contains("no such path: /v1/nodez;") == true)
    }
  }

  @Test func `a caller without a role sees empty listings and may change nothing`() async throws {
    let served = try await Served()
    let stranger = "Bearer \(try await served.token(Served.stranger.text))"
    let list = await served.ask("GET", "/v1/nodes", authorization: stranger)
    #expect(list.status == 200 && String(decoding: list.response.body, as: UTF8.self) == "{\"nodes\":[]}")
    let instances = await served.ask("GET", "/v1/instances", authorization: stranger)
    #expect(String(decoding: instances.response.body, as: UTF8.self) == "{\"instances\":[]}")
  }

  @Test func `the process that serves is shown to administrators`() async throws {
    let served = try await Served()
    let stranger = "Bearer \(try await served.token(Served.stranger.text))"
    let refused = await served.ask("GET", "/v1/server", authorization: stranger)
    #expect(refused.status == 403 && refused.problem?.detail.contains("role 'admin'") == true)
    let seen = await served.ask(
      "GET", "/v1/server", authorization: "Bearer \(try await served.token())")
    let server = try JSONDecoder().decode(ServerResource.self, from: Data(seen.response.body))
    #expect(server.pid == 2 && server.dataFolder == "/data" && !server.formerProcessDrains)
  }
}
