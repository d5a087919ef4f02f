import CLinux
import Domain
import Gateway
import HTTPModel
import TestSupport
import Testing

/// Which instance gets a request, and what becomes of those that one gives back.
@Suite(.ownThread, .timeLimit(.minutes(5))) struct BalancingTests {
  /// Publishes the node with these instances.
  private func publish(
    _ gateway: GatewayFixture, _ instances: [RoutedInstance], generation: UInt64 = 1,
    proxying: RoutedProxying = RoutedProxying()
  ) {
    let folder = GatewayFixture.folder
    let routed = RoutedNode(
      id: gateway.node, name: "n", release: 1, folderID: folder, acl: [folder], timeoutMilliseconds: 0,
      proxying: proxying, instances: instances)
    gateway.server.publish(
      RoutingTable(
        generation: generation, nodes: [routed], grants: [RoutedGrant(subject: "alice", folderID: folder)]))
  }

  private func instance(
    _ address: String, _ number: Int, zone: String = "", limit: Int = 100, since: Timestamp? = nil
  ) -> RoutedInstance {
    RoutedInstance(
      id: InstanceID("ins0000000000000000\(number)") ?? .random(),
      endpoint: Endpoint(address: address, wireProtocol: .http1), limit: limit, zone: zone,
      healthySince: since)
  }

  // MARK: What an instance gives back

  @Test func `streams above the last one of a GOAWAY are sent again, and none is lost`() async throws {
    // The first connection takes ten of forty requests and says goodbye to the rest.
    let server = try PythonServer(
      PythonServer.frames(
        """
        def serve(p, number):
            bodies = {}; done = []; said = False
            for kind, flags, stream, payload in frames(p):
                if kind == DATA: bodies[stream] = bodies.get(stream, b"") + payload
                if kind in (HEADERS, DATA) and flags & 1: done.append(stream)
                if number > 1:
                    while done: stream = done.pop(); answer(p, stream, bodies.get(stream, b""))
                elif len(done) == 40 and not said:
                    said = True; last = sorted(done)[9]
                    send(p, GOAWAY, 0, 0, struct.pack(">II", last, 0))
                    for stream in sorted(done)[:10]: answer(p, stream, bodies[stream])
        """))
    let gateway = try GatewayFixture()
    gateway.publish(addresses: [server.address], .http2)
    let calls = (0..<40).map { index in
      Task { try await gateway.request("POST", "/", body: Array("body \(index)".utf8)) }
    }
    for (index, call) in calls.enumerated() {
      let answer = try await call.value
      #expect(answer.status == 200 && answer.text == "body \(index)", "\(answer.status) \(answer.text)")
    }
    await gateway.settled()
    await gateway.stop()
    server.stop()
  }

  @Test func `what a GOAWAY gives back waits its turn when every place is taken`() async throws {
    // One place: whoever waits gets it at once, and the one that was given back must not fail for that.
    let server = try PythonServer(
      PythonServer.frames(
        """
        def serve(p, number):
            for kind, flags, stream, payload in frames(p):
                if kind not in (HEADERS, DATA) or not flags & 1: continue
                if number == 1: send(p, GOAWAY, 0, 0, struct.pack(">II", 0, 0))
                else: answer(p, stream, b"ok")
        """))
    let gateway = try GatewayFixture(loops: 2)
    gateway.publish(addresses: [server.address], .http2, limit: 1)
    let calls = (0..<20).map { _ in Task { try await gateway.request("POST", "/", body: [1]) } }
    for call in calls { #expect(try await call.value.text == "ok") }
    await gateway.settled()
    await gateway.stop()
    server.stop()
  }

  /// Refuses each stream until so many were refused on the connection.
  private static func refusing(_ count: Int) -> String {
    PythonServer.frames(
      """
      def serve(p, number):
          refused = 0
          for kind, flags, stream, payload in frames(p):
              if kind != HEADERS: continue
              refused += 1
              if refused <= \(count): send(p, RESET, 0, stream, struct.pack(">I", 7))
              else: answer(p, stream, b"taken")
      """)
  }

  @Test func `a stream that was refused is sent again, whatever its method`() async throws {
    let server = try PythonServer(Self.refusing(2))
    let gateway = try GatewayFixture()
    gateway.publish(addresses: [server.address], .http2)
    let answer = try await gateway.request(
      "POST", "/", headers: [(name: "x-request-id", value: "again")], body: [1])
    #expect(answer.status == 200 && answer.text == "taken")
    await gateway.settled()
    #expect(gateway.server.explain("again")?.retries == 2)
    await gateway.stop()
    server.stop()
  }

  @Test func `when the budget of retries is used up, requests fail at once and say why`() async throws {
    let server = try PythonServer(Self.refusing(1_000_000))
    let gateway = try GatewayFixture()
    gateway.publish(addresses: [server.address], .http2)
    for index in 0..<40 {
      let answer = try await gateway.request(
        "POST", "/", headers: [(name: "x-request-id", value: "r\(index)")], body: [1])
      #expect(answer.status == 502 && answer.text.contains("it refused the stream"))
      if index == 0 { #expect(answer.text.contains("(attempt 3)")) }
    }
    await gateway.settled()
    let retries = (0..<40).map { gateway.server.explain("r\($0)")?.retries ?? -1 }
    // Twenty at any time and a fifth of the requests; without a budget it would be eighty.
    #expect((20...28).contains(retries.reduce(0, +)), "\(retries)")
    #expect(retries.suffix(4).allSatisfy { $0 <= 1 })
    await gateway.stop()
    server.stop()
  }

  // MARK: Who gets it

  @Test(arguments: [0, 3600]) func `an instance that has just come gets its part little by little`(
    seconds: Int
  ) async throws {
    let (old, new) = (try PythonServer(PythonServer.gate), try PythonServer(PythonServer.gate))
    let gateway = try GatewayFixture()
    publish(
      gateway,
      [instance(old.address, 0), instance(new.address, 1, since: Timestamp(microseconds: roost_wall_us()))],
      proxying: RoutedProxying(slowStartMilliseconds: UInt32(seconds * 1000)))
    let calls = (0..<40).map { _ in Task { try await gateway.request().text } }
    await eventually { gateway.metric("roost_gateway_in_flight_requests") == 40 }
    old.open()
    new.open()
    var part = 0
    for call in calls where try await call.value == "\(new.port)" { part += 1 }
    #expect(seconds == 0 ? part == 20 : part <= 2, "\(part) of 40")
    await gateway.settled()
    await gateway.stop()
    old.stop()
    new.stop()
  }

  @Test func `instances of the gateway's own zone come first, others when those are full or gone`()
    async throws
  {
    let (near, far) = (try PythonServer(PythonServer.gate), try PythonServer(PythonServer.gate))
    let gateway = try GatewayFixture(zone: "here")
    let there = instance(far.address, 1, zone: "there")
    publish(gateway, [instance(near.address, 0, zone: "here", limit: 1), there])
    for _ in 0..<10 { #expect(try await gateway.request("GET", "/now").text == "\(near.port)") }
    let held = Task { try await gateway.request().text }
    await eventually { gateway.metric("roost_gateway_in_flight_requests") == 1 }
    #expect(try await gateway.request("GET", "/now").text == "\(far.port)")
    near.open()
    #expect(try await held.value == "\(near.port)")
    publish(gateway, [there], generation: 2)
    #expect(try await gateway.request("GET", "/now").text == "\(far.port)")
    // Who does not say where it is counts as near.
    publish(gateway, [instance(near.address, 2), there], generation: 3)
    for _ in 0..<4 { #expect(try await gateway.request("GET", "/now").text == "\(near.port)") }
    await gateway.settled()
    await gateway.stop()
    near.stop()
    far.stop()
  }

  // MARK: Drain

  @Test func `a drain ends kept connections with their answer: close for HTTP/1.1, GOAWAY for HTTP/2`()
    async throws
  {
    let server = try PythonServer(PythonServer.gate)
    let gateway = try GatewayFixture()
    gateway.publish(addresses: [server.address])
    let raw = gateway.dial()
    raw.write("GET / HTTP/1.1\r\n\(gateway.rawHeaders)\r\n")
    // In raw frames: the library of Python takes nothing more after a GOAWAY.
    let script = """
      import socket
      def literal(name, value): return b"\\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
      block = b"\\x82\\x86\\x84" + literal(":authority", "h") + literal("x-node-id", "\(gateway.node)") \\
          + literal("authorization", "Bearer \(GatewayFixture.good)")
      s = socket.create_connection(("127.0.0.1", \(gateway.server.port)), timeout=20)
      s.sendall(b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
          + bytes([0, 0, len(block), 1, 5, 0, 0, 0, 1]) + block)
      f = s.makefile("rb"); seen = []
      while len(head := f.read(9)) == 9:
          payload = f.read(int.from_bytes(head[:3], "big")); seen.append((head[3], head[4], payload))
          if head[3] == 6 and not head[4] & 1: s.sendall(bytes([0, 0, 8, 6, 1, 0, 0, 0, 0]) + payload)
      assert any(kind == 7 and payload[4:8] == bytes(4) for kind, _, payload in seen), seen
      body = b"".join(payload for kind, _, payload in seen if kind == 0)
      assert body == b"\(server.port)" and any(kind == 0 and flags & 1 for kind, flags, _ in seen), seen
      print("fine")
      """
    let second = Task { await run([TestProcess.python, "-c", script]) }
    await eventually { gateway.metric("roost_gateway_in_flight_requests") == 2 }
    let drained = Task { await gateway.server.drain(grace: .seconds(20)) }
    await eventually { gateway.dialFails }
    server.open()
    let first = raw.read()
    #expect(first.hasPrefix("HTTP/1.1 200 ") && first.lowercased().contains("connection: close"), "\(first)")
    #expect(first.hasSuffix("\(server.port)"))
    let result = await second.value
    #expect(result.text.hasSuffix("fine\n"), "\(result.text)")
    await drained.value
    await gateway.stop()
    server.stop()
  }
}
