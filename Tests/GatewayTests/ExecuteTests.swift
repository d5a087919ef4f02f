import Domain
import Gateway
import HTTPModel
import Telemetry
import TestSupport
import Testing
import Wire

@Suite(.ownThread, .timeLimit(.minutes(5))) struct ExecuteTests {
  @Test func `an execute request reaches the worker and its outputs come back`() async throws {
    let gateway = try GatewayFixture(log: true)
    let peer = try gateway.peer("w") { .output("{\"echo\":\($0.input)}") }
    gateway.publish([peer])
    let answer = try await gateway.execute(
      input: "{\"a\": [1, \"é\"]}", headers: [("x-request-id", "my-id.1")])
    #expect(answer.status == 200)
    #expect(answer.text == "{\"output\":{\"echo\":{\"a\": [1, \"é\"]}}}")
    #expect(answer.header("x-request-id") == "my-id.1")
    #expect(answer.header("server-timing")?.contains("upstream;dur=") == true)
    #expect(peer.executed.map(\.requestID) == ["my-id.1"])
    #expect((14000...15000).contains(peer.executed.first?.timeout ?? 0))
    let unnamed = try await gateway.execute(headers: [("x-request-id", "not safe")])
    #expect(unnamed.header("x-request-id")?.hasPrefix("req") == true)
    let metrics = String(decoding: gateway.metrics.text(), as: UTF8.self)
    #expect(metrics.contains("node_requests_total{node=\"\(gateway.node)\"} 2"))
    #expect(metrics.contains("node_http_codes_total{node=\"\(gateway.node)\",code=\"200\"} 2"))
    #expect(gateway.verifier.checks.current == 1, "the second verdict comes from the cache")
    await gateway.stop(peer)
  }

  @Test func `every refusal has its status, says whose fault it is and names the fix`() async throws {
    let gateway = try GatewayFixture()
    let peer = try gateway.peer("w") { _ in .output("{}") }
    gateway.publish([peer], revoked: ["gone"])
    let folder = GatewayFixture.folder
    func expect(_ status: Int, _ part: String, _ answer: HTTPResponse) {
      #expect(answer.status == status)
      #expect(answer.text.contains(part), "\(answer.text)")
      #expect(answer.header("x-roost-fault") == "caller")
      #expect(answer.header("x-request-id")?.isEmpty == false)
    }
    let anonymous = try await gateway.execute(token: nil)
    expect(401, "Authorization: Bearer", anonymous)
    #expect(anonymous.header("www-authenticate") == "Bearer realm=\"roost\"")
    expect(401, "malformed", try await gateway.execute(token: "x"))
    expect(401, "expired", try await gateway.execute(token: "alice:1:t"))
    expect(401, "revoked", try await gateway.execute(token: "alice:4000000000:gone"))
    expect(403, "\(folder)", try await gateway.execute(token: "bob:4000000000:t"))
    expect(404, "does not exist", try await gateway.execute(node: "nod00000000000000000"))
    expect(404, "does not exist", try await gateway.execute(node: "x"))
    expect(400, "folder_id: missing", try await gateway.execute(body: "{\"input\":{}}"))
    expect(400, "input: missing", try await gateway.execute(body: "{\"folder_id\":\"\(folder)\"}"))
    expect(
      403, "\(GatewayFixture.other)",
      try await gateway.execute(body: "{\"folder_id\":\"\(GatewayFixture.other)\",\"input\":{}}"))
    expect(400, "byte 0", try await gateway.execute(body: "x"))
    expect(400, "the body is empty", try await gateway.execute(body: ""))
    expect(400, "grpc-timeout", try await gateway.execute(headers: [("grpc-timeout", "5")]))
    #expect(peer.executed.isEmpty)
    gateway.publish([peer], generation: 2, refusal: "node n is suspended; resume it")
    let suspended = try await gateway.execute()
    #expect(suspended.status == 503 && suspended.text.contains("suspended"))
    #expect(suspended.header("x-roost-fault") == "node")
    #expect(!gateway.server.publish(RoutingTable(generation: 1)), "an older table is refused")
    await gateway.stop(peer)
  }

  @Test func `errors of the worker become statuses with details`() async throws {
    let gateway = try GatewayFixture()
    let peer = try gateway.peer("w") { seen in
      let kind = seen.input.split(separator: "\"").dropFirst(3).first.map(String.init) ?? ""
      return .error(
        "{\"kind\":\"\(kind)\",\"errorName\":\"ValueError\",\"errorMessage\":\"bad\",\"traceback\":[\"line 1\"]}"
      )
    }
    gateway.publish([peer])
    let expected = [
      ("input", 400, 3), ("cell", 500, 2), ("output", 500, 13), ("timeout", 504, 4), ("memory", 500, 13),
      ("network", 500, 2), ("cancelled", 499, 1),
    ]
    for (kind, status, code) in expected {
      let answer = try await gateway.execute(input: "{\"kind\":\"\(kind)\"}")
      #expect(answer.status == status)
      let body = try JSONValue(parsing: answer.body)
      #expect(body["code"] == .integer(Int64(code)))
      let details = body["details"]?.arrayValue?.first
      #expect(details?["error_name"] == "ValueError" && details?["traceback"] == ["line 1"])
    }
    await gateway.stop(peer)
  }

  @Test func `bodies over the limit are refused with the limit and the size`() async throws {
    let gateway = try GatewayFixture(requestLimit: 1000, responseLimit: 100)
    let peer = try gateway.peer("w") { .output($0.input) }
    gateway.publish([peer])
    let big = try await gateway.execute(input: "{\"a\":\"" + String(repeating: "x", count: 2000) + "\"}")
    #expect(big.status == 413 && big.text.contains("1000 bytes") && big.text.contains("it has 2"))
    let raw = gateway.dial()
    raw.write(
      "POST /datasphere/v1/nodes/\(gateway.node):execute HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    raw.write("3e8\r\n" + String(repeating: " ", count: 1000) + "\r\n1\r\nx\r\n")
    #expect(raw.read().contains("413 Content Too Large"))
    let answer = try await gateway.execute(input: "{\"a\":\"" + String(repeating: "y", count: 500) + "\"}")
    #expect(answer.status == 413 && answer.text.contains("at most 100 bytes"))
    #expect(try await gateway.execute().status == 200, "the connection to the worker still works")
    await gateway.stop(peer)
  }

  @Test func `a chunked body in small pieces is executed`() async throws {
    let gateway = try GatewayFixture()
    let peer = try gateway.peer("w") { .output($0.input) }
    gateway.publish([peer])
    let raw = gateway.dial()
    let head =
      "POST /datasphere/v1/nodes/\(gateway.node):execute HTTP/1.1\r\nhost: x\r\nauthorization: bearer \(GatewayFixture.good)\r\n"
    let body = "{\"folderId\":\"\(GatewayFixture.folder)\",\"input\":{\"v\":1}}"
    var message = head + "transfer-encoding: chunked\r\n\r\n"
    for byte in body { message += "1\r\n\(byte)\r\n" }
    message += "0\r\n\r\n"
    for byte in message { raw.write(String(byte)) }
    #expect(raw.read(until: "{\"output\":{\"v\":1}}").contains("200 OK"))
    raw.write(message + head + "content-length: \(body.utf8.count)\r\nconnection: close\r\n\r\n" + body)
    #expect(
      raw.read().ranges(of: "{\"output\":{\"v\":1}}").count == 2, "pipelined requests are answered in order")
    await gateway.stop(peer)
  }

  @Test func `other paths go to the responder and are cancelled with their client`() async throws {
    let gateway = try GatewayFixture()
    let answer = try await gateway.send(
      HTTPRequest(
        method: "PUT", target: "/v1/things?x=1",
        headers: [(name: "authorization", value: "Bearer \(GatewayFixture.good)")],
        body: [UInt8](repeating: 65, count: 100_000)))
    #expect(answer.text == "PUT /v1/things?x=1 100000 false")
    let head = try await gateway.send(HTTPRequest(method: "HEAD", target: "/v1"))
    #expect(head.status == 200 && head.body.isEmpty)
    let raw = gateway.dial()
    raw.write("GET /wait HTTP/1.1\r\nhost: x\r\n\r\n")
    await eventually { gateway.responder.waiting.current == 1 }
    raw.close()
    await eventually { gateway.responder.cancelled.current == 1 }
    await gateway.stop()
  }

  @Test(arguments: [
    "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", "GET / HTTP/1.1\n\n", "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/3.0\r\n\r\n",
    "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
  ])
  func `an ambiguous request is refused and its connection closed`(text: String) async throws {
    let gateway = try GatewayFixture()
    let raw = gateway.dial()
    raw.write(text + "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n")
    let answer = raw.read()
    #expect(answer.hasPrefix("HTTP/1.1 400 ") || answer.hasPrefix("HTTP/1.1 505 "))
    #expect(answer.contains("connection: close") && answer.ranges(of: "x-request-id: ").count == 1)
    await gateway.stop()
  }
}
