import Domain
import Gateway
import HTTPModel
import Telemetry
import TestSupport
import Testing

/// Bodies of requests in memory: who may send long ones, and how much all have together.
@Suite(.ownThread, .timeLimit(.minutes(5))) struct HeldBytesTests {
  private static let megabyte = [UInt8](repeating: 0x20, count: 1 << 20)
  private static let token = "authorization: Bearer \(GatewayFixture.good)\r\n"

  /// A request of 16 MiB of which all but the last was sent.
  private func begun(_ gateway: GatewayFixture, _ framing: String, _ prefix: String) -> RawClient {
    let client = gateway.dial()
    client.write("POST /held HTTP/1.1\r\nhost: h\r\n\(Self.token)\(framing)\r\n\r\n")
    for _ in 0..<15 {
      client.write(prefix)
      client.writeAll(Self.megabyte)
      if !prefix.isEmpty { client.write("\r\n") }
    }
    return client
  }

  @Test(arguments: [
    ("content-length: \(16 << 20)", ""), ("transfer-encoding: chunked", "100000\r\n"),
  ]) func `bodies that arrive have so much memory together, and what they had is free after them`(
    framing: String, prefix: String
  ) async throws {
    // The least that a loop has: 64 MiB.
    let gateway = try GatewayFixture(heldBytes: 1)
    let clients = (0..<4).map { _ in begun(gateway, framing, prefix) }
    await eventually { gateway.metric("roost_gateway_held_body_bytes") >= 60 << 20 }
    let last = begun(gateway, framing, prefix)
    let answer = last.read(until: "in a moment")
    #expect(answer.hasPrefix("HTTP/1.1 429 ") && answer.contains("retry-after: 1\r\n"))
    #expect(answer.contains("x-roost-fault: platform\r\n") && answer.contains("all of the 67108864 bytes"))
    last.close()
    // Short bodies are taken all the same.
    let short = try await gateway.send(
      HTTPRequest(
        method: "POST", target: "/short", headers: [], body: [UInt8](repeating: 0x20, count: 60_000)))
    #expect(short.text == "POST /short 60000 false")
    // One that goes, and one that is complete: both give back what they had.
    clients[0].close()
    clients[1].write(prefix)
    clients[1].writeAll(Self.megabyte)
    if !prefix.isEmpty { clients[1].write("\r\n0\r\n\r\n") }
    #expect(clients[1].read(until: "POST /held \(16 << 20)").hasPrefix("HTTP/1.1 200 "))
    await eventually { gateway.metric("roost_gateway_held_body_bytes") < 32 << 20 }
    for client in clients { client.close() }
    await eventually { gateway.metric("roost_gateway_held_body_bytes") == 0 }
    await gateway.stop()
  }

  @Test func `short bodies that don't end have twice as much, and no more`() async throws {
    let gateway = try GatewayFixture(heldBytes: 1, leastHeldBytes: 1 << 20)
    let head = "POST /held HTTP/1.1\r\nhost: h\r\ncontent-length: 65536\r\n\r\n"
    var clients: [RawClient] = []
    // 34 times 60,000 bytes are not yet 2 MiB.
    for _ in 0..<34 {
      clients.append(gateway.dial())
      clients[clients.count - 1].write(head)
      clients[clients.count - 1].writeAll([UInt8](repeating: 0x20, count: 60_000))
    }
    await eventually { gateway.metric("roost_gateway_held_body_bytes") >= 34 * 60_000 }
    let last = gateway.dial()
    last.write(head)
    last.writeAll([UInt8](repeating: 0x20, count: 65_000))
    #expect(last.read(until: "in a moment").hasPrefix("HTTP/1.1 429 "))
    last.close()
    // By HTTP/2 as well, where the heads of requests count; one that is complete at once needs nothing.
    let url = "http://127.0.0.1:\(gateway.server.port)/short"
    let refused = await shell(
      "head -c 64000 /dev/zero | curl -sS --http2-prior-knowledge --data-binary @- \(url)")
    #expect(refused.contains("in a moment"), "\(refused)")
    #expect(await shell("curl -sS --http2-prior-knowledge \(url)") == "GET /short 0 false")
    for client in clients { client.close() }
    await eventually { gateway.metric("roost_gateway_held_body_bytes") == 0 }
    await gateway.stop()
  }

  @Test func `requests that wait for an instance have no more either`() async throws {
    let gateway = try GatewayFixture(heldBytes: 1)
    let peer = try gateway.peer("w") { _ in .hold }
    gateway.publish(at: [peer.path], outputs: [Variable(name: "y", type: .any)])
    let input = "{\"i\":\"" + String(repeating: "x", count: 15 << 20) + "\"}"
    let calls = (0..<5).map { _ in Task { try? await gateway.execute(input: input).status } }
    // One is with the instance, four wait.
    await eventually { gateway.metric("roost_gateway_held_body_bytes") >= 60 << 20 }
    let refused = try await gateway.execute(input: input)
    #expect(refused.status == 429 && refused.header("retry-after") != nil)
    #expect(refused.text.contains("all of the 67108864 bytes"))
    // Packed it is short.
    let packed = await run([
      TestProcess.python, "-c",
      """
      import grpc, threading
      from yandex.cloud.datasphere.v1 import node_service_pb2 as pb
      from yandex.cloud.datasphere.v1.node_service_pb2_grpc import NodeServiceStub
      message = pb.NodeExecutionRequest(folder_id="\(GatewayFixture.folder)", node_id="\(gateway.node)")
      message.input.update({"x": "x" * (10 << 20)})
      stub = NodeServiceStub(grpc.insecure_channel("127.0.0.1:\(gateway.server.port)"))
      try: stub.Execute(
          message, metadata=[("authorization", "Bearer \(GatewayFixture.good)")], compression=grpc.Compression.Gzip)
      except grpc.RpcError as error: print(error.code(), error.details())
      """,
    ]).text
    #expect(packed.contains("RESOURCE_EXHAUSTED") && packed.contains("bytes can't wait"), "\(packed)")
    let short = Task { try? await gateway.execute().status }
    await eventually { gateway.metric("roost_gateway_queue_length") == 5 }
    for done in 1...6 {
      await eventually { peer.heldCount == 1 && peer.executed.count == done }
      peer.release()
    }
    for call in calls + [short] { #expect(await call.value == 200) }
    #expect(gateway.metric("roost_gateway_held_body_bytes") == 0)
    await gateway.stop(peer)
  }

  @Test(arguments: [(100, 300_000), (2000, 15_000)])
  func `who asks for much and takes nothing is not answered on and on`(count: Int, size: Int) async throws {
    let gateway = try GatewayFixture()
    let client = gateway.dial()
    let requests = (0..<count).map {
      "GET /large\($0)?n=\(size) HTTP/1.1\r\nhost: h\r\nconnection: \($0 < count - 1 ? "keep-alive" : "close")\r\n\r\n"
    }
    client.writeAll(Array(requests.joined().utf8))
    // As many as fit into the socket's own buffers, and one. Others are answered on the same loop meanwhile, as often as all of
    // these would have been.
    await eventually { gateway.responder.large.current > 0 }
    for _ in 0..<count { _ = try await gateway.send(HTTPRequest(method: "GET", target: "/short")) }
    #expect(gateway.responder.large.current < count / 2)
    #expect(gateway.metric("roost_gateway_held_body_bytes") < 400_000)
    // Who takes them gets all, in their order.
    let text = client.read()
    #expect(text.ranges(of: "HTTP/1.1 200 OK\r\n").count == count)
    #expect(text.utf8.count > count * size)
    let order = text.split(separator: "/large").dropFirst().compactMap { Int($0.prefix { $0 != "?" }) }
    #expect(order == Array(0..<count))
    client.close()
    await eventually { gateway.metric("roost_gateway_held_body_bytes") == 0 }
    await gateway.stop()
  }

  @Test func `who shows nothing sends no more than a little`() async throws {
    let gateway = try GatewayFixture()
    for (token, count, status) in [("", 65_536, 200), ("", 65_537, 401), (Self.token, 65_537, 200)] {
      for isChunked in [false, true] {
        let client = gateway.dial()
        client.write(
          "POST /sent HTTP/1.1\r\nhost: h\r\n\(token)"
            + (isChunked
              ? "transfer-encoding: chunked\r\n\r\n\(String(count, radix: 16))\r\n"
              : "content-length: \(count)\r\n\r\n"))
        if status == 401, !isChunked {
          // It is known from the head already.
          #expect(client.read(until: "no token").hasPrefix("HTTP/1.1 401 "))
        } else {
          client.writeAll([UInt8](repeating: 0x20, count: count))
          if isChunked { client.write("\r\n0\r\n\r\n") }
          let answer = client.read(until: status == 401 ? "no token" : "POST /sent \(count)")
          #expect(answer.hasPrefix("HTTP/1.1 \(status) "))
        }
        client.close()
      }
    }
    await eventually { gateway.metric("roost_gateway_held_body_bytes") == 0 }
    await gateway.stop()
  }
}
