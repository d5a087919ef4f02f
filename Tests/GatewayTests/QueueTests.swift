import CLinux
import Domain
import Gateway
import Glibc
import HTTPModel
import Synchronization
import Telemetry
import TestSupport
import Testing
import Wire

@Suite(.ownThread, .timeLimit(.minutes(5))) struct QueueTests {
  private func started(_ count: Int, _ gateway: GatewayFixture) -> [Task<HTTPResponse?, Never>] {
    (0..<count).map { index in Task { try? await gateway.execute(input: "{\"i\":\(index)}") } }
  }

  private func metric(_ gateway: GatewayFixture, _ name: String) -> String {
    let text = String(decoding: gateway.metrics.text(), as: UTF8.self)
    let line = text.split(separator: "\n").first { $0.hasPrefix(name + "{") || $0.hasPrefix(name + " ") }
    return line.flatMap { $0.split(separator: " ").last }.map(String.init) ?? ""
  }

  @Test(arguments: [1, 2]) func `slow code gets one request at a time and waiters follow, over all loops`(
    loops: Int
  )
    async throws
  {
    let gateway = try GatewayFixture(loops: loops)
    let peer = try gateway.peer("w") { _ in .hold }
    gateway.publish([peer])
    let calls = started(8, gateway)
    await eventually { peer.heldCount == 1 && metric(gateway, "roost_gateway_queue_length") == "7" }
    for done in 1...8 {
      await eventually { peer.heldCount == 1 && peer.executed.count == done }
      peer.release()
    }
    for call in calls { #expect(await call.value?.status == 200) }
    #expect(metric(gateway, "roost_gateway_queue_length") == "0")
    #expect(metric(gateway, "roost_gateway_in_flight_requests") == "0")
    await gateway.stop(peer)
  }

  @Test func `fast code is pipelined once it is measured`() async throws {
    let gateway = try GatewayFixture()
    let holds = Atomic<Bool>(false)
    let peer = try gateway.peer("w") { _ in
      holds.load(ordering: .relaxed) ? .hold : .output("{}", microseconds: 20)
    }
    gateway.publish([peer])
    #expect(try await gateway.execute().status == 200)
    holds.store(true, ordering: .relaxed)
    let calls = started(10, gateway)
    await eventually { peer.heldCount == 8 && metric(gateway, "roost_gateway_queue_length") == "2" }
    for _ in 0..<8 { peer.release(microseconds: 20) }
    await eventually { peer.heldCount == 2 }
    for _ in 0..<2 { peer.release(microseconds: 20) }
    for call in calls { #expect(await call.value?.status == 200) }
    await gateway.stop(peer)
  }

  @Test func `requests spread over the least loaded instances`() async throws {
    let gateway = try GatewayFixture()
    let peers = [try gateway.peer("a") { _ in .hold }, try gateway.peer("b") { _ in .hold }]
    gateway.publish(peers)
    let calls = started(2, gateway)
    await eventually { peers.allSatisfy { $0.heldCount == 1 } }
    for peer in peers { peer.release() }
    for call in calls { #expect(await call.value?.status == 200) }
    await gateway.stop(peers[0], peers[1])
  }

  @Test func `a full queue answers 429 with Retry-After`() async throws {
    let gateway = try GatewayFixture()
    let peer = try gateway.peer("w") { _ in .hold }
    gateway.publish([peer], queueLimit: 1)
    let calls = started(2, gateway)
    await eventually { peer.heldCount == 1 && metric(gateway, "roost_gateway_queue_length") == "1" }
    let refused = try await gateway.execute()
    #expect(refused.status == 429 && refused.text.contains("\"code\":8"))
    #expect(Int(refused.header("retry-after") ?? "") ?? 0 >= 1)
    peer.release()
    await eventually { peer.heldCount == 1 && peer.executed.count == 2 }
    peer.release()
    for call in calls { #expect(await call.value?.status == 200) }
    await gateway.stop(peer)
  }

  @Test func `waiting too long and running too long say which timer ended`() async throws {
    let gateway = try GatewayFixture()
    let peer = try gateway.peer("w") { _ in .hold }
    gateway.publish([peer], timeout: 300, queueAge: 100)
    let calls = started(1, gateway)
    await eventually { peer.heldCount == 1 }
    let aged = try await gateway.execute()
    #expect(aged.status == 429 && aged.text.contains("waited in the queue for 100 ms"))
    let short = try await gateway.execute(headers: [("grpc-timeout", "20m")])
    #expect(short.status == 504 && short.text.contains("grpc-timeout") && short.text.contains("waited"))
    let late = await calls[0].value
    #expect(late?.status == 504 && late?.text.contains("the node's timeout of 300 ms") == true)
    await eventually { peer.cancelled.count == 1 }
    await eventually {
      gateway.observed.contains { if case .hung = $0 { true } else { false } }
    }
    await gateway.stop(peer)
  }

  @Test func `a caller who leaves cancels the work, and the place is free when the worker has answered`()
    async throws
  {
    let gateway = try GatewayFixture()
    let peer = try gateway.peer("w") { _ in .hold }
    gateway.publish([peer])
    let raw = gateway.dial()
    let body = "{\"folder_id\":\"\(GatewayFixture.folder)\",\"input\":{}}"
    raw.write(
      "POST /datasphere/v1/nodes/\(gateway.node):execute HTTP/1.1\r\nhost: x\r\nauthorization: Bearer \(GatewayFixture.good)\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)"
    )
    await eventually { peer.heldCount == 1 }
    raw.close()
    await eventually { peer.cancelled.map(\.tag) == peer.executed.map(\.tag) }
    let next = started(1, gateway)
    await eventually { metric(gateway, "roost_gateway_queue_length") == "1" }
    #expect(peer.executed.count == 1, "the place is still taken")
    peer.release()
    await eventually { peer.heldCount == 1 }
    peer.release()
    #expect(await next[0].value?.status == 200)
    await gateway.stop(peer)
  }

  @Test func `an instance that dies fails only what it ran`() async throws {
    let gateway = try GatewayFixture()
    let dying = try gateway.peer("a") { _ in .hold }
    let dies = Atomic<Bool>(false)
    let other = try gateway.peer("b") { _ in dies.load(ordering: .relaxed) ? .output("{}") : .hangUp }
    gateway.publish([dying])
    let calls = started(3, gateway)
    await eventually { dying.heldCount == 1 && metric(gateway, "roost_gateway_queue_length") == "2" }
    dies.store(true, ordering: .relaxed)
    dying.stop()
    // Of an instance that has left the table by then nobody would be told.
    await eventually { gateway.observed.contains { if case .unreachable = $0 { true } else { false } } }
    var statuses: [Int] = []
    gateway.publish([other], generation: 2)
    for call in calls { statuses.append(await call.value?.status ?? 0) }
    #expect(statuses.sorted() == [200, 200, 503])
    await gateway.stop(other)
  }

  @Test(arguments: [WorkerPeer.Behaviour.hangUp, .babble])
  func `a broken worker is a clear 503`(behaviour: WorkerPeer.Behaviour) async throws {
    let gateway = try GatewayFixture()
    let peer = try gateway.peer("w") { _ in behaviour }
    gateway.publish([peer])
    let answer = try await gateway.execute()
    #expect(answer.status == 503 && answer.text.contains("ended before it had answered"))
    #expect(answer.header("x-roost-fault") == "node")
    await gateway.stop(peer)
  }

  @Test func `requests wait for an instance that is not there yet`() async throws {
    let gateway = try GatewayFixture()
    gateway.publish([])
    let calls = started(2, gateway)
    await eventually { metric(gateway, "roost_gateway_queue_length") == "2" }
    let peer = try gateway.peer("w") { _ in .output("{}") }
    gateway.publish([peer], generation: 2)
    for call in calls { #expect(await call.value?.status == 200) }
    await gateway.stop(peer)
  }

  @Test func `a suspended node answers those who wait`() async throws {
    let gateway = try GatewayFixture()
    gateway.publish([])
    let calls = started(2, gateway)
    await eventually { metric(gateway, "roost_gateway_queue_length") == "2" }
    gateway.publish([], generation: 2, refusal: "node n is suspended")
    for call in calls { #expect(await call.value?.text.contains("suspended") == true) }
    await gateway.stop()
  }

  @Test func `draining answers what runs and takes nothing new`() async throws {
    let gateway = try GatewayFixture(loops: 2)
    let peer = try gateway.peer("w") { _ in .hold }
    gateway.publish([peer])
    let calls = started(1, gateway)
    await eventually { peer.heldCount == 1 }
    let drained = Task { await gateway.server.drain(grace: .seconds(10)) }
    await eventually { gateway.dialFails }
    peer.release()
    #expect(await calls[0].value?.status == 200)
    await drained.value
    await gateway.stop(peer)
  }

  @Test func `a drain that takes too long answers 503`() async throws {
    let gateway = try GatewayFixture()
    let peer = try gateway.peer("w") { _ in .hold }
    gateway.publish([peer])
    let calls = started(1, gateway)
    await eventually { peer.heldCount == 1 }
    await gateway.server.drain(grace: .milliseconds(50))
    #expect(await calls[0].value?.status == 503)
    await gateway.stop(peer)
  }

  @Test func `requests whose frames were never begun go to another instance when theirs dies`() async throws {
    let gateway = try GatewayFixture()
    let deaf = try DeafWorker(path: gateway.folderPath + "/deaf.sock")
    let other = try gateway.peer("b") { .output("{\"echo\":\($0.input)}") }
    gateway.publish(at: [deaf.path], limit: 8)
    // The first frame fills the socket and stays cut; those behind it are not begun.
    let large = Task {
      try? await gateway.execute(input: "{\"a\":\"\(String(repeating: "x", count: 8 << 20))\"}")
    }
    await eventually { metric(gateway, "roost_gateway_in_flight_requests") == "1" && deaf.isConnected }
    let small = started(3, gateway)
    await eventually { metric(gateway, "roost_gateway_in_flight_requests") == "4" }
    gateway.publish(at: [deaf.path, other.path], generation: 2, limit: 8)
    deaf.die()
    #expect(await large.value?.status == 503, "it was begun: nobody knows how far it came")
    for (index, call) in small.enumerated() {
      let answer = try #require(await call.value)
      #expect(answer.status == 200 && answer.text.contains("\"echo\":{\"i\":\(index)}"), "\(answer.text)")
    }
    #expect(other.executed.count == 3)
    #expect(metric(gateway, "roost_gateway_in_flight_requests") == "0")
    await gateway.stop(other)
  }

  @Test func `a socket that leads to another process than the instance gets nothing`() async throws {
    let gateway = try GatewayFixture()
    let peer = try gateway.peer("w") { _ in .output("{}") }
    gateway.publish(at: [peer.path], timeout: 300, pid: getpid() + 1)
    let answer = try await gateway.execute()
    #expect(answer.status >= 500, "\(answer.text)")
    #expect(peer.executed.isEmpty)
    let reasons = gateway.observed.compactMap {
      if case .unreachable(_, let reason) = $0 { reason } else { nil }
    }
    #expect(reasons.contains("its socket leads to another process"), "\(reasons)")
    gateway.publish(at: [peer.path], generation: 2, pid: getpid())
    #expect(try await gateway.execute().status == 200)
    await gateway.stop(peer)
  }

  @Test func `a table has settled when the last loop routes by it, also one that stood still`() async throws {
    let (stands, goesOn) = (Gauge(), Gauge())
    let gateway = try GatewayFixture(loops: 2) {
      stands.set(1)
      while goesOn.current == 0 { usleep(1000) }
    }
    gateway.publish(at: ["/nowhere"])
    #expect(await gateway.server.settle())
    // The loop that takes it tells of the instance that is gone, and is kept there.
    async let answer = gateway.execute()
    await eventually { stands.current == 1 }
    gateway.publish(at: [], generation: 2, refusal: "node n is suspended")
    #expect(await gateway.server.settle(within: .milliseconds(20)) == false)
    goesOn.set(1)
    #expect(await gateway.server.settle(within: .seconds(60)))
    #expect(try await answer.text.contains("suspended"))
    await gateway.server.drain(grace: .milliseconds(200))
    #expect(await gateway.server.settle(), "no loop is left to wait for")
    await gateway.stop()
  }

  @Test func `a client that does not read its answer is let go, and others are served meanwhile`()
    async throws
  {
    let gateway = try GatewayFixture(log: true, writeIdleSeconds: 1)
    let peer = try gateway.peer("w") {
      .output($0.input.contains("large") ? "{\"x\":\"\(String(repeating: "y", count: 12 << 20))\"}" : "{}")
    }
    gateway.publish([peer])
    let slow = gateway.dial()
    let body = "{\"folder_id\":\"\(GatewayFixture.folder)\",\"input\":{\"large\":1}}"
    slow.write(
      "POST /datasphere/v1/nodes/\(gateway.node):execute HTTP/1.1\r\nhost: x\r\nauthorization: Bearer \(GatewayFixture.good)\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)"
    )
    await eventually { peer.executed.count == 1 }
    #expect(
      try await gateway.execute().status == 200, "the instance is free: the answer waits in the gateway")
    await eventually { metric(gateway, "roost_gateway_open_connections") == "0" }
    let got = slow.readBytes()
    #expect(!got.isEmpty && got.count < 12 << 20, "\(got.count) bytes")
    #expect(metric(gateway, "roost_gateway_in_flight_requests") == "0")
    await gateway.stop(peer)
  }
}

/// Takes connections and reads nothing from them.
private final class DeafWorker: Sendable {
  let path: String
  private let listener: Int32
  private let connection = Mutex<Int32>(-1)

  init(path: String) throws {
    self.path = path
    listener = roost_listen_unix(path, 8)
    try #require(listener >= 0)
  }

  var isConnected: Bool {
    connection.withLock { connection in
      var peer = sockaddr_storage()
      if connection < 0 { connection = roost_accept(listener, &peer) }
      return connection >= 0
    }
  }

  func die() {
    connection.withLock { _ = roost_close($0) }
    _ = roost_close(listener)
    unlink(path)
  }
}
