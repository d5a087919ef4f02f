import Domain
import FoundationEssentials
import Sandboxing
import Synchronization
import Testing

@testable import ImageNodes

/// Against a real engine and a real registry with a password.
@Suite(.enabled(if: Bench.isThere, Bench.missing)) struct EngineClientTests {
  @Test func `a version of the API is agreed on`() async throws {
    let ping = try await Bench.client().ping()
    #expect(EngineClient.versions.contains(ping.version))
    #expect(try await Bench.client().info().NCPU > 0)
  }

  @Test func `an image is checked, pulled with progress, and pinned by its digest`() async throws {
    let client = try Bench.client()
    let image = try ImageReference("\(Bench.registry)/team/testapp:1")
    let found = try await client.distribution(of: image, as: Bench.login)
    let pinned = image.pinned(found.Descriptor.digest)
    let seen = Mutex<[PullProgress]>([])
    try await client.pull(pinned, as: Bench.login) { progress in seen.withLock { $0.append(progress) } }
    #expect(seen.withLock { $0.last?.layersDone } == 1)
    let here = try #require(try await client.image(pinned.text))
    #expect(here.RepoDigests == [pinned.text])
    #expect(here.ports == [8080])
  }

  @Test func `a wrong password, a missing image and a dead registry are told apart`() async throws {
    let client = try Bench.client()
    func refusal(_ text: String, _ login: RegistryLogin?) async throws -> EngineError {
      let image = try ImageReference(text)
      return try #require(
        await #expect(throws: EngineError.self) { try await client.distribution(of: image, as: login) })
    }
    var wrong = Bench.login
    wrong.password = "wrong"
    #expect(try await refusal("\(Bench.registry)/team/testapp:1", wrong).kind == .refused(401))
    let anonymous = try await refusal("\(Bench.registry)/team/testapp:1", nil)
    #expect(anonymous.message.contains("no basic auth credentials") || anonymous.kind == .refused(401))
    #expect(try await refusal("\(Bench.registry)/team/nothing:1", Bench.login).kind == .refused(404))
    #expect(try await refusal("127.0.0.1:9/team/testapp:1", nil).message.contains("connection refused"))
    let missing = try ImageReference("\(Bench.registry)/team/nothing:1")
    await #expect(throws: EngineError.self) { try await client.pull(missing, as: Bench.login) }
  }

  @Test func `a container lives, writes its log, and ends by a signal`() async throws {
    try await Bench.withContainer(Bench.body()) { client, id in
      try await client.start(id)
      try await client.start(id)
      let first = Mutex<[ContainerLine]>([])
      try await Bench.wait("it listens") {
        first.withLock { $0 = [] }
        try await client.logs(of: id) { line in first.withLock { $0.append(line) } }
        return first.withLock { $0.contains { $0.text.contains("listening") } }
      }
      let since = try #require(first.withLock { $0.last?.time })
      #expect(try await client.stats(of: id)?.workingSet ?? 0 > 1 << 20)
      try await client.stop(id, grace: .seconds(20))
      let rest = Mutex<[String]>([])
      try await client.logs(of: id, since: since, follow: true) { line in
        rest.withLock { $0.append(line.text) }
      }
      #expect(rest.withLock { $0 } == ["SIGTERM"])
      let state = try #require(try await client.container(id)).State
      #expect(!state.Running)
      #expect(state.ExitCode == 0)
      #expect(try await client.stats(of: id) == nil)
    }
    #expect(try await Bench.client().container("roost-nothing") == nil)
  }

  @Test func `events tell how containers end, and begin again where they were left`() async throws {
    try await Bench.withContainer(Bench.body(env: ["FAIL_START=7"])) { client, id in
      let seen = Mutex<[EngineEvent]>([])
      let began = "\(Int(Date().timeIntervalSince1970) - 1)"
      try await client.start(id)
      try await client.events(labelled: "roost.owner=client-tests", actions: ["start", "die"], since: began) {
        event in
        guard event.Actor.ID == id else { return true }
        return seen.withLock { seen in
          seen.append(event)
          return event.Action != "die"
        }
      }
      let last = try #require(seen.withLock { $0.last })
      #expect(seen.withLock { $0.map(\.Action) } == ["start", "die"])
      #expect(last.Actor.Attributes?["exitCode"] == "7")
      let again = Mutex<[String]>([])
      try await client.events(labelled: "roost.owner=client-tests", actions: ["die"], since: last.moment) {
        event in
        again.withLock { $0.append(event.Actor.ID) }
        return event.Actor.ID != id
      }
      #expect(again.withLock { $0.last } == id)
    }
  }

  @Test func `following a log ends at once when the task is cancelled`() async throws {
    try await Bench.withContainer(Bench.body()) { client, id in
      try await client.start(id)
      let lines = AsyncStream.makeStream(of: String.self)
      let follower = Task {
        try await client.logs(of: id, follow: true) { line in lines.continuation.yield(line.text) }
      }
      for await line in lines.stream where line.contains("listening") { break }
      follower.cancel()
      await #expect(throws: EngineError.self) { try await follower.value }
    }
  }

  @Test func `what the engine refuses is said in its words`() async throws {
    let client = try Bench.client()
    var body = Bench.body()
    body.HostConfig.NanoCpus = 10_000_000_000_000
    let greedy = body
    let refusal = await #expect(throws: EngineError.self) {
      try await client.create("roost-test-greedy", greedy)
    }
    #expect(refusal?.kind == .refused(400))
    #expect(refusal?.message.contains("CPUs") == true)
    let missing = Bench.body("nothing-of-this-name:1")
    let gone = await #expect(throws: EngineError.self) {
      try await client.create("roost-test-missing", missing)
    }
    #expect(gone?.kind == .refused(404))
  }

  @Test func `networks and volumes are made and removed`() async throws {
    let client = try Bench.client()
    let labels = ["roost.owner": "client-tests-network"]
    let name = "roost-test-\(UInt32.random(in: 0...(.max)))"
    try await client.createNetwork(name, subnet: "10.213.255.0/24", isInternal: true, labels: labels)
    try await client.createVolume(name, labels: labels)
    #expect(try await client.network(name)?.Internal == true)
    #expect(try await client.networks(labelled: ["roost.owner=client-tests-network"]).map(\.Name) == [name])
    #expect(try await client.volumes(labelled: ["roost.owner=client-tests-network"]).map(\.Name) == [name])
    try await client.removeNetwork(name)
    try await client.removeNetwork(name)
    try await client.removeVolume(name)
    #expect(try await client.network(name) == nil)
  }
}

/// Sockets on which no engine answers.
@Suite struct NoEngineTests {
  @Test func `an engine that is not there is said to be so`() async {
    let error = await #expect(throws: EngineError.self) {
      try await EngineClient(socket: "/nowhere/engine.sock").ping()
    }
    #expect(error?.kind == .unreachable)
    #expect(error?.isOfEngine == true)
    #expect(error?.message.contains("/nowhere/engine.sock") == true)
  }
}
