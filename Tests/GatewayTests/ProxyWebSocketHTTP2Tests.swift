import Domain
import Gateway
import TestSupport
import Testing

/// WebSockets to instances of HTTP/2 (RFC 8441): hypercorn behind, the stock client of Python and streams of h2 in front.
@Suite(.ownThread, .timeLimit(.minutes(5))) struct ProxyWebSocketHTTP2Tests {
  /// Echoes; does as the path and the messages say. A plain GET tells the codes with which callers went.
  static let server = """
    import asyncio, json, socket
    from hypercorn.asyncio import serve
    from hypercorn.config import Config
    codes = []
    async def app(scope, receive, send):
        if scope["type"] == "http":
            body = json.dumps([scope["http_version"], codes]).encode()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]})
            await send({"type": "http.response.body", "body": body})
        elif scope["type"] == "websocket":
            await receive()
            if scope["path"] == "/no": return await send({"type": "websocket.close"})
            await send({"type": "websocket.accept", "subprotocol": next(iter(scope["subprotocols"]), None)})
            while (event := await receive())["type"] == "websocket.receive":
                if event.get("text") == "where":
                    seen = {k.decode(): v.decode() for k, v in scope["headers"]}
                    await send({"type": "websocket.send", "text": json.dumps(
                        [scope["http_version"], scope["path"], scope["query_string"].decode(), seen])})
                elif event.get("text") == "leave": await send({"type": "websocket.close", "code": 4001})
                elif event.get("bytes") is not None: await send({"type": "websocket.send", "bytes": event["bytes"]})
                else: await send({"type": "websocket.send", "text": event["text"]})
            codes.append(event.get("code"))
        else:
            while (await receive())["type"] != "lifespan.shutdown": await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
    s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(200)
    config = Config(); config.bind = [f"fd://{s.fileno()}"]; config.errorlog = None
    config.websocket_max_message_size = 64 << 20
    print(s.getsockname()[1], flush=True)
    asyncio.run(serve(app, config))
    """

  private func check(_ gateway: GatewayFixture, _ script: String) async {
    let text = """
      import asyncio, json, sys, websockets
      PORT = \(gateway.server.port)
      HEADERS = {"authorization": "Bearer \(GatewayFixture.good)", "x-node-id": "\(gateway.node)"}
      def dial(path="/", **more): return websockets.connect(f"ws://127.0.0.1:{PORT}{path}", additional_headers=HEADERS, **more)
      \(script)
      print("fine")
      """
    let result = await run([TestProcess.python, "-c", text])
    #expect(result.text.hasSuffix("fine\n"), "\(result.text)")
  }

  /// A caller of RFC 8441 with its connection `c`, socket `s` and events `it`; `opened` holds the head of the answer.
  private static let stream = """
    import socket, h2.connection, h2.config, h2.events
    s = socket.create_connection(("127.0.0.1", PORT), timeout=30)
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
    def open(path):
        c.send_headers(1, [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", path),
            (":authority", "h"), ("sec-websocket-version", "13")] + list(HEADERS.items()))
        s.sendall(c.data_to_send())
        return dict(until(h2.events.ResponseReceived).headers)
    def until(*kinds):
        for e in it:
            if isinstance(e, kinds): return e
    def send(data, end=False): c.send_data(1, data, end_stream=end); s.sendall(c.data_to_send())

    """

  private func withInstance(
    _ script: String = server, arguments: [String] = [], proxying: RoutedProxying = RoutedProxying(),
    _ body: (GatewayFixture, PythonServer) async throws -> Void
  ) async throws {
    let server = try PythonServer(script, arguments: arguments)
    let gateway = try GatewayFixture()
    gateway.publish(addresses: [server.address], .http2, limit: 1000, proxying: proxying)
    try await body(gateway, server)
    await gateway.settled()
    await gateway.stop()
    server.stop()
  }

  @Test func `a caller of HTTP/1.1 talks to an instance of HTTP/2, and the end of either is the end`()
    async throws
  {
    try await withInstance { gateway, _ in
      await check(
        gateway,
        """
        async def main():
            async with dial("/a?b=c", subprotocols=["chat"], max_size=None) as ws:
                assert ws.subprotocol == "chat", ws.subprotocol
                for size in (0, 5, 126, 70000, 3000000):
                    await ws.send("x" * size); assert await ws.recv() == "x" * size
                await ws.send(b"\\0\\xff"); assert await ws.recv() == b"\\0\\xff"
                await (await ws.ping()); await ws.send("where")
                version, path, query, seen = json.loads(await ws.recv())
                assert (version, path, query) == ("2", "/a", "b=c"), (version, path, query)
                assert "x-request-id" in seen and seen["sec-websocket-version"] == "13", seen
                assert not {"authorization", "x-node-id", "sec-websocket-key", "upgrade", "connection"} & set(seen), seen
            assert ws.close_code == 1000, ws.close_code
            async with dial() as ws:
                await ws.send("leave")
                try: await ws.recv()
                except websockets.ConnectionClosed as e: assert e.rcvd.code == 4001, e
        asyncio.run(main())
        """)
      let codes = await shell(
        "curl -sS http://127.0.0.1:\(gateway.server.port)/ -H 'x-node-id: \(gateway.node)' "
          + "-H 'authorization: Bearer \(GatewayFixture.good)'")
      // hypercorn tells its app of an abnormal closure even when there was a close frame.
      #expect(codes.hasPrefix(#"["2", [100"#), "\(codes)")
    }
  }

  @Test func `a stream of HTTP/2 talks to an instance of HTTP/2, and closes its side alone`() async throws {
    try await withInstance { gateway, _ in
      await check(
        gateway,
        Self.stream
          + """
          got = open("/a")
          assert got[":status"] == "200" and "sec-websocket-accept" not in got, got
          send(b"\\x81\\x82\\0\\0\\0\\0hi")
          data = b""
          while data != b"\\x81\\x02hi": data += until(h2.events.DataReceived).data
          send(b"\\x88\\x82\\0\\0\\0\\0\\x03\\xe8", end=True)
          data = b""
          while True:
              e = until(h2.events.DataReceived, h2.events.StreamEnded)
              if isinstance(e, h2.events.StreamEnded): break
              data += e.data
          assert data == b"\\x88\\x02\\x03\\xe8", data
          """)
    }
  }

  @Test func `what an instance of HTTP/2 refuses is refused in its words`() async throws {
    try await withInstance { gateway, _ in
      await check(
        gateway,
        """
        async def main():
            try:
                async with dial("/no"): assert False
            except websockets.InvalidStatus as e: assert e.response.status_code == 403, e.response
        asyncio.run(main())
        """)
      await check(gateway, Self.stream + #"assert open("/no")[":status"] == "403""#)
    }
  }

  @Test func `many WebSockets to one instance take several connections when one is full`() async throws {
    try await withInstance { gateway, _ in
      await check(
        gateway,
        """
        async def one(number):
            async with dial() as ws:
                await ws.send(str(number)); assert await ws.recv() == str(number)
                await together.wait()
                await ws.send(str(-number)); assert await ws.recv() == str(-number)
        async def main():
            global together
            together = asyncio.Barrier(150) if hasattr(asyncio, "Barrier") else Together(150)
            await asyncio.gather(*(one(n) for n in range(1, 151)))
        class Together:
            def __init__(self, count): self.count = count; self.all = asyncio.Event()
            async def wait(self):
                self.count -= 1
                if self.count == 0: self.all.set()
                await self.all.wait()
        asyncio.run(main())
        """)
    }
  }

  @Test func `an instance without extended CONNECT answers 501 with the reason and stays in rotation`()
    async throws
  {
    let nginx = try await NginxServer("location / { return 200 fine; }", listen: "http2")
    let gateway = try GatewayFixture()
    gateway.publish(addresses: [nginx.address], .http2)
    await check(
      gateway,
      """
      async def main():
          try:
              async with dial(): assert False
          except websockets.InvalidStatus as e:
              assert e.response.status_code == 501, e.response
              assert b"SETTINGS_ENABLE_CONNECT_PROTOCOL" in e.response.body, e.response.body
              assert b"endpoint type http" in e.response.body and e.response.headers["x-roost-fault"] == "node"
      for _ in range(6): asyncio.run(main())
      """)
    await check(gateway, Self.stream + #"assert open("/")[":status"] == "501""#)
    let raw = gateway.dial()
    raw.write("GET / HTTP/1.1\r\n\(gateway.rawHeaders)\r\n")
    #expect(raw.read(until: "fine").hasPrefix("HTTP/1.1 200"))
    raw.close()
    await gateway.settled()
    await gateway.stop()
    nginx.stop()
  }

  @Test(arguments: [
    "", "sec-websocket-key: short\r\n", "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAAA=\r\n",
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
  ]) func `a handshake without one good key is a bad request`(key: String) async throws {
    try await withInstance { gateway, _ in
      let raw = gateway.dial()
      raw.write(
        "GET / HTTP/1.1\r\n\(gateway.rawHeaders)connection: Upgrade\r\nupgrade: websocket\r\n"
          + "sec-websocket-version: 13\r\n\(key)\r\n")
      let answer = raw.read(until: "}")
      #expect(answer.hasPrefix("HTTP/1.1 400") && answer.contains("sec-websocket-key"), "\(answer)")
      raw.close()
    }
  }

  @Test func `the answer to the key of a handshake is that of RFC 6455`() async throws {
    try await withInstance { gateway, _ in
      let raw = gateway.dial()
      raw.write(
        "GET / HTTP/1.1\r\n\(gateway.rawHeaders)connection: Upgrade\r\nupgrade: WebSocket\r\n"
          + "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
      let head = raw.read(until: "\r\n\r\n")
      #expect(head.hasPrefix("HTTP/1.1 101 Switching Protocols\r\n"), "\(head)")
      #expect(head.contains("\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"))
      #expect(head.contains("\r\nupgrade: websocket\r\n") && head.contains("\r\nconnection: Upgrade\r\n"))
      raw.close()
    }
  }

  @Test(arguments: [true, false]) func `both ends are told to go with 1001 when the way closes`(drains: Bool)
    async throws
  {
    try await withInstance { gateway, server in
      let caller = Task {
        await check(
          gateway,
          """
          async def main():
              async with dial() as ws:
                  try: await ws.recv()
                  except websockets.ConnectionClosed as e: assert e.rcvd.code == 1001, e
          asyncio.run(main())
          """)
      }
      await eventually { gateway.metric("roost_gateway_in_flight_requests") == 1 }
      if drains {
        await gateway.server.drain(grace: .seconds(20))
      } else {
        gateway.publish(addresses: [], generation: 2)
        gateway.endStreams()
      }
      await caller.value
      #expect(
        await eventually { await shell("curl -sS http://\(server.address)/").hasPrefix(#"["1.1", [100"#) })
    }
  }

  @Test func `an instance that dies ends its WebSockets, a caller that vanishes frees the instance`()
    async throws
  {
    try await withInstance { gateway, server in
      await check(
        gateway,
        """
        async def main():
            ws = await dial()
            await ws.send("hi"); assert await ws.recv() == "hi"
            ws.transport.abort()
        asyncio.run(main())
        """)
      await gateway.settled()
      // The caller itself kills, once the way is known to be open.
      await check(
        gateway,
        """
        import os
        async def main():
            async with dial() as ws:
                await ws.send("hi"); assert await ws.recv() == "hi"
                os.kill(\(server.pid), 9)
                try: await ws.recv(); assert False
                except websockets.ConnectionClosed as e: assert e.rcvd is None, e
        asyncio.run(main())
        """)
    }
  }

  @Test func `a WebSocket on which nothing passes ends with the idle timeout`() async throws {
    try await withInstance(proxying: RoutedProxying(idleTimeoutMilliseconds: 300)) { gateway, _ in
      await check(
        gateway,
        """
        async def main():
            async with dial(ping_interval=None) as ws:
                try: await ws.recv(); assert False
                except websockets.ConnectionClosed as e: assert e.rcvd is None, e
        asyncio.run(main())
        """)
    }
  }

  /// Accepts what is asked for at `/ws`, at `/bye` with a word after which it closes its side. What comes, `.` for the end and
  /// `!` for a reset, is kept in hexadecimal in the file that is named.
  private static let listener = """
    import socket, sys, h2.connection, h2.config, h2.events, h2.settings
    l = socket.socket(); l.bind(("127.0.0.1", 0)); l.listen(); print(l.getsockname()[1], flush=True)
    s, _ = l.accept()
    c = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
    c.local_settings = h2.settings.Settings(False, {h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL: 1})
    c.initiate_connection(); s.sendall(c.data_to_send())
    seen = b""
    while data := s.recv(65536):
        for e in c.receive_data(data):
            if isinstance(e, h2.events.RequestReceived):
                c.send_headers(e.stream_id, [(":status", "200")])
                if dict(e.headers)[":path"] == "/bye": c.send_data(e.stream_id, b"bye", end_stream=True)
            elif isinstance(e, h2.events.DataReceived):
                seen += e.data
                c.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
            elif isinstance(e, h2.events.StreamEnded): seen += b"."
            elif isinstance(e, h2.events.StreamReset): seen += b"!"
        s.sendall(c.data_to_send())
        with open(sys.argv[1], "w") as f: f.write(seen.hex())
    """

  private func withListener(
    _ path: String, until marker: String = "\r\n\r\n",
    _ body: (GatewayFixture, RawClient, _ seen: String) async throws -> Void
  ) async throws {
    let folder = TestProcess.folder()
    try await withInstance(Self.listener, arguments: [folder + "/seen"]) { gateway, _ in
      let raw = gateway.dial()
      raw.write(
        "GET \(path) HTTP/1.1\r\n\(gateway.rawHeaders)connection: Upgrade\r\nupgrade: websocket\r\n"
          + "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
      #expect(raw.read(until: marker).hasPrefix("HTTP/1.1 101"))
      try await body(gateway, raw, "cat \(folder)/seen")
      raw.close()
    }
    _ = await shell("rm -r \(folder)")
  }

  @Test
  func `the instance is told 1001 between two frames when the way closes, and the stream is not left open`()
    async throws
  {
    try await withListener("/ws") { gateway, raw, seen in
      raw.write([0x81, 0x85, 0, 0, 0, 0, 0x68, 0x65])
      #expect(await eventually { await shell(seen) == "818500000000" + "6865" })
      gateway.publish(addresses: [], generation: 2)
      gateway.endStreams()
      #expect(raw.readBytes() == [0x88, 0x02, 0x03, 0xe9])
      raw.write([0x6c, 0x6c, 0x6f])
      // It neither answers nor ends the stream: after a while that is done for it.
      #expect(
        await eventually {
          await shell(seen) == "818500000000" + "68656c6c6f" + "88820000000003e9" + "2e" + "21"
        })
    }
  }

  @Test func `after the instance has closed its side the caller's bytes still arrive`() async throws {
    try await withListener("/bye", until: "\r\n\r\nbye") { _, raw, seen in
      #expect(raw.read().isEmpty)
      raw.write("later")
      #expect(await eventually { await shell(seen) == "6c61746572" })
      raw.close()
      #expect(await eventually { await shell(seen) == "6c61746572" + "2e" })
    }
  }

  @Test func `a caller that closes its side alone is let go after some silence`() async throws {
    try await withListener("/ws") { gateway, raw, seen in
      raw.write("bye")
      raw.close()
      #expect(await eventually { await shell(seen) == "627965" + "2e" })
      await gateway.settled()
      #expect(await eventually { await shell(seen) == "627965" + "2e" + "21" })
    }
  }
}
