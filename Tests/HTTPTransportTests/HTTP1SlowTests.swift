import HTTPTransport
import TestSupport
import Testing

/// Slow, endless and broken requests over real sockets: each is ended with its reason, others are served meanwhile.
@Suite(.ownThread, .timeLimit(.minutes(5))) struct HTTP1SlowTests {
  private static func limits() -> HTTPServer.Limits {
    var limits = HTTPServer.Limits()
    limits.headSeconds = 1
    limits.bodyIdleSeconds = 1
    limits.keepAliveSeconds = 3
    return limits
  }

  /// Sends a byte every 50 ms for 8 s; false: the server cut it off before.
  private static func trickle(_ client: HTTP1Client, _ byte: String) async -> Bool {
    let end = ContinuousClock.now + .seconds(8)
    while ContinuousClock.now < end {
      guard client.send(byte) else { return false }
      try? await Task.sleep(for: .milliseconds(50))
    }
    return true
  }

  @Test func `a head that comes byte by byte is refused with 408`() async throws {
    let server = try TransportFixture(Self.limits())
    defer { server.stop() }
    let slow = try HTTP1Client(port: server.port)
    slow.send("GET /collect HTTP/1.1\r\nhost: a\r\nx: ")
    async let said = onThread { slow.readToEnd() }
    let good = try HTTP1Client(port: server.port)
    good.send("GET /collect HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    #expect(good.readToEnd()?.hasPrefix("HTTP/1.1 200 ") == true)
    let text = try #require(await said ?? nil)
    #expect(text.hasPrefix("HTTP/1.1 408 "))
    #expect(text.contains("connection: close"))
    #expect(text.contains("the request did not arrive in time"))
    await eventually { server.seen.open == 0 }
  }

  @Test func `bytes that keep coming do not prolong a head`() async throws {
    let server = try TransportFixture(Self.limits())
    defer { server.stop() }
    let slow = try HTTP1Client(port: server.port)
    slow.send("GET /collect HTTP/1.1\r\nhost: a\r\nx: ")
    let isCut = await !Self.trickle(slow, "y")
    #expect(isCut)
    await eventually { server.seen.refused == [408] && server.seen.open == 0 }
  }

  @Test func `a head on a kept connection has the time of a head and not of an idle connection`() async throws
  {
    var limits = Self.limits()
    limits.keepAliveSeconds = 60
    let server = try TransportFixture(limits)
    defer { server.stop() }
    let slow = try HTTP1Client(port: server.port)
    slow.send("GET /early HTTP/1.1\r\nhost: a\r\n\r\n")
    #expect(slow.read(until: "early") != nil)
    slow.send("GET /early HTTP/1.1\r\nho")
    let said = await onThread { slow.readToEnd() }
    #expect((said ?? nil)?.hasPrefix("HTTP/1.1 408 ") == true)
  }

  @Test func `a body that stops is refused with 408`() async throws {
    let server = try TransportFixture(Self.limits())
    defer { server.stop() }
    for framing in ["content-length: 10\r\n\r\nfive!", "transfer-encoding: chunked\r\n\r\n5\r\nfive!\r\n"] {
      let slow = try HTTP1Client(port: server.port)
      slow.send("POST /collect HTTP/1.1\r\nhost: a\r\n" + framing)
      let said = await onThread { slow.readToEnd() }
      #expect((said ?? nil)?.hasPrefix("HTTP/1.1 408 ") == true, "\(framing)")
    }
    let streamed = try HTTP1Client(port: server.port)
    streamed.send("POST /never HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nfive!")
    await eventually { server.seen.stalled == 1 && server.seen.open == 0 }
  }

  @Test func `an idle connection is closed without an answer`() async throws {
    let server = try TransportFixture(Self.limits())
    defer { server.stop() }
    let idle = try HTTP1Client(port: server.port)
    let said = await onThread { idle.readToEnd() }
    #expect((said ?? nil) == "")
  }

  @Test(arguments: ["zz\r\n", "5\r\nfive!xx", "1;\u{1}\r\n", "0\r\nbad trailer\r\n\r\n", "5\nfive!"])
  func `a broken chunk is refused with 400, also in a body that is streamed`(chunk: String) async throws {
    let server = try TransportFixture()
    defer { server.stop() }
    for path in ["/collect", "/never"] {
      let client = try HTTP1Client(port: server.port)
      client.send("POST \(path) HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n" + chunk)
      let said = await onThread { client.readToEnd() }
      let text = try #require(said ?? nil)
      #expect(text.hasPrefix("HTTP/1.1 400 "), "\(path)")
      #expect(text.contains("connection: close"))
    }
    // The answer has begun: only the end of the connection tells that the request was broken.
    let begun = try HTTP1Client(port: server.port)
    begun.send("POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
    #expect(begun.read(until: "\r\n\r\n")?.hasPrefix("HTTP/1.1 200 ") == true)
    begun.send(chunk)
    let rest = await onThread { begun.readToEnd() }
    #expect((rest ?? nil)?.hasSuffix("0\r\n\r\n") == false)
    await eventually { server.seen.open == 0 }
  }

  @Test func `heads without an end are refused with the limit and the size`() async throws {
    let server = try TransportFixture()
    defer { server.stop() }
    for (start, status, words) in [
      ("GET / HTTP/1.1\r\nx: ", 431, "the head is larger than 65536 bytes"),
      ("GET /", 414, "the request target is longer than 16384 bytes"),
    ] {
      let client = try HTTP1Client(port: server.port)
      let filler = start + String(repeating: "a", count: 65536)
      let said = await onThread {
        client.send(filler)
        return client.readToEnd()
      }
      let text = try #require(said ?? nil)
      #expect(text.hasPrefix("HTTP/1.1 \(status) "))
      #expect(text.contains(words) && text.contains("have arrived and it goes on"))
    }
    await eventually { server.seen.open == 0 }
  }

  @Test func `nothing behind a refused request is taken for another one`() async throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let client = try HTTP1Client(port: server.port)
    client.send(
      "POST /collect HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
        + "GET /early HTTP/1.1\r\nhost: a\r\n\r\n")
    let said = await onThread { client.readToEnd() }
    let text = try #require(said ?? nil)
    #expect(text.hasPrefix("HTTP/1.1 400 "))
    #expect(!text.contains("200 OK"))
    #expect(server.seen.refused == [400])
  }

  @Test(arguments: ["POST /early", "POST /collect"])
  func `a client that writes all of its request before it reads gets its answer`(request: String) async throws
  {
    let server = try TransportFixture()
    defer { server.stop() }
    let slow = try HTTP1Client(port: server.port)
    // Too much for `/collect`, which refuses it at once.
    slow.send("\(request) HTTP/1.1\r\nhost: a\r\ncontent-length: 2000000\r\n\r\n")
    let wasTaken = await Self.trickle(slow, "y")
    #expect(wasTaken, "for longer than a client that has its answer may be silent")
    let answer = slow.readToEnd()
    #expect(answer?.hasPrefix(request.hasSuffix("early") ? "HTTP/1.1 200 " : "HTTP/1.1 413 ") == true)
  }

  @Test func `a client that has its answer can't go on with its request for ever`() async throws {
    var limits = HTTPServer.Limits()
    limits.overdueSeconds = 3
    let server = try TransportFixture(limits)
    defer { server.stop() }
    let slow = try HTTP1Client(port: server.port)
    slow.send("POST /early HTTP/1.1\r\nhost: a\r\ncontent-length: 2000000\r\n\r\n")
    let isCut = await !Self.trickle(slow, "y")
    #expect(isCut)
    await eventually { server.seen.open == 0 }
  }
}
