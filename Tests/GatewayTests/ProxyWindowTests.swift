import Domain
import HTTPModel
import TestSupport
import Testing

/// How far instances of HTTP/2 may send ahead of those who take their answers.
@Suite(.ownThread, .timeLimit(.minutes(5))) struct ProxyWindowTests {
  @Test func `a large answer gets a wider window, and the next one gets it sooner`() async throws {
    // Sends as far as the window lets it, pings, and looks at what the window has become when that is answered. What is there at
    // most grows when a whole window was taken within a second: a slow machine needs more tries.
    let server = try PythonServer(
      PythonServer.frames(
        """
        WINDOW, PING = 8, 6
        def serve(p, number):
            incoming = frames(p); part = bytes(16384)
            for kind, flags, stream, payload in incoming:
                if kind != HEADERS: continue
                window = widest = 256 << 10; connection = 16 << 20; sent = 0
                send(p, HEADERS, 4, stream, b"\\x88")
                while widest < 2 << 20 | 1 and sent < 1 << 30:
                    for _ in range(8):
                        if min(window, connection) < len(part): break
                        send(p, DATA, 0, stream, part)
                        window -= len(part); connection -= len(part); sent += len(part)
                    send(p, PING, 0, 0, bytes(8))
                    for kind, flags, of, payload in incoming:
                        if kind == WINDOW and of == stream: window += int.from_bytes(payload, "big")
                        if kind == WINDOW and of == 0: connection += int.from_bytes(payload, "big")
                        if kind == PING: break
                    widest = max(widest, window)
                send(p, DATA, 1, stream, b"%d of %d" % (widest, sent))
        """))
    let gateway = try GatewayFixture()
    gateway.publish(addresses: [server.address], .http2)
    func widest() async throws -> (window: Int, after: Int) {
      let answer = try await gateway.request("GET", "/")
      let end = answer.body.suffix(20).split(separator: 0).last ?? []
      let words = String(decoding: end, as: UTF8.self).split(separator: " ")
      return (Int(words.first ?? "") ?? 0, Int(words.last ?? "") ?? 0)
    }
    let first = try await widest()
    // Only a window of 4 MiB is more than 2.
    #expect(first.window > 2 << 20 && first.window <= 4 << 20)
    #expect(first.after >= (256 + 512 + 1024) << 10)
    let second = try await widest()
    #expect(second.window > 2 << 20 && second.window <= 4 << 20)
    #expect(second.after < 1 << 20, "as soon as it turned out to be large")
    await gateway.settled()
    await gateway.stop()
    server.stop()
  }
}
