import Domain
import Gateway
import HTTPModel
import TestSupport
import Testing

/// WebSockets of real clients and servers.
@Suite(.ownThread, .timeLimit(.minutes(5))) struct ProxyWebSocketTests {
  static let server = """
    import asyncio, websockets
    async def echo(ws):
        async for message in ws: await ws.send(message)
    async def main():
        async with websockets.serve(echo, "127.0.0.1", 0, max_size=None) as server:
            print(server.sockets[0].getsockname()[1], flush=True)
            await asyncio.get_running_loop().create_future()
    asyncio.run(main())
    """

  private func check(_ gateway: GatewayFixture, _ script: String) async {
    let text = """
      import asyncio, sys, websockets
      PORT = \(gateway.server.port)
      HEADERS = {"authorization": "Bearer \(GatewayFixture.good)", "x-node-id": "\(gateway.node)"}
      \(script)
      print("fine")
      """
    let result = await run([TestProcess.python, "-c", text])
    #expect(result.text.hasSuffix("fine\n"), "\(result.text)")
  }

  @Test func `messages of any size are echoed, and the end of either side is the end`() async throws {
    let server = try PythonServer(Self.server)
    let gateway = try GatewayFixture()
    gateway.publish(addresses: [server.address])
    await check(
      gateway,
      """
      async def main():
          async with websockets.connect(f"ws://127.0.0.1:{PORT}/a", additional_headers=HEADERS, max_size=None) as ws:
              for size in (0, 5, 126, 70000, 3000000):
                  await ws.send("x" * size); assert await ws.recv() == "x" * size
              await (await ws.ping())
          assert ws.close_code == 1000, ws.close_code
      asyncio.run(main())
      """)
    await gateway.settled()
    await gateway.stop()
    server.stop()
  }

  @Test func `who is connected when the server stops is told to go with 1001`() async throws {
    let server = try PythonServer(Self.server)
    let gateway = try GatewayFixture()
    gateway.publish(addresses: [server.address])
    let caller = Task {
      await check(
        gateway,
        """
        async def main():
            async with websockets.connect(f"ws://127.0.0.1:{PORT}/", additional_headers=HEADERS) as ws:
                try: await ws.recv()
                except websockets.ConnectionClosed as e: assert e.rcvd.code == 1001, e
        asyncio.run(main())
        """)
    }
    await eventually { gateway.metric("roost_gateway_in_flight_requests") == 1 }
    await gateway.server.drain(grace: .seconds(5))
    await caller.value
    await gateway.stop()
    server.stop()
  }

  /// Accepts a WebSocket, and says goodbye on it only when a connection without a request tells it to, which closes when nobody
  /// listens on the WebSocket any more. Requests to `/wait` are answered after 6 s, unless somebody closes the connection before;
  /// all others at once.
  private static let slowToLeave = """
    import select, socket, threading, time
    server = socket.socket(); server.bind(("127.0.0.1", 0)); server.listen(64)
    print(server.getsockname()[1], flush=True)
    told, closed = threading.Event(), threading.Event()
    def serve(peer):
        while True:
            head = b""
            while b"\\r\\n\\r\\n" not in head:
                part = peer.recv(65536)
                if head + part == b"now":
                    told.set()
                    closed.wait(60)
                    return peer.close()
                if not part: return peer.close()
                head += part
            if b"upgrade: websocket" in head:
                peer.sendall(b"HTTP/1.1 101 Switching Protocols\\r\\nupgrade: websocket\\r\\nconnection: upgrade\\r\\n\\r\\n")
                while peer.recv(65536): pass
                told.wait(60)
                try:
                    for _ in range(6000):
                        peer.sendall(b"\\x88\\x02\\x03\\xe9")
                        time.sleep(0.01)
                except OSError: closed.set()
                return peer.close()
            if head.startswith(b"GET /wait"):
                if select.select([peer], [], [], 6)[0]: return peer.close()
            peer.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\nok")
    while True: threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
    """

  @Test func `an instance that says goodbye after its caller has gone takes no other request with it`()
    async throws
  {
    let (leaving, staying) = (try PythonServer(Self.slowToLeave), try PythonServer(Self.slowToLeave))
    let gateway = try GatewayFixture()
    gateway.publish(addresses: [leaving.address])
    let caller = gateway.dial()
    caller.write(
      "GET / HTTP/1.1\r\n\(gateway.rawHeaders)connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    #expect(caller.read(until: "\r\n\r\n").contains("101 "))
    await eventually { gateway.metric("roost_gateway_in_flight_requests") == 1 }
    gateway.publish(addresses: [staying.address], generation: 2)
    gateway.endStreams()
    _ = caller.read()
    caller.close()
    // When this is answered, the loop has seen that the caller went.
    for _ in 0..<2 { #expect(try await gateway.request().status == 200) }
    await check(
      gateway,
      "import socket; s = socket.create_connection((\"127.0.0.1\", \(leaving.port))); s.sendall(b\"now\"); s.recv(1)"
    )
    // One on the connection that is kept, one on a new one.
    let others = [gateway.dial(), gateway.dial()]
    let question = "GET /wait HTTP/1.1\r\n\(gateway.rawHeaders)connection: close\r\n\r\n"
    for other in others { other.write(question) }
    for other in others {
      let answer = other.read()
      #expect(answer.contains("200 OK"), "\(answer)")
    }
    await gateway.settled()
    await gateway.stop()
    leaving.stop()
    staying.stop()
  }

  @Test func `a WebSocket over a stream of HTTP/2 reaches an instance of HTTP/1.1`() async throws {
    let server = try PythonServer(Self.server)
    let gateway = try GatewayFixture()
    gateway.publish(addresses: [server.address])
    await check(
      gateway,
      """
      import socket, h2.connection, h2.config, h2.events, h2.settings
      s = socket.create_connection(("127.0.0.1", PORT), timeout=5)
      c = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
      c.initiate_connection(); s.sendall(c.data_to_send())
      def events():
          while True:
              data = s.recv(65536)
              assert data, "closed"
              for e in c.receive_data(data):
                  if isinstance(e, h2.events.DataReceived): c.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
                  yield e
              s.sendall(c.data_to_send())
      it = events()
      for e in it:
          if isinstance(e, h2.events.RemoteSettingsChanged): break
      s.sendall(c.data_to_send())
      c.send_headers(1, [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/a"),
          (":authority", "h"), ("sec-websocket-version", "13")] + list(HEADERS.items()))
      s.sendall(c.data_to_send())
      for e in it:
          if isinstance(e, h2.events.ResponseReceived):
              got = dict(e.headers); assert got[":status"] == "200" and "sec-websocket-accept" not in got, got; break
      c.send_data(1, b"\\x81\\x82\\0\\0\\0\\0hi"); s.sendall(c.data_to_send())
      data = b""
      while data != b"\\x81\\x02hi":
          e = next(it)
          if isinstance(e, h2.events.DataReceived): data += e.data
      c.send_data(1, b"\\x88\\x82\\0\\0\\0\\0\\x03\\xe8", end_stream=True); s.sendall(c.data_to_send())
      for e in it:
          if isinstance(e, h2.events.StreamEnded): break
      """)
    await gateway.settled()
    await gateway.stop()
    server.stop()
  }

  @Test func `trailers of a request reach the instance`() async throws {
    let server = try PythonServer(
      """
      import socket
      s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(); print(s.getsockname()[1], flush=True)
      p, _ = s.accept(); data = b""
      while b"0\\r\\nx-sum: 7\\r\\nx-more: 8\\r\\n\\r\\n" not in data: data += p.recv(65536)
      p.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\nok"); p.recv(1)
      """)
    let gateway = try GatewayFixture()
    gateway.publish(addresses: [server.address])
    let raw = gateway.dial()
    raw.write(
      "POST / HTTP/1.1\r\n\(gateway.rawHeaders)transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 7\r\nx-mo"
    )
    raw.write("re: 8\r\n\r\n")
    #expect(raw.read(until: "ok").contains("200 OK"))
    raw.close()
    await gateway.settled()
    await gateway.stop()
    server.stop()
  }
}
