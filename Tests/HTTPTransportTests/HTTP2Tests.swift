import CLinux
import Glibc
import HTTPTransport
import TestSupport
import Testing

@Suite(.ownThread, .timeLimit(.minutes(5))) struct HTTP2Tests {
  @Test func `a request is translated to the head that the gateway knows`() throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let client = FrameClient(port: server.port)
    client.headers(
      1,
      FrameClient.request(
        "POST", "/collect?x=1",
        [
          ("cookie", "a=1"), ("te", "trailers"), ("cookie", "b=2"),
          ("content-type", "application/grpc+proto"),
        ]),
      ends: false)
    client.data(1, [1, 2, 3], ends: true)
    let answer = client.answer(1)
    #expect(answer.status == "200")
    #expect(
      String(decoding: answer.body, as: UTF8.self)
        == """
        POST /collect?x=1 3
        host=a.example
        te=trailers
        content-type=application/grpc+proto
        cookie=a=1; b=2
        http2=true grpc=true tls=false

        """)
    client.headers(
      3, [(":method", "GET"), (":scheme", "http"), (":path", "/collect"), ("host", "b.example")])
    #expect(String(decoding: client.answer(3).body, as: UTF8.self).contains("host=b.example\n"))
    client.headers(5, FrameClient.request("GET", "/collect", [("host", "b.example")]))
    #expect(client.answer(5).status == "400", "two different hosts")
  }

  @Test(arguments: [
    [(":method", "GET"), (":scheme", "http"), (":path", "/collect"), ("Upper", "x")],
    [(":method", "GET"), (":scheme", "http"), (":path", "/collect"), ("connection", "close")],
    [(":method", "GET"), (":scheme", "http"), (":path", "/collect"), ("transfer-encoding", "chunked")],
    [(":method", "GET"), (":scheme", "http"), (":path", "/collect"), ("upgrade", "websocket")],
    [(":method", "GET"), (":scheme", "http"), (":path", "/collect"), ("te", "gzip")],
    [(":method", "GET"), (":scheme", "http"), (":path", "/collect"), ("x", "a\r\nb: c")],
    [(":method", "GET"), (":scheme", "http"), (":path", "/collect"), (":method", "GET")],
    [(":method", "GET"), (":scheme", "http"), (":path", "/collect"), (":status", "200")],
    [(":method", "GET"), (":scheme", "http"), ("accept", "x"), (":path", "/collect")],
    [(":method", "GET"), (":scheme", "http")],
    [(":method", "GET"), (":scheme", "http"), (":path", "/collect")],
    [(":method", "GET"), (":scheme", "http"), (":path", "")],
  ]) func `a malformed request is reset, and the connection goes on`(_ fields: [(String, String)]) throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let client = FrameClient(port: server.port)
    client.headers(1, fields)
    let answer = client.answer(1)
    #expect(answer.status == nil)
    #expect(answer.reset == 1, "PROTOCOL_ERROR")
    client.get(3, "/collect")
    #expect(client.answer(3).status == "200")
  }

  @Test func `what the one parser refuses is refused with a status`() throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let client = FrameClient(port: server.port)
    client.headers(1, FrameClient.request("GET", "*"))
    #expect(client.answer(1).status == nil, "the library's own rule: * is for OPTIONS")
    client.headers(3, FrameClient.request("GET", "/a#b"))
    #expect(client.answer(3).status == "400", "a fragment")
    client.headers(5, FrameClient.request("GET", "/a\u{e9}"))
    let answer = client.answer(5)
    #expect(answer.status == "400" || answer.reset == 1)
    client.headers(7, FrameClient.request("GET", "/collect", (0..<120).map { ("x-\($0)", "y") }))
    #expect(client.answer(7).status == "431", "too many headers")
    client.headers(9, [(":method", "CONNECT"), (":authority", "a:1")])
    #expect(client.answer(9).status == "501")
    for (index, long) in ["x-a", "x-b", "x-c", "x-d", "x-e"].enumerated() {
      let stream = UInt32(11 + 2 * index)
      let value = String(repeating: "v", count: 8000)
      let fields = FrameClient.block(
        FrameClient.request("GET", "/collect", (0..<9).map { ("\(long)\($0)", value) }))
      client.frame(FrameClient.headers, flags: 1, stream: stream, payload: Array(fields[..<16000]))
      client.frame(FrameClient.continuation, stream: stream, payload: Array(fields[16000..<32000]))
      client.frame(FrameClient.continuation, stream: stream, payload: Array(fields[32000..<48000]))
      client.frame(FrameClient.continuation, stream: stream, payload: Array(fields[48000..<64000]))
      client.frame(FrameClient.continuation, flags: 4, stream: stream, payload: Array(fields[64000...]))
      #expect(client.answer(stream).status == "431", "a head of 72 KB")
    }
    client.get(101, "/collect")
    #expect(client.answer(101).status == "200")
  }

  @Test func `a head that comes in parts, with others in between, is the one that was sent`() throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let client = FrameClient(port: server.port)
    let other = FrameClient(port: server.port)
    let first = FrameClient.block(
      FrameClient.request("GET", "/collect?a", [("x-first", "1"), ("cookie", "a=1")]))
    let rest = FrameClient.block([("cookie", ""), ("x-empty", ""), ("x-last", "z")])
    for (round, stream) in [UInt32(1), 3, 5].enumerated() {
      client.frame(FrameClient.headers, flags: 1, stream: stream, payload: first)
      other.headers(
        stream, FrameClient.request("GET", "/collect?other", (0..<20).map { ("x-other-\($0)", "\(round)") }))
      #expect(other.answer(stream).status == "200")
      client.frame(FrameClient.continuation, flags: 4, stream: stream, payload: rest)
      #expect(
        String(decoding: client.answer(stream).body, as: UTF8.self)
          == """
          GET /collect?a 0
          host=a.example
          x-first=1
          x-empty=
          x-last=z
          cookie=a=1;
          http2=true grpc=false tls=false

          """)
    }
  }

  /// The server asserts for each of these that the table of fields, filled while the head came, is the parser's.
  @Test func `heads of any fields are answered or refused, and the connection goes on`() throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let client = FrameClient(port: server.port)
    let names = [
      "host", "cookie", "cookie", "content-length", "expect", "te", "traceparent", "x-request-id",
      "content_length",
      "transfer_encoding", "authorization", "x", "!#$%&'*+-.^_`|~09az", "content-type", "grpc-timeout",
    ]
    let values = [
      "", "0", "5", "a.example", "A.EXAMPLE", "b:99999", "[::1]", "100-continue", "100-CONTINUE", "200-ok",
      "trailers",
      "a  b", "a\tb", " a", "a ", "\u{80}", String(repeating: "v", count: 300), "application/grpc", "=; ;",
    ]
    var state: UInt64 = 11
    func next(_ count: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % count
    }
    var answers: [String: Int] = [:]
    for round in 0..<400 {
      let stream = UInt32(2 * round + 1)
      let fields = (0..<next(5)).map { _ in (names[next(names.count)], values[next(values.count)]) }
      client.headers(stream, FrameClient.request("GET", "/collect", fields))
      answers[client.answer(stream).status ?? "reset", default: 0] += 1
    }
    for kind in ["200", "400", "417", "reset"] {
      #expect(answers[kind, default: 0] > 0, "\(kind) in \(answers)")
    }
    client.get(901, "/collect")
    #expect(client.answer(901).status == "200")
  }

  @Test func `a body that is not as long as it said is reset`() throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let client = FrameClient(port: server.port)
    for (stream, size) in [(UInt32(1), 5), (3, 20)] {
      client.headers(stream, FrameClient.request("POST", "/collect", [("content-length", "10")]), ends: false)
      client.data(stream, [UInt8](repeating: 1, count: size), ends: true)
      #expect(client.answer(stream).reset == 1)
    }
    client.headers(
      5, FrameClient.request("POST", "/collect", [("content-length", "\(2 << 20)")]), ends: false)
    #expect(client.answer(5).status == "413")
    client.headers(7, FrameClient.request("POST", "/collect"), ends: false)
    for _ in 0..<9 { client.data(7, [UInt8](repeating: 1, count: 16384)) }
    client.data(7, [], ends: true)
    let answer = client.answer(7)
    #expect(String(decoding: answer.body, as: UTF8.self).hasPrefix("POST /collect \(9 * 16384)\n"))
  }

  @Test func `bodies and trailers pass both ways while they come`() throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let client = FrameClient(port: server.port)
    client.headers(1, FrameClient.request("POST", "/echo"), ends: false)
    #expect(client.next { $0.stream == 1 }?.header(":status") == "200", "the answer begins before the body")
    client.data(1, Array("one".utf8))
    #expect(client.next { $0.type == FrameClient.data }?.text == "one")
    client.data(1, Array("two".utf8))
    #expect(client.next { $0.type == FrameClient.data }?.text == "two")
    client.headers(1, [("grpc-status", "0"), ("x-sum", "6")])
    let last = client.next { $0.stream == 1 && $0.type == FrameClient.headers }
    #expect(last?.header("grpc-status") == "0")
    #expect(last?.header("x-sum") == "6")
    #expect(last?.endsStream == true)
    client.headers(3, FrameClient.request("POST", "/echo"), ends: false)
    client.data(3, Array("x".utf8))
    client.headers(3, [(":path", "/")])
    #expect(client.answer(3).reset == 1, "a pseudo header in trailers")
  }

  @Test func `an interim answer comes before the answer`() async throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let answer = await shell("curl -sS -i --http2-prior-knowledge '\(server.url("/hints"))'")
    #expect(answer.hasPrefix("HTTP/2 103 \r\nlink: </style.css>\r\n\r\nHTTP/2 200"), "\(answer)")
    let client = FrameClient(port: server.port)
    client.headers(
      1, FrameClient.request("POST", "/collect", [("expect", "100-continue")]), ends: false)
    #expect(client.next { $0.stream == 1 }?.header(":status") == "100")
    client.data(1, [1], ends: true)
    #expect(client.answer(1).status == "200")
  }

  // MARK: Flow control

  @Test func `a paused request gets no window, and others go on`() async throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let client = FrameClient(port: server.port)
    client.headers(1, FrameClient.request("POST", "/hold"), ends: false)
    _ = client.next { $0.type == FrameClient.settings && $0.flags & 1 == 1 }
    let block = [UInt8](repeating: 7, count: 16384)
    for _ in 0..<16 { client.data(1, block) }
    // Another stream on the same connection is served meanwhile, with a body.
    client.headers(3, FrameClient.request("POST", "/collect"), ends: false)
    for _ in 0..<8 { client.data(3, block) }
    client.data(3, block, ends: true)
    var windows: [UInt32: Int] = [:]
    while let frame = client.next(), !(frame.stream == 3 && frame.endsStream) {
      if frame.type == FrameClient.windowUpdate { windows[frame.stream, default: 0] += 1 }
    }
    #expect(windows[1] == nil, "the paused stream's window stays closed")
    #expect(server.seen.received == 0)
    server.post(.resume)
    #expect(client.next { $0.type == FrameClient.windowUpdate && $0.stream == 1 } != nil)
    client.data(1, block, ends: true)
    #expect(client.answer(1).status == "200")
    #expect(server.seen.received == 17 * 16384)
    client.headers(5, FrameClient.request("POST", "/hold"), ends: false)
    for _ in 0..<17 { client.data(5, block) }
    #expect(client.answer(5).reset == 3, "FLOW_CONTROL_ERROR")
  }

  /// Sends a body, as far as the window lets it, until the window is as wide as wanted; returns the widest that was seen.
  private func upload(_ client: FrameClient, _ stream: UInt32, until wanted: Int) throws -> Int {
    let part = [UInt8](repeating: 0x78, count: 16384)
    client.headers(stream, FrameClient.request("POST", "/upload"), ends: false)
    // Before the server's settings are acknowledged, windows have 64 KiB.
    _ = client.next { $0.type == FrameClient.settings && $0.flags & 1 == 1 }
    var window = 256 << 10
    var widest = window
    // What is there at most grows when a whole window came within a second: a slow machine needs more tries.
    for _ in 0..<4096 where widest < wanted {
      while window < part.count {
        let frame = try #require(client.next { $0.stream == stream })
        try #require(frame.type == FrameClient.windowUpdate)
        window += Int(frame.code)
      }
      for _ in 0..<8 where window >= part.count {
        window -= part.count
        client.data(stream, part)
      }
      client.frame(FrameClient.ping, payload: [UInt8](repeating: 1, count: 8))
      while let frame = client.next(), frame.type != FrameClient.ping {
        if frame.type == FrameClient.windowUpdate, frame.stream == stream { window += Int(frame.code) }
      }
      widest = max(widest, window)
    }
    #expect(widest >= wanted)
    client.data(stream, [], ends: true)
    #expect(client.answer(stream).status == "200")
    return widest
  }

  @Test func `a large body gets a wider window, and no more than there is to give`() throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let client = FrameClient(port: server.port)
    // Only a window of 4 MiB lets a client send more than 2.
    #expect(try upload(client, 1, until: 2 << 20 | 1) <= 4 << 20)
    // The next ones get it as soon as they turn out to be large, as long as there are 3.75 of 32 MiB left.
    let streams = (0..<10).map { UInt32(3 + 2 * $0) }
    let part = [UInt8](repeating: 0x78, count: 16384)
    var windows: [UInt32: Int] = [:]
    func send(_ stream: UInt32) {
      for _ in 0..<4 { client.data(stream, part) }
      client.frame(FrameClient.ping, payload: [UInt8](repeating: 1, count: 8))
      while let frame = client.next(), frame.type != FrameClient.ping {
        if frame.type == FrameClient.windowUpdate { windows[frame.stream, default: 0] += Int(frame.code) }
      }
    }
    for stream in streams {
      client.headers(stream, FrameClient.request("POST", "/upload"), ends: false)
      send(stream)
    }
    #expect(streams.filter { windows[$0, default: 0] > 3 << 20 } == Array(streams.prefix(8)))
    let last = try #require(streams.last)
    client.data(streams[0], part, ends: true)
    #expect(client.answer(streams[0]).status == "200")
    send(last)
    #expect(windows[last, default: 0] > 3 << 20, "what an ended stream had is there for others")
  }

  @Test func `an answer is made as fast as the client takes it`() async throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let client = FrameClient(port: server.port, window: 100_000)
    client.get(1, "/down/20000000")
    var received = 0
    while received < 65535, let frame = client.next(where: { $0.type == FrameClient.data }) {
      received += frame.payload.count
    }
    #expect(received == 65535, "the connection's window")
    #expect(server.seen.longestOutput < 3 << 20, "the owner was told to stop")
    #expect(server.seen.writable == 0)
    client.get(3, "/collect")
    #expect(client.next { $0.stream == 3 }?.header(":status") == "200", "headers need no window")
    client.windowUpdate(0, 1 << 30)
    client.windowUpdate(1, 1 << 30)
    while let frame = client.next(where: { $0.stream == 1 && $0.type == FrameClient.data }) {
      received += frame.payload.count
      if frame.endsStream { break }
    }
    #expect(received == 20_000_000)
    #expect(server.seen.writable > 0)
    #expect(server.seen.longestOutput < 3 << 20)
  }

  @Test func `large bodies pass both ways at once, by stock clients`() async throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let echoed = await shell(
      "head -c 30000000 /dev/urandom >/tmp/roost-up.$$; curl -sS --http2-prior-knowledge -T /tmp/roost-up.$$ "
        + "'\(server.url("/echo"))' | cmp - /tmp/roost-up.$$ && echo same; rm /tmp/roost-up.$$")
    #expect(echoed == "same\n", "\(echoed)")
    let report = await shell("h2load -n 200 -c 4 -m 10 '\(server.url("/down/1000000"))'")
    #expect(report.contains("200 succeeded, 0 failed"), "\(report)")
    #expect(server.seen.longestOutput < 3 << 20)
  }

  // MARK: Ends

  @Test func `a reset or a lost connection tells the owner, once for each request`() async throws {
    let server = try TransportFixture()
    defer { server.stop() }
    var client: FrameClient? = FrameClient(port: server.port)
    for stream in [UInt32(1), 3, 5] { client?.get(stream, "/never") }
    client?.frame(FrameClient.reset, stream: 3, payload: [0, 0, 0, 8])
    await eventually { server.seen.abandoned == 1 }
    client = nil
    await eventually { server.seen.abandoned == 3 && server.seen.open == 0 }
  }

  @Test func `an answer that can't be completed is reset`() throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let client = FrameClient(port: server.port)
    client.get(1, "/cut")
    #expect(client.answer(1).reset == 2, "INTERNAL_ERROR")
    #expect(server.seen.abandoned == 0)
    client.get(3, "/collect")
    #expect(client.answer(3).status == "200")
  }

  @Test func `an answer before the end of the request ends it without an error`() throws {
    var limits = HTTPServer.Limits()
    limits.bodyIdleSeconds = 1
    let server = try TransportFixture(limits)
    defer { server.stop() }
    let client = FrameClient(port: server.port)
    client.headers(1, FrameClient.request("POST", "/early"), ends: false)
    let answer = client.answer(1)
    #expect(answer.status == "200" && String(decoding: answer.body, as: UTF8.self) == "early")
    #expect(client.next { $0.type == FrameClient.reset }?.code == 0, "NO_ERROR, after some time")
    client.headers(
      3, FrameClient.request("POST", "/early", [("content-type", "application/grpc")]), ends: false)
    _ = client.answer(3)
    #expect(client.next { $0.type == FrameClient.reset }?.code == 0)
  }

  @Test(arguments: ["/early", "/late/paused"])
  func `a client that has its answer can send the rest of its request`(path: String) throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let client = FrameClient(port: server.port)
    client.headers(1, FrameClient.request("POST", path), ends: false)
    #expect(client.next { $0.type == FrameClient.windowUpdate }?.stream == 0)
    let part = [UInt8](repeating: 0x78, count: 16384)
    let window = 16
    for _ in 0..<window { client.data(1, part) }
    client.frame(FrameClient.ping, payload: [UInt8](repeating: 1, count: 8))
    if path != "/early" {
      // All of it waits for an owner that paused, and that never wants it.
      #expect(client.next { $0.type == FrameClient.ping } != nil)
      server.post(.resume)
    }
    var credit = 0
    var isAnswered = false
    for index in 0..<(3 * window) {
      while !isAnswered || credit < part.count {
        let frame = try #require(client.next { $0.stream == 1 }, "a window for part \(index)")
        try #require(frame.type != FrameClient.reset, "nothing is reset while the client goes on")
        if frame.type == FrameClient.windowUpdate { credit += Int(frame.code) }
        isAnswered = isAnswered || frame.endsStream
      }
      credit -= part.count
      client.data(1, part, ends: index == 3 * window - 1)
    }
    client.get(3, "/collect")
    #expect(client.answer(3).status == "200")
  }

  /// NO_ERROR; CANCEL for an answer larger than the window of a client that never opens it.
  @Test(arguments: [("/early", 0 as UInt32), ("/down/500000", 8)])
  func `no client can go on with its request for ever after the answer`(path: String, code: UInt32) throws {
    var limits = HTTPServer.Limits()
    limits.bodyIdleSeconds = 1
    limits.writeIdleSeconds = 1
    limits.overdueSeconds = 1
    let server = try TransportFixture(limits)
    defer { server.stop() }
    let client = FrameClient(port: server.port)
    client.headers(1, FrameClient.request("POST", path), ends: false)
    #expect(client.next { $0.stream == 1 }?.header(":status") == "200")
    // Each ping that comes back calls forth the next part: a client that never stands still.
    func goOn() {
      client.data(1, [0x78])
      client.frame(FrameClient.ping, payload: [UInt8](repeating: 1, count: 8))
    }
    goOn()
    var reset: UInt32?
    while reset == nil, let frame = client.next() {
      if frame.type == FrameClient.reset { reset = frame.code }
      if frame.type == FrameClient.ping { goOn() }
    }
    #expect(reset == code)
  }

  @Test func `draining serves what is open, refuses what is new and closes`() async throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let client = FrameClient(port: server.port)
    client.headers(1, FrameClient.request("POST", "/echo"), ends: false)
    #expect(client.next { $0.stream == 1 }?.header(":status") == "200")
    server.post(.drain)
    let ping = client.next { $0.type == FrameClient.ping }
    let notice = client.next { $0.type == FrameClient.goaway }
    #expect(notice?.payload == [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0])
    // What was on its way is served.
    client.get(3, "/collect")
    #expect(client.answer(3).status == "200")
    client.frame(FrameClient.ping, flags: 1, payload: ping?.payload ?? [])
    let goaway = client.next { $0.type == FrameClient.goaway }
    #expect(goaway?.payload == [0, 0, 0, 3, 0, 0, 0, 0])
    client.get(5, "/collect")
    client.data(1, Array("end".utf8), ends: true)
    let answer = client.answer(1)
    #expect(String(decoding: answer.body, as: UTF8.self) == "end" && answer.reset == nil)
    #expect(client.next() == nil && client.isClosed, "nothing more, and stream 5 was not served")
  }

  @Test func `clients that stand still are ended`() async throws {
    var limits = HTTPServer.Limits()
    limits.headSeconds = 1
    limits.bodyIdleSeconds = 1
    limits.keepAliveSeconds = 1
    limits.writeIdleSeconds = 1
    let server = try TransportFixture(limits)
    defer { server.stop() }
    let idle = FrameClient(port: server.port)
    #expect(idle.next { $0.type == FrameClient.goaway }?.code == 0)
    let head = FrameClient(port: server.port)
    head.frame(FrameClient.headers, flags: 0, stream: 1, payload: FrameClient.block([(":method", "GET")]))
    let body = FrameClient(port: server.port)
    body.headers(1, FrameClient.request("POST", "/collect"), ends: false)
    #expect(body.answer(1).status == "408")
    body.headers(3, FrameClient.request("POST", "/hints"), ends: false)
    await eventually { server.seen.stalled == 1 }
    let window = FrameClient(port: server.port, window: 10)
    window.get(1, "/down/1000")
    #expect(window.answer(1).reset == 8, "CANCEL")
    #expect(server.seen.abandoned == 0, "the owner had done its part")
    window.get(3, "/down/9000000")
    #expect(window.answer(3).reset == 8)
    #expect(server.seen.abandoned == 1)
    #expect(head.next { $0.type == FrameClient.reset || $0.type == FrameClient.goaway } != nil)
  }

  @Test func `a client has its time from when there is something to take`() throws {
    var limits = HTTPServer.Limits()
    // Connections without a request end after a second, and tell the time by that.
    limits.headSeconds = 1
    limits.writeIdleSeconds = 5
    let server = try TransportFixture(limits)
    defer { server.stop() }
    let client = FrameClient(port: server.port, window: 0)
    client.get(1, "/late")
    client.get(3, "/down/1000")
    #expect(client.answer(3).reset == 8, "by now the first request is older than clients may be slow")
    server.post(.resume)
    #expect(FrameClient(port: server.port).next { $0.type == FrameClient.goaway }?.code == 0)
    client.windowUpdate(1, 1000)
    let answer = client.answer(1)
    #expect(String(decoding: answer.body, as: UTF8.self) == "late" && answer.reset == nil)
  }

  // MARK: WebSocket

  @Test func `an extended CONNECT passes bytes both ways and closes one side at a time`() throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let client = FrameClient(port: server.port)
    let settings = client.next { $0.type == FrameClient.settings }
    let payload = settings?.payload ?? []
    let pairs = stride(from: 0, to: payload.count, by: 6).map { Array(payload[$0..<($0 + 6)]) }
    #expect(pairs.contains([0, 8, 0, 0, 0, 1]), "SETTINGS_ENABLE_CONNECT_PROTOCOL")
    #expect(pairs.contains([0, 3, 0, 0, 1, 0]), "256 streams")
    client.headers(1, FrameClient.request("CONNECT", "/socket", [(":protocol", "other")]), ends: false)
    #expect(client.answer(1).status == "501")
    client.headers(3, FrameClient.request("CONNECT", "/socket", [(":protocol", "websocket")]), ends: false)
    let head = client.next { $0.stream == 3 }
    #expect(head?.header(":status") == "200" && head?.header("upgrade") == nil)
    client.data(3, Array("ping".utf8))
    #expect(client.next { $0.type == FrameClient.data && $0.stream == 3 }?.text == "ping")
    client.data(3, [], ends: true)
    #expect(client.answer(3).body == Array("bye".utf8))
  }
}
