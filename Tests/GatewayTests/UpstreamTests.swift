import HTTPTransport
import TestSupport
import Testing

@Suite(.ownThread, .timeLimit(.minutes(5))) struct UpstreamTests {
  private func scripted(_ connections: String) throws -> PythonServer {
    try PythonServer(PythonServer.scripted(connections))
  }

  @Test func `nginx answers over one kept connection, by TCP and by unix socket`() async throws {
    let nginx = try await NginxServer("location / { return 200 'hello'; }")
    let driver = UpstreamDriver()
    for address in [nginx.address, nginx.unixAddress] {
      for _ in 0..<5 {
        let answer = await driver.call(.init(address: address))
        #expect(answer.status == 200 && answer.text == "hello" && answer.failure == nil)
      }
      #expect(await driver.open(address) == 1)
    }
    driver.stop()
    nginx.stop()
  }

  @Test func `large bodies pass both ways, counted and chunked, with pauses`() async throws {
    let echo = try PythonServer(
      """
      import http.server
      class H(http.server.BaseHTTPRequestHandler):
          protocol_version = "HTTP/1.1"
          def do_POST(self):
              if self.headers.get("transfer-encoding") == "chunked":
                  body = b""
                  while True:
                      n = int(self.rfile.readline(), 16)
                      if n == 0: break
                      body += self.rfile.read(n); self.rfile.readline()
                  while self.rfile.readline() not in (b"\\r\\n", b""): pass
              else: body = self.rfile.read(int(self.headers["content-length"]))
              self.send_response(200)
              if self.headers.get("x-chunks"):
                  self.send_header("transfer-encoding", "chunked"); self.end_headers()
                  for i in range(0, len(body), 100000):
                      p = body[i:i+100000]
                      self.wfile.write(b"%x\\r\\n%s\\r\\n" % (len(p), p))
                  self.wfile.write(b"0\\r\\nx-sum: %d\\r\\n\\r\\n" % (sum(body) % 1000))
              else:
                  self.send_header("content-length", str(len(body))); self.end_headers(); self.wfile.write(body)
          def log_message(self, *a): pass
      s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H)
      print(s.server_address[1], flush=True); s.serve_forever()
      """)
    let driver = UpstreamDriver()
    let part = [UInt8]((0..<100_000).map { UInt8($0 % 251) })
    let parts = [[UInt8]](repeating: part, count: 50)
    let sum = parts.joined().reduce(0) { ($0 + Int($1)) % 1000 }
    for (body, chunks) in [
      (UpstreamBody.counted(5_000_000), false), (.unknown, true), (.counted(5_000_000), true),
    ] {
      let answer = await driver.call(
        .init(
          address: echo.address, head: "POST / HTTP/1.1\r\nhost: t\r\n\(chunks ? "x-chunks: 1\r\n" : "")",
          body: body,
          parts: parts, pauses: 1))
      #expect(answer.status == 200 && answer.body == Array(parts.joined()))
      if chunks { #expect(answer.trailers == "x-sum: \(sum)\r\n") }
    }
    #expect(await driver.open(echo.address) == 1)
    driver.stop()
    echo.stop()
  }

  @Test func `connections of a burst serve the next one, and the surplus closes when it has rested`()
    async throws
  {
    // Answers a hundred at a time, each with the number of connections that it has taken so far.
    let server = try PythonServer(
      """
      import http.server, threading
      together, lock, taken = threading.Barrier(100), threading.Lock(), 0
      class H(http.server.BaseHTTPRequestHandler):
          protocol_version = "HTTP/1.1"
          def setup(self):
              global taken
              with lock: taken += 1
              super().setup()
          def do_GET(self):
              together.wait()
              body = b"%d" % taken
              self.send_response(200)
              self.send_header("content-length", str(len(body))); self.end_headers(); self.wfile.write(body)
          def log_message(self, *a): pass
      class S(http.server.ThreadingHTTPServer): request_queue_size = 200
      s = S(("127.0.0.1", 0), H)
      print(s.server_address[1], flush=True); s.serve_forever()
      """)
    var limits = UpstreamClient.Limits()
    limits.keptCount = 5
    limits.spareSeconds = 2
    let driver = UpstreamDriver(limits: limits)
    let address = server.address
    for _ in 0..<2 {
      let texts = await withTaskGroup { group in
        for _ in 0..<100 { group.addTask { await driver.call(.init(address: address)).text } }
        return await group.reduce(into: Set<String>()) { $0.insert($1) }
      }
      #expect(texts == ["100"])
      #expect(await driver.open(address) == 100)
    }
    await driver.settled(address, at: 5)
    #expect(await driver.open(address) == 5)
    driver.stop()
    server.stop()
  }

  @Test func `a body without a length ends with the connection`() async throws {
    let server = try scripted(#"[["head", b"HTTP/1.1 200 OK\r\n\r\nabc", 20, b"def"]]"#)
    let driver = UpstreamDriver()
    let answer = await driver.call(.init(address: server.address))
    #expect(answer.text == "abcdef" && answer.failure == nil)
    #expect(await driver.open(server.address) == 0)
    driver.stop()
    server.stop()
  }

  @Test func `heads are read in parts, interim answers are told, HEAD and 304 have no body`() async throws {
    let slow = (0..<10).map { _ in "b'x: y\\r\\n', 2" }.joined(separator: ", ")
    let server = try scripted(
      #"[["head", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early"#
        + #" Hints\r\nlink: a\r\n\r\nHTTP/1.1 200 OK\r\n", \#(slow), b"content-length: 2\r\n\r\nok","#
        + #" "head", b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n","#
        + #" "head", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 99\r\n\r\n","#
        + #" "head", b"HTTP/1.1 204 No Content\r\n\r\n"]]"#)
    let driver = UpstreamDriver()
    let first = await driver.call(.init(address: server.address))
    #expect(first.interim == [100, 103] && first.text == "ok" && first.headers.count == 11)
    let second = await driver.call(.init(address: server.address, head: "HEAD / HTTP/1.1\r\nhost: t\r\n"))
    #expect(second.status == 200 && second.body.isEmpty && second.failure == nil)
    #expect(await driver.call(.init(address: server.address)).status == 304)
    #expect(await driver.call(.init(address: server.address)).status == 204)
    driver.stop()
    server.stop()
  }

  @Test(arguments: [
    #"b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\na""#,
    #"b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n""#,
    #"b"HTTP/1.1 200 OK\nx: y\n\n""#, #"b"hello\r\n\r\n""#,
    #"b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n""#,
    #"b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\n\r\n""#,
  ]) func `an answer that can be read in two ways is refused`(bytes: String) async throws {
    let server = try scripted("[['head', \(bytes), 'eof']]")
    let driver = UpstreamDriver()
    let answer = await driver.call(.init(address: server.address))
    #expect(answer.failure?.kind == .malformed)
    #expect(await driver.open(server.address) == 0)
    driver.stop()
    server.stop()
  }

  @Test func `failures say whether something was sent and whether the connection was a kept one`()
    async throws
  {
    let driver = UpstreamDriver()
    let refused = await driver.call(.init(address: "127.0.0.1:\(TestProcess.closedPort())"))
    #expect(refused.failure?.kind == .connect && refused.failure?.nothingSent == true)
    #expect(await driver.call(.init(address: "unix:/tmp/roost-proxy-none")).failure?.kind == .connect)
    #expect(await driver.call(.init(address: "no address")).failure?.kind == .connect)
    let ok = #"b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok""#
    let server = try scripted(
      "[['head', \(ok), 'head'], ['head', 'reset'], ['head', b'HTTP/1.1 200 OK\\r\\ncontent-length: 9\\r\\n\\r\\nabc'],"
        + " ['head', b'HTTP/1.1 2'], ['head', \(ok), 'head', 'reset'],"
        + " ['head', \(ok), 'head', b'HTTP/1.1 200 OK\\r\\n\\r\\nabc', 'reset']]")
    #expect(await driver.call(.init(address: server.address)).text == "ok")
    let stale = await driver.call(.init(address: server.address))
    #expect(
      stale.failure?.kind == .closed && stale.failure?.isReused == true && stale.failure?.nothingSent == false
    )
    let reset = await driver.call(.init(address: server.address))
    #expect(reset.failure?.kind == .closed && reset.failure?.isReused == false && reset.failure?.code == 104)
    let short = await driver.call(.init(address: server.address))
    #expect(short.failure?.kind == .truncated && short.status == 200 && short.text == "abc")
    #expect(await driver.call(.init(address: server.address)).failure?.kind == .truncated)
    // The reset is there when the body is written: the write is told of it, reading finds only an end.
    #expect(await driver.call(.init(address: server.address)).text == "ok")
    let written = await driver.call(
      .init(address: server.address, body: .counted(1), parts: [[1]], stalls: 200))
    #expect(written.failure?.kind == .closed && written.failure?.code == 104)
    #expect(await driver.call(.init(address: server.address)).text == "ok")
    let cut = await driver.call(
      .init(address: server.address, body: .counted(1), parts: [[1]], stalls: 200))
    #expect(cut.failure?.kind == .truncated && cut.text == "abc")
    driver.stop()
    server.stop()
  }

  @Test
  func `a kept connection that the instance closes is dropped, and one it promises to close is not used`()
    async throws
  {
    let server = try scripted(
      #"[["head", b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na", 30],"#
        + #" ["head", b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\nkeep-alive: timeout=1\r\n\r\nb", "eof"],"#
        + #" ["head", b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close\r\n\r\nc", "eof"],"#
        + #" ["head", b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\ndHTTP/1.1 200 OK\r\n\r\n", "eof"]]"#)
    let driver = UpstreamDriver()
    for expected in ["a", "b", "c", "d"] {
      #expect(await driver.call(.init(address: server.address, unique: true)).text == expected)
      var open = await driver.open(server.address)
      let end = ContinuousClock.now + .seconds(5)
      while open > 0, ContinuousClock.now < end { open = await driver.open(server.address) }
      #expect(open == 0)
    }
    driver.stop()
    server.stop()
  }

  @Test func `an answer before the end of the request is read, even if the instance stops reading`()
    async throws
  {
    let server = try scripted(
      #"[["head", b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig"]]"#)
    let driver = UpstreamDriver()
    let part = [UInt8](repeating: 7, count: 1 << 20)
    let answer = await driver.call(
      .init(
        address: server.address, head: "POST / HTTP/1.1\r\nhost: t\r\n", body: .counted(64 << 20),
        parts: [[UInt8]](repeating: part, count: 64)))
    #expect(answer.status == 413 && answer.text == "big" && answer.failure == nil)
    #expect(await driver.open(server.address) == 0)
    driver.stop()
    server.stop()
  }

  @Test func `an upgraded connection passes bytes both ways and closes side by side`() async throws {
    let server = try scripted(
      #"[["head", b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nfirst", "echo"]]"#
    )
    let driver = UpstreamDriver()
    let answer = await driver.call(
      .init(
        address: server.address, head: "GET / HTTP/1.1\r\nhost: t\r\nconnection: upgrade\r\nupgrade: x\r\n",
        raw: Array(" and back".utf8)))
    #expect(answer.status == 101 && answer.text == "first and back")
    #expect(await driver.open(server.address) == 0)
    driver.stop()
    server.stop()
  }

  @Test func `a request that is given up closes its connection`() async throws {
    let server = try scripted(#"[["head", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", "eof"]]"#)
    let driver = UpstreamDriver()
    #expect(await driver.call(.init(address: server.address, cancelsAtHead: true)).status == 200)
    #expect(await driver.open(server.address) == 0)
    driver.stop()
    server.stop()
  }
}
