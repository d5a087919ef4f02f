import HTTPTransport
import TestSupport
import Testing

/// What only an attacker sends ends the connection with ENHANCE_YOUR_CALM and is counted.
@Suite(.ownThread, .timeLimit(.minutes(5))) struct HTTP2FloodTests {
  /// What is sent again and again, after what is sent once.
  struct Flood: Sendable {
    var name: String
    var opening: [UInt8] = []
    var count: Int
    var frame: @Sendable (Int) -> [UInt8]

    /// - Parameter round: stream ids go on from one round to the next.
    func bytes(_ round: Int) -> [UInt8] {
      var all = round == 0 ? opening : []
      for index in 0..<count { all += frame(round * count + index) }
      return all
    }
  }

  private static let opening = FrameClient.encode(
    FrameClient.headers, flags: 4, stream: 1,
    payload: FrameClient.block(FrameClient.request("POST", "/never")))

  private static func never(_ stream: UInt32) -> [UInt8] {
    FrameClient.encode(
      FrameClient.headers, flags: 5, stream: stream,
      payload: FrameClient.block(FrameClient.request("GET", "/never")))
  }

  static let floods: [Flood] = [
    Flood(name: "PING", count: 5000) { _ in
      FrameClient.encode(FrameClient.ping, payload: [1, 2, 3, 4, 5, 6, 7, 8])
    },
    Flood(name: "SETTINGS", count: 2000) { _ in FrameClient.encode(FrameClient.settings) },
    Flood(name: "empty DATA", opening: opening, count: 5000) { _ in
      FrameClient.encode(FrameClient.data, stream: 1)
    },
    Flood(name: "padded DATA without data", opening: opening, count: 5000) { _ in
      FrameClient.encode(FrameClient.data, flags: 8, stream: 1, payload: [3, 0, 0, 0])
    },
    Flood(name: "PRIORITY", count: 5000) { _ in
      FrameClient.encode(2, stream: 1, payload: [0, 0, 0, 0, 1])
    },
    Flood(name: "rapid reset", count: 3000) { index in
      let stream = UInt32(2 * index + 1)
      return never(stream) + FrameClient.encode(FrameClient.reset, stream: stream, payload: [0, 0, 0, 8])
    },
    Flood(name: "resets that the server is made to send", count: 3000) { index in
      let stream = UInt32(2 * index + 1)
      return never(stream)
        + FrameClient.encode(FrameClient.windowUpdate, stream: stream, payload: [0x7f, 0xff, 0xff, 0xff])
    },
    Flood(
      name: "CONTINUATION",
      opening: FrameClient.encode(
        FrameClient.headers, flags: 0, stream: 1, payload: FrameClient.block([(":method", "GET")])),
      count: 1000
    ) { _ in FrameClient.encode(FrameClient.continuation, stream: 1) },
    // One large field in the table of the decoder, referred to by a byte each.
    Flood(name: "a header block that unpacks to a huge list", count: 1) { index in
      FrameClient.encode(
        FrameClient.headers, flags: 4, stream: UInt32(2 * index + 1),
        payload: FrameClient.block(FrameClient.request("GET", "/collect")) + [
          0x40, 1, 0x78, 0x7f, 0xa1, 0x1e,
        ]
          + [UInt8](repeating: 0x76, count: 4000) + [UInt8](repeating: 0xbe, count: 10_000))
    },
  ]

  @Test(arguments: floods.indices) func `a flood ends its connection and no other`(_ index: Int) async throws
  {
    let flood = Self.floods[index]
    let server = try TransportFixture()
    defer { server.stop() }
    let other = FrameClient(port: server.port)
    // A server that gets next to no processor time forgives by the clock: the flood goes on until it is noticed.
    let code = await onThread { () -> UInt32? in
      let client = FrameClient(port: server.port)
      for round in 0..<60 where !client.isClosed {
        client.write(flood.bytes(round))
        if let away = client.next(within: .seconds(1), where: { $0.type == FrameClient.goaway }) {
          return away.code
        }
      }
      return nil
    }
    #expect(code == 11, "ENHANCE_YOUR_CALM for \(flood.name)")
    other.get(1, "/collect")
    #expect(other.answer(1).status == "200")
    await eventually { server.seen.counts.calmed == 1 && server.seen.open == 1 }
    #expect(server.seen.counts.faults == 1)
  }

  @Test func `what honest clients send often is no flood`() async throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let client = FrameClient(port: server.port)
    client.windowUpdate(0, 1 << 30)
    // As many pings as answers, as clients do that measure their bandwidth.
    for index in 0..<3000 {
      let stream = UInt32(2 * index + 1)
      client.get(stream, "/collect")
      client.frame(FrameClient.ping, payload: [0, 0, 0, 0, 0, 0, 0, 0])
      guard client.answer(stream).status == "200" else {
        Issue.record("request \(index) failed")
        break
      }
    }
    await eventually { server.seen.counts.streams == 3000 }
    #expect(server.seen.counts.faults == 0)
  }

  @Test func `more than 256 streams at once are refused, and safe to send again`() async throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let client = FrameClient(port: server.port)
    for index in 0..<300 { client.get(UInt32(2 * index + 1), "/never") }
    let refused = client.next { $0.type == FrameClient.reset }
    #expect(refused?.code == 7, "REFUSED_STREAM")
    #expect(refused?.stream == 513)
    await eventually { server.seen.counts.streams == 256 }
  }

  @Test func `bytes that are no HTTP/2 end the connection`() async throws {
    let server = try TransportFixture()
    defer { server.stop() }
    let client = FrameClient(port: server.port)
    client.frame(FrameClient.data, stream: 0, payload: [1])
    #expect(client.next { $0.type == FrameClient.goaway }?.code == 1)
    let other = FrameClient(port: server.port, preface: "PRI * HTTP/1.1\r\nhost: a.example\r\n\r\n")
    #expect(other.next { $0.type == FrameClient.goaway }?.code == 1)
    await eventually { server.seen.counts.faults == 2 }
  }
}
