import HTTPTransport
import TestSupport
import Testing

/// Rules of RFC 9113 that a client can break, each with the error that it must get.
@Suite(.ownThread, .timeLimit(.minutes(5))) struct HTTP2ConformanceTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var name: String
    var code: UInt32
    var bytes: [UInt8]
    var testDescription: String { name }

    init(_ name: String, _ code: UInt32, _ bytes: [UInt8]...) {
      self.name = name
      self.code = code
      self.bytes = Array(bytes.joined())
    }
  }

  private static func frame(_ type: UInt8, _ flags: UInt8 = 0, _ stream: UInt32 = 0, _ payload: [UInt8] = [])
    -> [UInt8]
  {
    FrameClient.encode(type, flags: flags, stream: stream, payload: payload)
  }
  private static func request(_ stream: UInt32, ends: Bool = true, _ path: String = "/never") -> [UInt8] {
    frame(1, ends ? 5 : 4, stream, FrameClient.block(FrameClient.request(ends ? "GET" : "POST", path)))
  }
  private static let block = FrameClient.block(FrameClient.request("GET", "/collect"))
  private static let zero4: [UInt8] = [0, 0, 0, 0]
  private static let most4: [UInt8] = [0x7f, 0xff, 0xff, 0xff]

  static let connectionErrors: [Case] = [
    Case(
      "4.2 a frame beyond the size that was agreed", 6, frame(0, 0, 1, [UInt8](repeating: 0, count: 16385))),
    Case("4.3 a header block that can't be unpacked", 9, frame(1, 5, 1, [0x80])),
    Case(
      "4.3 a table that grows beyond what was agreed", 9, frame(1, 5, 1, [0x3f, 0xe1, 0xff, 0x03] + block)),
    Case("5.1 DATA on a stream that was never opened", 1, frame(0, 1, 1, [1])),
    Case("5.1 WINDOW_UPDATE on a stream that was never opened", 1, frame(8, 0, 1, [0, 0, 0, 1])),
    Case("5.1 RST_STREAM on a stream that was never opened", 1, frame(3, 0, 1, zero4)),
    Case("5.1.1 an even stream", 1, frame(1, 5, 2, block)),
    Case("6.1 DATA on stream 0", 1, frame(0, 1, 0, [1])),
    Case("6.1 more padding than payload", 1, request(1, ends: false), frame(0, 8, 1, [9, 1])),
    Case("6.2 HEADERS on stream 0", 1, frame(1, 5, 0, block)),
    Case("6.2 more padding than header block", 1, frame(1, 13, 1, [200] + block)),
    Case(
      "6.2 another frame within a header block", 1, frame(1, 1, 1, block),
      frame(6, 0, 0, [UInt8](repeating: 0, count: 8))),
    Case("6.2 another stream within a header block", 1, frame(1, 1, 1, block), frame(9, 4, 3, [])),
    Case("6.3 PRIORITY on stream 0", 1, frame(2, 0, 0, [0, 0, 0, 0, 1])),
    Case("6.4 RST_STREAM on stream 0", 1, frame(3, 0, 0, zero4)),
    Case("6.4 RST_STREAM of another size", 6, request(1), frame(3, 0, 1, [0])),
    Case("6.5 SETTINGS on a stream", 1, frame(4, 0, 1, [])),
    Case("6.5 SETTINGS of another size", 6, frame(4, 0, 0, [0, 1, 0])),
    Case("6.5 SETTINGS that acknowledge with a payload", 6, frame(4, 1, 0, [0, 4, 0, 0, 0, 1])),
    Case("6.5.2 ENABLE_PUSH that is not 0 or 1", 1, frame(4, 0, 0, [0, 2, 0, 0, 0, 2])),
    Case("6.5.2 an initial window beyond 2^31-1", 3, frame(4, 0, 0, [0, 4, 0x80, 0, 0, 0])),
    Case("6.5.2 a frame size below 16384", 1, frame(4, 0, 0, [0, 5, 0, 0, 0x3f, 0xff])),
    Case("6.5.2 a frame size beyond 2^24-1", 1, frame(4, 0, 0, [0, 5, 1, 0, 0, 0])),
    Case("6.6 PUSH_PROMISE of a client", 1, request(1), frame(5, 4, 1, [0, 0, 0, 2] + block)),
    Case("6.7 PING on a stream", 1, frame(6, 0, 1, [UInt8](repeating: 0, count: 8))),
    Case("6.7 PING of another size", 6, frame(6, 0, 0, [1, 2, 3])),
    Case("6.8 GOAWAY on a stream", 1, frame(7, 0, 1, [UInt8](repeating: 0, count: 8))),
    Case("6.9 WINDOW_UPDATE of nothing on the connection", 1, frame(8, 0, 0, zero4)),
    Case("6.9 WINDOW_UPDATE of another size", 6, frame(8, 0, 0, [1])),
    Case("6.9.1 a window of the connection beyond 2^31-1", 3, frame(8, 0, 0, most4)),
    Case("6.10 CONTINUATION without HEADERS", 1, frame(9, 4, 1, block)),
    Case("6.10 CONTINUATION after the end of the header block", 1, request(1), frame(9, 4, 1, block)),
  ]

  @Test(arguments: connectionErrors) func `a broken rule of the connection ends it with its code`(
    _ rule: Case
  )
    async throws
  {
    let server = try TransportFixture()
    defer { server.stop() }
    let code = await onThread { () -> UInt32? in
      let client = FrameClient(port: server.port)
      client.write(rule.bytes)
      let code = client.next { $0.type == FrameClient.goaway }?.code
      guard client.next() == nil, client.isClosed else { return nil }
      return code
    }
    #expect(code == rule.code)
    await eventually { server.seen.counts.faults == 1 && server.seen.open == 0 }
    let seen = server.seen
    #expect(seen.abandoned == seen.counts.streams, "every request that was begun is given up, once")
  }

  static let streamErrors: [Case] = [
    Case("5.1 DATA after the end of the request", 5, request(1), frame(0, 1, 1, [1])),
    Case("5.1 HEADERS after the end of the request", 5, request(1), frame(1, 5, 1, block)),
    Case("6.9.1 a window of a stream beyond 2^31-1", 3, request(1), frame(8, 0, 1, most4)),
    Case(
      "8.1 trailers that don't end the request", 1, request(1, ends: false),
      frame(1, 4, 1, FrameClient.block([("x", "y")]))),
    Case(
      "8.1.1 no path", 1,
      frame(1, 5, 1, FrameClient.block([(":method", "GET"), (":scheme", "http"), (":authority", "a")]))),
    Case(
      "8.1.1 no method", 1,
      frame(1, 5, 1, FrameClient.block([(":path", "/"), (":scheme", "http"), (":authority", "a")]))),
    Case(
      "8.1.1 no scheme", 1,
      frame(1, 5, 1, FrameClient.block([(":path", "/"), (":method", "GET"), (":authority", "a")]))),
  ]

  @Test(arguments: streamErrors) func `a broken rule of a stream ends the stream, or the connection`(
    _ rule: Case
  )
    async throws
  {
    let server = try TransportFixture()
    defer { server.stop() }
    let ended = await onThread { () -> FrameClient.Frame? in
      let client = FrameClient(port: server.port)
      client.write(rule.bytes)
      let ended = client.next { $0.type == FrameClient.goaway || $0.type == FrameClient.reset }
      // The RFC lets a server treat an error of a stream as one of the connection.
      if ended?.type == FrameClient.reset {
        client.get(3, "/collect")
        guard client.answer(3).status == "200" else { return nil }
      }
      return ended
    }
    #expect(ended??.code == rule.code)
    await eventually {
      server.seen.abandoned == server.seen.counts.streams - (ended??.type == FrameClient.reset ? 1 : 0)
    }
  }

  @Test func `what a server must accept or ignore does no harm`() async throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let client = FrameClient(port: server.port)
    client.frame(0x42, flags: 0xff, stream: 7, payload: [1, 2, 3])
    client.frame(FrameClient.settings, payload: [0xab, 0xcd, 0, 0, 0, 1])
    client.frame(2, stream: 3, payload: [0, 0, 0, 0, 200])
    client.frame(FrameClient.ping, payload: [8, 7, 6, 5, 4, 3, 2, 1])
    let ping = client.next { $0.type == FrameClient.ping }
    #expect(ping?.flags == 1 && ping?.payload == [8, 7, 6, 5, 4, 3, 2, 1])
    // Padded, with a priority, in three pieces, one of them empty.
    let block = FrameClient.block(FrameClient.request("POST", "/collect", [("x-a", "b")]))
    client.frame(1, flags: 0x28, stream: 1, payload: [3, 0, 0, 0, 0, 9] + block[..<20] + [0, 0, 0])
    client.frame(9, stream: 1)
    client.frame(9, flags: 4, stream: 1, payload: Array(block[20...]))
    client.frame(0, flags: 8, stream: 1, payload: [2, 1, 2, 3, 0, 0])
    client.data(1, [], ends: true)
    #expect(
      String(decoding: client.answer(1).body, as: UTF8.self).hasPrefix(
        "POST /collect 3\nhost=a.example\nx-a=b\n"))
    // Frames that cross a reset on their way.
    client.headers(3, FrameClient.request("POST", "/cut"), ends: false)
    #expect(client.answer(3).reset == 2)
    client.data(3, [1, 2, 3], ends: true)
    client.windowUpdate(3, 100)
    // A client that is leaving may still wait for answers.
    client.headers(5, FrameClient.request("POST", "/echo"), ends: false)
    client.frame(FrameClient.goaway, payload: [0, 0, 0, 0, 0, 0, 0, 0])
    client.data(5, Array("late".utf8), ends: true)
    #expect(client.answer(5).body == Array("late".utf8))
    #expect(client.next() == nil && client.isClosed)
    #expect(server.seen.counts.faults == 0)
  }

  @Test func `a window that shrinks below what was sent is respected`() async throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let client = FrameClient(port: server.port, window: 3)
    client.get(1, "/down/10")
    #expect(client.next { $0.type == FrameClient.data }?.payload.count == 3)
    client.frame(FrameClient.settings, payload: [0, 4, 0, 0, 0, 2])
    client.windowUpdate(1, 1)
    client.frame(FrameClient.ping, payload: [0, 0, 0, 0, 0, 0, 0, 0])
    let next = client.next { $0.type == FrameClient.ping || $0.type == FrameClient.data }
    #expect(next?.type == FrameClient.ping, "the window is 0 again: nothing may come")
    client.windowUpdate(1, 5)
    #expect(client.next { $0.type == FrameClient.data }?.payload.count == 5)
    client.frame(FrameClient.settings, payload: [0, 4, 0, 0, 0, 4])
    let last = client.next { $0.type == FrameClient.data }
    #expect(last?.payload.count == 2 && last?.endsStream == true)
  }
}
