import Domain
import Gateway
import HTTPModel
import TestSupport
import Testing

@Suite(.ownThread, .timeLimit(.minutes(5))) struct ProxyTests {
  private func scripted(_ connections: String) throws -> PythonServer {
    try PythonServer(PythonServer.scripted(connections))
  }

  /// Answers with the head that it got.
  static let mirror = """
    import socket, threading
    s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(64); print(s.getsockname()[1], flush=True)
    def serve(p):
        rest = b""
        while True:
            while b"\\r\\n\\r\\n" not in rest:
                part = p.recv(65536)
                if not part: return
                rest += part
            head, rest = rest.split(b"\\r\\n\\r\\n", 1)
            p.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\nX-Own: 1\\r\\nConnection: x-secret\\r\\n"
                      b"X-Secret: s\\r\\nKeep-Alive: timeout=9\\r\\nX-Request-Id: theirs\\r\\nDate: then\\r\\n\\r\\n%s"
                      % (len(head), head))
    while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
    """

  @Test func `headers of the connection, of routing and credentials stay here, the caller's address goes on`()
    async throws
  {
    let server = try PythonServer(Self.mirror)
    let gateway = try GatewayFixture()
    gateway.publish(addresses: [server.address])
    let answer = try await gateway.request(
      "GET", "/a/b?c=d",
      headers: [
        (name: "connection", value: "x-hop, keep-alive"), (name: "x-hop", value: "1"),
        (name: "te", value: "trailers"),
        (name: "x-forwarded-for", value: "1.2.3.4"), (name: "forwarded", value: "for=1.2.3.4"),
        (name: "x-request-id", value: "mine-1"), (name: "accept", value: "text/x"),
        (name: "keep-alive", value: "timeout=1"), (name: "x-folder", value: "kept"),
      ])
    #expect(answer.status == 200 && answer.header("x-own") == "1" && answer.header("x-secret") == nil)
    #expect(answer.header("x-request-id") == "mine-1" && answer.header("keep-alive") == nil)
    #expect(answer.headers.filter { $0.name == "date" }.count == 1 && answer.header("date") != "then")
    #expect(answer.header("server-timing")?.contains("upstream;dur=") == true)
    let lines = answer.text.lowercased().split(separator: "\r\n").map(String.init)
    #expect(lines.first == "get /a/b?c=d http/1.1")
    for name in [
      "connection", "x-hop", "te", "authorization", "x-node-id", "x-folder-id", "keep-alive", "via",
    ] {
      #expect(!lines.contains { $0.hasPrefix(name + ":") }, "\(name)")
    }
    #expect(lines.contains("x-forwarded-for: 127.0.0.1") && lines.contains("x-forwarded-proto: http"))
    #expect(
      lines.contains {
        $0.hasPrefix("forwarded: for=127.0.0.1;host=\"127.0.0.1") && $0.hasSuffix("proto=http")
      })
    #expect(
      lines.contains("x-request-id: mine-1") && lines.contains("accept: text/x")
        && lines.contains("x-folder: kept"))
    #expect(lines.filter { $0.hasPrefix("host:") }.count == 1)

    gateway.publish(
      addresses: [server.address], generation: 2, proxying: RoutedProxying(passCredentials: true))
    let open = try await gateway.request()
    #expect(open.text.contains("authorization: Bearer") && open.text.contains("x-node-id: \(gateway.node)"))
    await gateway.settled()
    await gateway.stop()
    server.stop()
  }

  @Test func `a node is named by header, by host and by path`() async throws {
    let server = try PythonServer(Self.mirror)
    let gateway = try GatewayFixture()
    gateway.publish(addresses: [server.address])
    let token = (name: "authorization", value: "Bearer \(GatewayFixture.good)")
    let id = gateway.node.text
    let raw = gateway.dial()
    raw.write(
      "GET /x HTTP/1.1\r\nhost: \(id).nodes.example.com\r\nauthorization: Bearer \(GatewayFixture.good)\r\n\r\n"
    )
    let host = raw.read(until: "proto=http")
    #expect(host.contains("GET /x HTTP/1.1") && host.contains("\(id).nodes.example.com"))
    raw.close()
    for (target, seen) in [
      ("/nodes/\(id)/proxy/a?b", "/a?b"), ("/nodes/\(id)/proxy", "/"), ("/nodes/\(id)/proxy?q", "/?q"),
    ] {
      let path = try await gateway.send(
        HTTPRequest(method: "GET", target: target, headers: [token], body: []))
      #expect(path.text.hasPrefix("GET \(seen) HTTP/1.1"))
      #expect(path.text.contains("x-forwarded-prefix: /nodes/\(id)/proxy\r\n"))
    }
    #expect(
      try await gateway.send(
        HTTPRequest(method: "GET", target: "/nodes/\(id)/proxyz", headers: [token], body: [])
      ).text.hasPrefix("GET /nodes"))
    await gateway.stop()
    server.stop()
  }

  @Test func `who may not call is told why`() async throws {
    let server = try PythonServer(Self.mirror)
    let gateway = try GatewayFixture()
    gateway.publish(addresses: [server.address])
    let id = gateway.node.text
    func call(_ headers: [(name: String, value: String)]) async throws -> HTTPResponse {
      try await gateway.send(HTTPRequest(method: "GET", target: "/", headers: headers, body: []))
    }
    let token = (name: "authorization", value: "Bearer \(GatewayFixture.good)")
    let node = (name: "x-node-id", value: id)
    #expect(try await call([node]).status == 401)
    #expect(try await call([node, (name: "authorization", value: "Bearer bob:4000000000:t")]).status == 403)
    let folder = try await call([node, token, (name: "x-folder-id", value: GatewayFixture.other.text)])
    #expect(folder.status == 403 && folder.text.contains("ACL") && folder.header("x-roost-fault") == "caller")
    #expect(try await call([node, token]).status == 200)
    #expect(try await call([token, (name: "x-node-id", value: "node0000000000000000")]).status == 404)
    #expect(try await call([token, node, node]).status == 400)
    let alias = try await call([token, (name: "x-node-alias", value: "datasphere.user.a")])
    #expect(alias.status == 404 && alias.text.contains("alias 'datasphere.user.a' does not exist"))
    gateway.publish(addresses: [server.address], generation: 2, refusal: "node n is suspended")
    let refused = try await call([node, token])
    #expect(
      refused.status == 503 && refused.text.contains("suspended") && refused.header("x-roost-fault") == "node"
    )
    gateway.publish(
      addresses: [server.address], generation: 3,
      callerRateLimit: RateLimit(requestsPerSecond: 0.001, burst: 2)
    )
    #expect(try await call([node, token]).status == 200)
    #expect(try await call([node, token]).status == 200)
    let limited = try await call([node, token])
    #expect(
      limited.status == 429 && Int(limited.header("retry-after") ?? "") ?? 0 > 900
        && limited.text.contains("alice"))
    await gateway.settled()
    await gateway.stop()
    server.stop()
  }

  @Test func `bodies of any size pass both ways unchanged, over kept connections`() async throws {
    let echo = try PythonServer(
      """
      import http.server
      class H(http.server.BaseHTTPRequestHandler):
          protocol_version = "HTTP/1.1"
          def do_PUT(self):
              if self.headers.get("transfer-encoding"):
                  body = b""
                  while n := int(self.rfile.readline(), 16):
                      body += self.rfile.read(n); self.rfile.readline()
                  self.rfile.readline()
              else: body = self.rfile.read(int(self.headers["content-length"]))
              self.send_response(200)
              if self.path == "/chunks":
                  self.send_header("transfer-encoding", "chunked"); self.send_header("trailer", "x-t"); self.end_headers()
                  for i in range(0, len(body), 70000):
                      p = body[i:i+70000]; self.wfile.write(b"%x\\r\\n%s\\r\\n" % (len(p), p))
                  self.wfile.write(b"0\\r\\nx-t: %d\\r\\n\\r\\n" % len(body))
              else:
                  self.send_header("content-length", str(len(body))); self.end_headers(); self.wfile.write(body)
          def log_message(self, *a): pass
      s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H)
      print(s.server_address[1], flush=True); s.serve_forever()
      """)
    let gateway = try GatewayFixture()
    gateway.publish(addresses: [echo.address])
    for size in [0, 1, 16384, 70_000, 5_000_000] {
      let body = (0..<size).map { UInt8($0 % 253) }
      for target in ["/", "/chunks"] {
        let answer = try await gateway.request("PUT", target, body: body)
        #expect(answer.status == 200 && answer.body == body, "\(size) \(target)")
      }
    }
    let raw = gateway.dial()
    raw.write("PUT /chunks HTTP/1.1\r\n\(gateway.rawHeaders)transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
    raw.write("2\r\nde\r\n0\r\nx: y\r\n\r\n")
    #expect(raw.read(until: "x-t: 5\r\n\r\n").contains("5\r\nabcde\r\n"))
    raw.close()
    await gateway.settled()
    await gateway.stop()
    echo.stop()
  }

  @Test func `parts of an answer arrive as they are made, and interim answers before it`() async throws {
    let server = try scripted(
      #"[["head", b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n", "#
        + #"b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n", 300, b"data: 2\n\n", "eof"]]"#
    )
    let gateway = try GatewayFixture()
    gateway.publish(addresses: [server.address])
    let raw = gateway.dial()
    raw.write("GET / HTTP/1.1\r\n\(gateway.rawHeaders)\r\n")
    let first = raw.read(until: "data: 1")
    #expect(first.hasPrefix("HTTP/1.1 103 ") && first.contains("link: a") && !first.contains("data: 2"))
    #expect(raw.read(until: "data: 2").contains("data: 2"))
    // The caller goes away: so does the request to the instance.
    raw.close()
    await gateway.settled()
    #expect(gateway.metric("roost_gateway_cancelled_requests_total") == 1)
    await gateway.stop()
    server.stop()
  }

  @Test func `an expectation is answered by the instance, and an early answer ends the request`() async throws
  {
    let server = try scripted(
      #"[["head", b"HTTP/1.1 100 Continue\r\n\r\n", 50, b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"],"#
        + #" ["head", b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno", "eof"]]"#)
    let gateway = try GatewayFixture()
    gateway.publish(addresses: [server.address])
    let raw = gateway.dial()
    raw.write("POST / HTTP/1.1\r\n\(gateway.rawHeaders)expect: 100-continue\r\ncontent-length: 3\r\n\r\n")
    #expect(raw.read(until: "\r\n\r\n").hasPrefix("HTTP/1.1 100 Continue"))
    raw.write("abc")
    #expect(raw.read(until: "ok").contains("200 OK"))
    let early = gateway.dial()
    early.write("POST / HTTP/1.1\r\n\(gateway.rawHeaders)content-length: 1000000\r\n\r\nabc")
    let text = early.read()
    #expect(text.contains("403 Forbidden") && text.hasSuffix("no"))
    await gateway.settled()
    await gateway.stop()
    server.stop()
  }

  @Test func `a WebSocket passes bytes both ways and ends side by side`() async throws {
    let server = try scripted(
      #"[["head", b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"#
        + #"sec-websocket-accept: x\r\n\r\nhello ", "echo"]]"#)
    let gateway = try GatewayFixture()
    gateway.publish(addresses: [server.address])
    let raw = gateway.dial()
    raw.write("GET /ws HTTP/1.1\r\n\(gateway.rawHeaders)connection: Upgrade\r\nupgrade: websocket\r\n\r\n")
    let head = raw.read(until: "hello ")
    #expect(head.hasPrefix("HTTP/1.1 101 ") && head.contains("sec-websocket-accept: x"))
    raw.write("one")
    #expect(raw.read(until: "one") == "one")
    raw.write("two")
    #expect(raw.read(until: "two") == "two")
    raw.close()
    await gateway.settled()
    await gateway.stop()
    server.stop()
  }

  @Test func `a WebSocket is told that the instance goes away, between two frames`() async throws {
    let server = try scripted(
      #"[["head", b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n\x81\x05he", 200,"#
        + #" b"llo", "eof"]]"#)
    let gateway = try GatewayFixture()
    gateway.publish(addresses: [server.address])
    let raw = gateway.dial()
    raw.write("GET /ws HTTP/1.1\r\n\(gateway.rawHeaders)connection: Upgrade\r\nupgrade: websocket\r\n\r\n")
    #expect(raw.read(until: "he").contains("101"))
    gateway.publish(addresses: [], generation: 2)
    gateway.endStreams()
    let bytes = Array(raw.read().utf8)
    #expect(bytes.starts(with: Array("llo".utf8)) && bytes.count > 4)
    raw.close()
    await gateway.settled()
    await gateway.stop()
    server.stop()
  }

  @Test func `a WebSocket at an instance that leaves goes on until its time to drain is over`() async throws {
    let server = try scripted(
      #"[["head", b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n", "echo"]]"#
    )
    let gateway = try GatewayFixture()
    gateway.publish(addresses: [server.address])
    let raw = gateway.dial()
    raw.write("GET /ws HTTP/1.1\r\n\(gateway.rawHeaders)connection: Upgrade\r\nupgrade: websocket\r\n\r\n")
    #expect(raw.read(until: "\r\n\r\n").contains("101"))
    gateway.publish(addresses: [], generation: 2)
    for _ in 0..<3 {
      raw.write("\u{1}\u{5}hello")
      #expect(raw.read(until: "hello").hasSuffix("hello"))
    }
    gateway.endStreams()
    #expect(raw.readBytes().prefix(4) == [0x88, 0x02, 0x03, 0xe9])
    raw.close()
    await gateway.settled()
    await gateway.stop()
    server.stop()
  }

  @Test(arguments: [true, false]) func `a WebSocket that opens while its way closes is told so at once`(
    drains: Bool
  ) async throws {
    let server = try scripted(
      #"[["head", 500, b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n", "eof"]]"#
    )
    let gateway = try GatewayFixture()
    gateway.publish(addresses: [server.address])
    let raw = gateway.dial()
    raw.write("GET /ws HTTP/1.1\r\n\(gateway.rawHeaders)connection: Upgrade\r\nupgrade: websocket\r\n\r\n")
    await eventually { gateway.metric("roost_gateway_in_flight_requests") == 1 }
    let draining = Task { if drains { await gateway.server.drain(grace: .seconds(30)) } }
    if !drains {
      gateway.publish(addresses: [], generation: 2)
      gateway.endStreams()
    }
    let bytes = raw.readBytes()
    #expect(String(decoding: bytes, as: UTF8.self).hasPrefix("HTTP/1.1 101 "))
    #expect(bytes.suffix(4) == [0x88, 0x02, 0x03, 0xe9], "a close frame of status 1001")
    raw.close()
    await draining.value
    await gateway.settled()
    await gateway.stop()
    server.stop()
  }
}

/// Failures of instances, overload and deadlines.
@Suite(.ownThread, .timeLimit(.minutes(5))) struct ProxyFailureTests {
  private func scripted(_ connections: String) throws -> PythonServer {
    try PythonServer(PythonServer.scripted(connections))
  }
  private static let ok = #"b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok""#

  @Test func `an instance that can't be reached is passed over, and none at all is 503 that names it`()
    async throws
  {
    let server = try scripted(
      "[['head', \(Self.ok), 'head', \(Self.ok), 'head', \(Self.ok), 'head', \(Self.ok), 'eof']]")
    let gateway = try GatewayFixture()
    let nobody = "127.0.0.1:\(TestProcess.closedPort())"
    gateway.publish(addresses: [nobody, server.address])
    for _ in 0..<4 { #expect(try await gateway.request("POST", "/", body: [1]).status == 200) }
    gateway.publish(addresses: [nobody], generation: 2)
    let answer = try await gateway.request()
    #expect(answer.status == 503 && answer.header("x-roost-fault") == "node")
    #expect(answer.text.contains(nobody) && answer.text.contains("refused") && answer.text.contains("ins0"))
    await gateway.settled()
    await gateway.stop()
    server.stop()
  }

  @Test func `an instance is not blamed for what the server lacks itself`() async throws {
    var files = OpenFileShares.unbounded
    files.instances = 3
    let gateway = try GatewayFixture(openFiles: files)
    for isHTTP2 in [false, true] {
      gateway.publish(
        addresses: ["127.0.0.1:\(TestProcess.closedPort())"], isHTTP2 ? .http2 : .http1,
        generation: isHTTP2 ? 2 : 1)
      let answer = try await gateway.request()
      #expect(answer.status == 503 && answer.header("x-roost-fault") == "platform")
      #expect(answer.text.contains("can't open another connection (Too many open files)"))
    }
    #expect(gateway.observed.isEmpty)
    await gateway.settled()
    await gateway.stop()
  }

  @Test func `a kept connection that died is replaced for what may be repeated, else the answer is 502`()
    async throws
  {
    let server = try scripted(
      "[['head', \(Self.ok), 'head', 'reset'], ['head', \(Self.ok), 'head', 'reset']]")
    let gateway = try GatewayFixture()
    gateway.publish(addresses: [server.address])
    #expect(try await gateway.request().status == 200)
    #expect(try await gateway.request().status == 200)
    let post = try await gateway.request("POST", "/", body: [1, 2])
    #expect(
      post.status == 502 && post.header("x-roost-fault") == "node" && post.text.contains("before an answer"))
    await gateway.settled()
    await gateway.stop()
    server.stop()
  }

  @Test func `an answer that breaks off is not given out as whole`() async throws {
    let server = try scripted(
      #"[["head", b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\nabc"], ["head", b"HTTP/1.1 200 OK\r\n"#
        + #"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"], ["head", b"nonsense\r\n\r\n"]]"#)
    let gateway = try GatewayFixture()
    gateway.publish(addresses: [server.address])
    for _ in 0..<2 {
      let raw = gateway.dial()
      raw.write("GET / HTTP/1.1\r\n\(gateway.rawHeaders)\r\n")
      let text = raw.read()
      #expect(text.contains("200 OK") && text.contains("abc") && !text.hasSuffix("0\r\n\r\n"))
    }
    let bad = try await gateway.request()
    #expect(bad.status == 502 && bad.text.contains("does not answer in HTTP"))
    await gateway.settled()
    await gateway.stop()
    server.stop()
  }

  @Test func `the first byte of an answer is waited for from the end of the body, over kept connections too`()
    async throws
  {
    let server = try scripted(
      "[['head', \(Self.ok), 'head', 'eof'], ['head', 1500, \(Self.ok), 'eof']]")
    let gateway = try GatewayFixture()
    gateway.publish(
      addresses: [server.address],
      proxying: RoutedProxying(firstByteTimeoutMilliseconds: 1000, idleTimeoutMilliseconds: 3_600_000))
    #expect(try await gateway.request().status == 200)
    // The body comes behind the head, when the request is under way. No other deadline would end it.
    let silent = gateway.dial()
    silent.write("POST / HTTP/1.1\r\n\(gateway.rawHeaders)content-length: 1\r\n\r\na")
    #expect(silent.read(until: "first-byte timeout of 1000 ms").hasPrefix("HTTP/1.1 504 "))
    silent.close()
    // An upload may take longer.
    let raw = gateway.dial()
    raw.write("POST / HTTP/1.1\r\n\(gateway.rawHeaders)content-length: 5\r\n\r\n")
    for _ in 0..<5 {
      try await Task.sleep(for: .milliseconds(400))
      raw.write("a")
    }
    #expect(raw.read(until: "ok").hasPrefix("HTTP/1.1 200 "))
    await gateway.settled()
    await gateway.stop()
    server.stop()
  }

  @Test func `each deadline says that it was the one`() async throws {
    let server = try scripted(
      #"[["head", "eof"], ["head", b"HTTP/1.1 200 OK\r\ncontent-length: 20000\r\n\r\nab", "eof"], ["head", "eof"], ["head", "eof"]]"#
    )
    let gateway = try GatewayFixture()
    gateway.publish(addresses: [server.address], proxying: RoutedProxying(firstByteTimeoutMilliseconds: 100))
    let first = try await gateway.request()
    #expect(first.status == 504 && first.text.contains("first-byte timeout of 100 ms"))
    gateway.publish(
      addresses: [server.address], generation: 2, proxying: RoutedProxying(idleTimeoutMilliseconds: 100))
    let raw = gateway.dial()
    raw.write("GET / HTTP/1.1\r\n\(gateway.rawHeaders)\r\n")
    #expect(raw.read().hasSuffix("ab"))
    gateway.publish(addresses: [server.address], generation: 3, timeout: 100)
    let total = try await gateway.request()
    #expect(total.status == 504 && total.text.contains("node's timeout of 100 ms"))
    let callers = try await gateway.request(headers: [(name: "grpc-timeout", value: "50m")])
    #expect(callers.status == 504 && callers.text.contains("grpc-timeout"))
    // A port that nobody accepts on and whose queue is full takes no connection.
    let full = try PythonServer(
      """
      import socket, time
      s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(0); a = s.getsockname(); held = []
      for i in range(3):
          c = socket.socket(); c.setblocking(False); c.connect_ex(a); held.append(c)
      time.sleep(0.1); print(a[1], flush=True); time.sleep(60)
      """)
    gateway.publish(
      addresses: [full.address], generation: 4, proxying: RoutedProxying(connectTimeoutMilliseconds: 100))
    let connect = try await gateway.request()
    #expect(connect.status == 503 && connect.text.contains("connect timeout of 100 ms ended"))
    await gateway.settled()
    await gateway.stop()
    server.stop()
    full.stop()
  }

  @Test func `more than the places wait in the queue, more than the queue is 429`() async throws {
    let gate = try PythonServer(
      """
      import socket, threading
      s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(64); print(s.getsockname()[1], flush=True)
      lock = threading.Event()
      def serve(p):
          while True:
              d = p.recv(65536)
              if not d: return
              if b"/open" in d: lock.set()
              else: lock.wait()
              p.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\nok")
      while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
      """)
    let gateway = try GatewayFixture()
    gateway.publish(addresses: [gate.address], queueLimit: 2, limit: 2)
    let calls = (0..<4).map { index in
      Task { try? await gateway.request("POST", "/", body: [UInt8](repeating: 7, count: index * 100_000)) }
    }
    await eventually { gateway.metric("roost_gateway_queue_length") == 2 }
    let refused = try await gateway.request()
    #expect(
      refused.status == 429 && refused.text.contains("queue")
        && Int(refused.header("retry-after") ?? "") ?? 0 >= 1)
    let direct = RawClient(port: gate.port)
    direct.write("GET /open HTTP/1.1\r\n\r\n")
    _ = direct.read(until: "ok")
    for call in calls { #expect(await call.value?.status == 200) }
    await gateway.settled()
    await gateway.stop()
    gate.stop()
  }

  @Test func `an instance that fails five times in a row rests while there is another`() async throws {
    let bad = try PythonServer(
      """
      import http.server
      class H(http.server.BaseHTTPRequestHandler):
          protocol_version = "HTTP/1.1"
          def do_GET(self): self.send_response(500); self.send_header("content-length", "0"); self.end_headers()
          def log_message(self, *a): pass
      s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H); print(s.server_address[1], flush=True); s.serve_forever()
      """)
    let nginx = try await NginxServer("location / { return 200 'fine'; }")
    let gateway = try GatewayFixture()
    gateway.publish(addresses: [bad.address, nginx.address])
    var failures = 0
    for _ in 0..<40 where try await gateway.request().status == 500 { failures += 1 }
    #expect(failures == 5)
    gateway.publish(addresses: [bad.address], generation: 2)
    #expect(try await gateway.request().status == 500, "the last one is used all the same")
    await gateway.settled()
    await gateway.stop()
    bad.stop()
    nginx.stop()
  }
}
