import Gateway
import Glibc
import Reactor
import Telemetry
import TestSupport
import Testing

/// Runs a command of the shell on a thread of its own; what it wrote to both of its outputs.
func shell(_ command: String) async -> String {
  await withCheckedContinuation { continuation in
    let thread = LoopThread(name: "shell") {
      var all: [UInt8] = []
      if let pipe = popen("(\(command)) 2>&1", "r") {
        var part = [UInt8](repeating: 0, count: 65536)
        while true {
          let count = fread(&part, 1, part.count, pipe)
          guard count > 0 else { break }
          all += part[0..<count]
        }
        pclose(pipe)
      }
      continuation.resume(returning: String(decoding: all, as: UTF8.self))
    }
    thread?.detach()
    if thread == nil { continuation.resume(returning: "no thread") }
  }
}

/// The gateway's own requests over HTTP/2, by stock clients.
@Suite(.ownThread, .timeLimit(.minutes(5))) struct HTTP2Tests {
  private func url(_ gateway: GatewayFixture, _ path: String) -> String {
    "http://127.0.0.1:\(gateway.server.port)\(path)"
  }

  @Test func `an execute request over HTTP/2 is answered as one over HTTP/1`() async throws {
    let gateway = try GatewayFixture()
    let peer = try gateway.peer("w") { .output("{\"echo\":\($0.input)}") }
    gateway.publish([peer])
    let answer = await shell(
      """
      curl -sS -i --http2-prior-knowledge -H 'authorization: Bearer \(GatewayFixture.good)' \
      -H 'x-request-id: my-id.2' -d '{"folder_id":"\(GatewayFixture.folder)","input":{"a":1}}' \
      '\(url(gateway, "/datasphere/v1/nodes/\(gateway.node):execute"))'
      """)
    #expect(answer.hasPrefix("HTTP/2 200"), "\(answer)")
    #expect(answer.contains("x-request-id: my-id.2\r\n"))
    #expect(answer.contains("server-timing: queue;dur="))
    #expect(answer.hasSuffix("{\"output\":{\"echo\":{\"a\":1}}}"))
    #expect(peer.executed.map(\.requestID) == ["my-id.2"])
    let refused = await shell(
      "curl -sS -i --http2-prior-knowledge -d '{}' "
        + "'\(url(gateway, "/datasphere/v1/nodes/\(gateway.node):execute"))'")
    #expect(refused.hasPrefix("HTTP/2 401"), "\(refused)")
    #expect(refused.contains("Authorization: Bearer"))
    await gateway.stop(peer)
  }

  @Test func `the responder's requests come over HTTP/2, with bodies of many frames`() async throws {
    let gateway = try GatewayFixture()
    let small = await shell("curl -sS -i --http2-prior-knowledge '\(url(gateway, "/datasphere/v2/x?y=1"))'")
    #expect(small.hasPrefix("HTTP/2 200"), "\(small)")
    #expect(small.hasSuffix("GET /datasphere/v2/x?y=1 0 false"), "\(small)")
    let upload = "curl -sS --http2-prior-knowledge --data-binary @- '\(url(gateway, "/up"))'"
    let large = await shell(
      "head -c 5000000 /dev/zero | \(upload) -H 'authorization: Bearer \(GatewayFixture.good)'")
    #expect(large == "POST /up 5000000 false")
    // Who shows no token sends no more than a little.
    let ours = await shell("head -c 60000 /dev/zero | \(upload)")
    #expect(ours == "POST /up 60000 false")
    let anybodys = await shell("head -c 5000000 /dev/zero | \(upload)")
    #expect(anybodys.contains("no token"), "\(anybodys)")
    let tooLarge = await shell(
      "head -c 17000000 /dev/zero | curl -sS -o /dev/null -w '%{http_code}' --http2-prior-knowledge "
        + "--data-binary @- '\(url(gateway, "/up"))'")
    #expect(tooLarge.hasPrefix("413"), "\(tooLarge)")
    let head = await shell("curl -sS -I --http2-prior-knowledge '\(url(gateway, "/x"))'")
    #expect(head.hasPrefix("HTTP/2 200") && head.contains("content-length: 15"), "\(head)")
    await gateway.stop()
  }

  @Test func `many streams of execute requests on many connections are all answered`() async throws {
    let gateway = try GatewayFixture()
    let peer = try gateway.peer("w") { _ in .output("{\"y\":2}") }
    gateway.publish([peer])
    let body = gateway.folderPath + "/body.json"
    let report = await shell(
      """
      echo '{"folder_id":"\(GatewayFixture.folder)","input":{"a":1}}' >\(body) && \
      h2load -n 3000 -c 8 -m 32 -d \(body) -H 'authorization: Bearer \(GatewayFixture.good)' \
      '\(url(gateway, "/datasphere/v1/nodes/\(gateway.node):execute"))'; rm \(body)
      """)
    #expect(report.contains("3000 total, 3000 started, 3000 done, 3000 succeeded, 0 failed"), "\(report)")
    #expect(report.contains("status codes: 3000 2xx"))
    #expect(peer.executed.count == 3000)
    let metrics = String(decoding: gateway.metrics.text(), as: UTF8.self)
    #expect(metrics.contains("roost_gateway_http2_requests_total 3000"), "\(metrics)")
    await gateway.stop(peer)
  }
}
