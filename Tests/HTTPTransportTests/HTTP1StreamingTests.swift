import HTTPTransport
import TestSupport
import Testing

/// Bodies of HTTP/1 that pass while they come, both ways: framing, back-pressure, ends of either side.
@Suite(.ownThread, .timeLimit(.minutes(5))) struct HTTP1StreamingTests {
  private static let chunkedHead = "POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"

  /// The bytes in the chunks of an answer; nil when it has no last chunk or something else is wrong.
  private func dechunked(_ answer: [UInt8]) -> [UInt8]? {
    guard let head = answer.firstRange(of: Array("\r\n\r\n".utf8)) else { return nil }
    var at = head.upperBound
    var body: [UInt8] = []
    while let line = answer[at...].firstIndex(of: 0x0d) {
      guard let count = Int(String(decoding: answer[at..<line], as: UTF8.self), radix: 16) else { return nil }
      at = line + 2
      guard count > 0 else { return body }
      guard answer.count >= at + count + 2, answer[at + count] == 0x0d else { return nil }
      body += answer[at..<(at + count)]
      at += count + 2
    }
    return nil
  }

  // MARK: Framing

  @Test func `parts of a body are given on as they come, and the connection is kept`() throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let client = try HTTP1Client(port: server.port)
    for _ in 0..<2 {
      client.send("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\n")
      let head = try #require(client.read(until: "\r\n\r\n"))
      #expect(head.hasPrefix("HTTP/1.1 200 ") && head.contains("\r\ntransfer-encoding: chunked\r\n"))
      #expect(!head.contains("connection:") && !head.contains("content-length"))
      client.send("one")
      #expect(client.read(until: "\r\none\r\n") == "3\r\none\r\n")
      client.send("two")
      #expect(client.read(until: "0\r\n\r\n") == "3\r\ntwo\r\n0\r\n\r\n")
      client.send(Self.chunkedHead)
      #expect(client.read(until: "\r\n\r\n") != nil)
      client.send("3;ext=1\r\nabc\r\n")
      #expect(client.read(until: "abc\r\n") == "3\r\nabc\r\n")
      client.send("0\r\nx-sum: 3\r\nx-more: y\r\n\r\n")
      #expect(client.read(until: "\r\n\r\n") == "0\r\nx-sum: 3\r\nx-more: y\r\n\r\n", "trailers pass")
    }
    #expect(server.seen.received == 18 && server.seen.ended == 4)
  }

  @Test func `a chunked body may come in bytes`() throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let client = try HTTP1Client(port: server.port)
    for byte in Self.chunkedHead + "4;a=\"b\"\r\nwiki\r\n00a\r\npedia in 2\r\n0\r\nx-t: 1\r\n\r\n" {
      #expect(client.send(String(byte)))
    }
    let answer = try #require(client.readBytes(until: "x-t: 1\r\n\r\n"))
    #expect(dechunked(answer) == Array("wikipedia in 2".utf8))
  }

  @Test func `pipelined requests are answered in their order, whoever gets them`() throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let client = try HTTP1Client(port: server.port)
    client.send(
      Self.chunkedHead + "2\r\nab\r\n0\r\n\r\nGET /early HTTP/1.1\r\nhost: a\r\n\r\n"
        + "POST /collect HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc"
        + "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nconnection: close\r\n\r\ncd")
    let all = try #require(client.readToEnd())
    #expect(all.ranges(of: "HTTP/1.1 200 ").count == 4)
    let order = ["2\r\nab\r\n0\r\n", "early", "POST /collect 3", "2\r\ncd\r\n0\r\n"].compactMap {
      all.firstRange(of: $0)?.lowerBound
    }
    #expect(order.count == 4 && order == order.sorted())
  }

  @Test func `curl streams both ways at once, and finds what it sent`() async throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let said = await shell(
      "head -c 5000000 /dev/zero | tr '\\0' q | curl -sS --http1.1 -H expect: -T - "
        + "'\(server.url("/echo"))' | cksum; head -c 5000000 /dev/zero | tr '\\0' q | cksum")
    let sums = said.split(separator: "\n")
    #expect(sums.count == 2 && sums.first == sums.last, "\(said)")
    #expect(server.seen.received == 5_000_000)
  }

  @Test func `HEAD and an answer without a body keep the connection`() throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let client = try HTTP1Client(port: server.port)
    client.send("HEAD /down/100000 HTTP/1.1\r\nhost: a\r\n\r\nHEAD /early HTTP/1.1\r\nhost: a\r\n\r\n")
    client.send("GET /early HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    let all = try #require(client.readToEnd())
    #expect(all.ranges(of: "HTTP/1.1 200 ").count == 3)
    #expect(all.ranges(of: "content-length: 5\r\n").count == 2)
    #expect(!all.contains("xxx") && all.hasSuffix("\r\n\r\nearly"))
  }

  // MARK: HTTP/1.0

  @Test func `an answer of unknown length to HTTP 1 0 ends with the connection`() throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let client = try HTTP1Client(port: server.port)
    client.send("GET /down/100000 HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
    let answer = try #require(client.readToEnd())
    let head = try #require(answer.firstRange(of: "\r\n\r\n"))
    #expect(answer[..<head.lowerBound].contains("connection: close"))
    #expect(!answer.contains("transfer-encoding") && !answer.contains("content-length"))
    #expect(answer[head.upperBound...] == String(repeating: "x", count: 100_000))

    let echo = try HTTP1Client(port: server.port)
    echo.send("POST /echo HTTP/1.0\r\ncontent-length: 3\r\n\r\nabc")
    #expect(try #require(echo.readToEnd()).hasSuffix("\r\n\r\nabc"), "no chunk, no trailer")
  }

  @Test func `HTTP 1 0 is kept when it asks and the length is known, and hears no interim answer`() throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let client = try HTTP1Client(port: server.port)
    client.send("GET /early HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
    #expect(try #require(client.read(until: "early")).contains("connection: keep-alive\r\n"))
    client.send("GET /hints HTTP/1.0\r\n\r\n")
    let answer = try #require(client.readToEnd())
    #expect(answer.hasPrefix("HTTP/1.1 200 ") && answer.hasSuffix("done") && !answer.contains("103"))
    let chunked = try HTTP1Client(port: server.port)
    chunked.send("POST /echo HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n")
    #expect(try #require(chunked.readToEnd()).hasPrefix("HTTP/1.1 400 "), "chunks of HTTP/1.0")
  }

  // MARK: Expectations and early answers

  @Test func `who expects to be asked is asked for what is collected, and interim answers come first`() throws
  {
    let server = try TransportFixture()
    defer { server.stop() }
    let client = try HTTP1Client(port: server.port)
    client.send("POST /collect HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
    #expect(client.read(until: "\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n")
    client.send("abc")
    #expect(try #require(client.read(until: "tls=false\n")).contains("POST /collect 3\n"))
    client.send("POST /hints HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 1\r\n\r\n")
    #expect(
      client.read(until: "\r\n\r\n") == "HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n",
      "it does not wait for the body")
    client.send("x")
    let answer = try #require(client.readToEnd())
    #expect(answer.hasPrefix("HTTP/1.1 200 ") && answer.hasSuffix("done"))
    let odd = try HTTP1Client(port: server.port)
    odd.send("POST /collect HTTP/1.1\r\nhost: a\r\nexpect: tea\r\ncontent-length: 3\r\n\r\n")
    #expect(try #require(odd.readToEnd()).hasPrefix("HTTP/1.1 417 "))
  }

  @Test func `what is left of a short body behind its answer is passed over, and the connection goes on`()
    async throws
  {
    let server = try TransportFixture()
    defer { server.stop() }
    let client = try HTTP1Client(port: server.port)
    let head = "POST /early HTTP/1.1\r\nhost: a\r\ncontent-length: "
    let next = "GET /early HTTP/1.1\r\nhost: a\r\n\r\n"
    // With its head, in parts behind it, with the next request behind; it may look like one.
    client.send(head + "3\r\n\r\nabc")
    #expect(try #require(client.read(until: "early")).contains("connection: close") == false)
    client.send(head + "\(next.utf8.count)\r\n\r\n")
    #expect(client.read(until: "early") != nil)
    client.send(String(next.prefix(7)))
    client.send(String(next.dropFirst(7)) + head + "262144\r\n\r\n")
    #expect(client.read(until: "early") != nil)
    client.send(String(repeating: "y", count: 262_144))
    client.send(head + "2\r\n\r\nde" + next + "GET /early HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    let all = try #require(client.readToEnd())
    #expect(all.ranges(of: "HTTP/1.1 200 ").count == 3 && all.ranges(of: "connection: close").count == 1)
    await eventually { server.seen.open == 0 }
    #expect(server.seen.abandoned == 0)
  }

  @Test func `an answer before the end of the body ends the connection, and the rest is no request`()
    async throws
  {
    let server = try TransportFixture()
    defer { server.stop() }
    for framing in [
      "content-length: 262145\r\n\r\n", "transfer-encoding: chunked\r\n\r\n",
      "expect: 100-continue\r\ncontent-length: 100\r\n\r\n",
    ] {
      let client = try HTTP1Client(port: server.port)
      client.send("POST /early HTTP/1.1\r\nhost: a\r\n" + framing)
      let answer = try #require(client.read(until: "early"))
      #expect(answer.contains("\r\nconnection: close\r\n"), "told")
      client.send("GET /early HTTP/1.1\r\nhost: a\r\n\r\n")
      #expect(client.readToEnd() == "", "what comes is taken and thrown away")
    }
    // A client that sends all of a large body before it reads gets the answer all the same.
    let large = try HTTP1Client(port: server.port)
    large.send("POST /early HTTP/1.1\r\nhost: a\r\ncontent-length: 3000000\r\n\r\n")
    _ = large.pour(3_000_000)
    #expect(try #require(large.readToEnd()).hasSuffix("early"))
    await eventually { server.seen.open == 0 }
    #expect(server.seen.abandoned == 0)
  }

  // MARK: Back-pressure

  @Test func `a paused request is not read, others are, and nothing is lost`() async throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let client = try HTTP1Client(port: server.port)
    let total = 64 << 20
    client.send("POST /hold HTTP/1.1\r\nhost: a\r\ncontent-length: \(total)\r\n\r\n")
    let taken = client.pour(total)
    #expect(taken < total, "the buffers of both ends are full")
    #expect(server.seen.received == 0)
    let other = try HTTP1Client(port: server.port)
    other.send("GET /early HTTP/1.1\r\nhost: a\r\n\r\n")
    #expect(other.read(until: "early") != nil)
    server.post(.resume)
    let rest = await onThread { client.send(String(repeating: "y", count: total - taken)) }
    #expect(rest == true)
    #expect(try #require(client.read(until: "done")).hasPrefix("HTTP/1.1 200 "))
    #expect(server.seen.received == total)
  }

  @Test func `an answer is made as fast as the client takes it`() async throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let client = try HTTP1Client(port: server.port)
    client.send("GET /down/20000000 HTTP/1.1\r\nhost: a\r\n\r\n")
    await eventually { server.seen.longestOutput > 0 }
    let other = try HTTP1Client(port: server.port)
    other.send("GET /early HTTP/1.1\r\nhost: a\r\n\r\n")
    #expect(other.read(until: "early") != nil)
    let answer = try #require(client.readBytes(until: "\r\n0\r\n\r\n"))
    #expect(dechunked(answer)?.count == 20_000_000)
    #expect(server.seen.longestOutput < 3 << 20, "the owner was told to stop")
    #expect(server.seen.writable > 0)
  }

  @Test func `an echo waits for a client that does not read`() async throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let client = try HTTP1Client(port: server.port)
    let total = 48 << 20
    client.send("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: \(total)\r\n\r\n")
    let taken = client.pour(total)
    #expect(taken < total && server.seen.received < total, "what can't be sent back is not read")
    async let sent = onThread { client.send(String(repeating: "y", count: total - taken)) }
    let answer = await onThread { client.readBytes(until: "\r\n0\r\n\r\n") }
    #expect(dechunked(try #require(answer ?? nil))?.count == total)
    #expect(await sent == true && server.seen.received == total)
  }

  // MARK: Ends

  @Test func `who goes in the middle of a body or of an answer gives it up`() async throws {
    let server = try TransportFixture()
    defer { server.stop() }
    var wanted = 0
    for (request, reads) in [
      ("POST /never HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc", false),
      ("POST /never HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab", false),
      ("POST /hold HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc", false),
      ("GET /never HTTP/1.1\r\nhost: a\r\n\r\n", false),
      ("GET /down/90000000 HTTP/1.1\r\nhost: a\r\n\r\n", true),
    ] {
      for resets in [true, false] {
        let client = try HTTP1Client(port: server.port)
        client.send(request)
        if reads { #expect(client.readsSome()) }
        wanted += 1
        await eventually { server.seen.arrived == wanted }
        resets ? client.leave() : client.endWrites()
        await eventually { server.seen.abandoned == wanted && server.seen.open == 0 }
      }
    }
  }

  @Test func `who asks and closes its side at once gets what can be answered at once`() throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let client = try HTTP1Client(port: server.port)
    client.send("POST /collect HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc")
    client.endWrites()
    #expect(try #require(client.readToEnd()).contains("POST /collect 3\n"))
  }

  @Test func `an upgraded connection passes bytes as they are and closes one side at a time`() async throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let client = try HTTP1Client(port: server.port)
    client.send("GET /socket HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: test\r\n\r\nat once ")
    let head = try #require(client.read(until: "at once "))
    #expect(head.hasPrefix("HTTP/1.1 101 ") && head.contains("\r\nupgrade: test\r\n"))
    client.send("0\r\n\r\n")
    #expect(client.read(until: "0\r\n\r\n") == "0\r\n\r\n", "no framing is seen in them")
    client.endWrites()
    #expect(client.readToEnd() == "bye")
    await eventually { server.seen.open == 0 }
    #expect(server.seen.abandoned == 0)
  }

  @Test func `an answer that is given up is not whole`() async throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let said = await shell("curl -s --http1.1 '\(server.url("/cut"))'; echo \" $?\"")
    #expect(said == "part 18\n", "curl: a partial file")
  }

  @Test func `a drain lets running bodies end and closes after them`() async throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let client = try HTTP1Client(port: server.port)
    client.send("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\none")
    #expect(client.read(until: "one\r\n") != nil)
    let waiting = try HTTP1Client(port: server.port)
    waiting.send("POST /hints HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\n")
    #expect(waiting.read(until: "\r\n\r\n") != nil)
    server.post(.drain)
    await eventually { (try? HTTP1Client(port: server.port)) == nil }
    client.send("two")
    #expect(client.readToEnd() == "3\r\ntwo\r\n0\r\n\r\n")
    waiting.send("end")
    let answer = try #require(waiting.readToEnd())
    #expect(answer.contains("connection: close") && answer.hasSuffix("done"))
    await eventually { server.seen.open == 0 }
  }
}
