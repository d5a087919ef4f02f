import Domain
import Gateway
import HTTPModel
import Telemetry
import TestSupport
import Testing

/// gRPC and other HTTP/2 to instances that speak HTTP/2.
@Suite(.ownThread, .timeLimit(.minutes(5))) struct ProxyGRPCTests {
  static let server = """
    import sys, time, grpc, threading
    from concurrent import futures
    def meta(ctx): return dict(ctx.invocation_metadata())
    def unary(data, ctx):
        seen = meta(ctx)
        if data == b"stuck": time.sleep(3)
        ctx.send_initial_metadata((("seen", ",".join(sorted(k for k in seen if k != "user-agent"))),))
        ctx.set_trailing_metadata((("left-ms", str(int((ctx.time_remaining() or 0) * 1000))),))
        if data == b"fail": ctx.abort(grpc.StatusCode.FAILED_PRECONDITION, "not now: ü")
        if data == b"slow":
            while ctx.is_active(): time.sleep(0.01)
            gone.set()
        if data == b"gone?": return b"yes" if gone.wait(5) else b"no"
        return data[::-1]
    gone = threading.Event()
    def collect(parts, ctx): return b"".join(parts)
    def many(data, ctx):
        for i in range(int(data)):
            yield b"%d" % i
            if i == 0: time.sleep(0.05)
    def both(parts, ctx):
        for part in parts: yield part.upper()
    def big(data, ctx): return b"x" * int(data)
    h = {"Unary": grpc.unary_unary_rpc_method_handler(unary), "Collect": grpc.stream_unary_rpc_method_handler(collect),
         "Many": grpc.unary_stream_rpc_method_handler(many), "Both": grpc.stream_stream_rpc_method_handler(both),
         "Big": grpc.unary_unary_rpc_method_handler(big)}
    s = grpc.server(futures.ThreadPoolExecutor(32), options=[("grpc.max_receive_message_length", -1)])
    s.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", h),))
    port = s.add_insecure_port("127.0.0.1:" + (sys.argv[1:] or ["0"])[0]); s.start(); print(port, flush=True); s.wait_for_termination()
    """

  /// A client's checks in Python; `call`, `meta` and `grpc` are there. Prints "fine" at the end.
  private func check(_ gateway: GatewayFixture, _ script: String) async {
    let text = """
      import sys, time, grpc, threading
      channel = grpc.insecure_channel("127.0.0.1:\(gateway.server.port)", options=[("grpc.max_receive_message_length", -1)])
      meta = (("authorization", "Bearer \(GatewayFixture.good)"), ("x-node-id", "\(gateway.node)"),
              ("x-folder-id", "\(GatewayFixture.folder)"))
      unary = channel.unary_unary("/t.T/Unary"); collect = channel.stream_unary("/t.T/Collect")
      many = channel.unary_stream("/t.T/Many"); both = channel.stream_stream("/t.T/Both"); big = channel.unary_unary("/t.T/Big")
      def failure(call):
          try: call()
          except grpc.RpcError as e: return e
          raise SystemExit("no error")
      \(script)
      print("fine")
      """
    let result = await run([TestProcess.python, "-c", text])
    #expect(result.text.hasSuffix("fine\n"), "\(result.text)")
  }

  @Test func `all four kinds of calls pass, with metadata, deadlines, statuses and large messages`()
    async throws
  {
    let server = try PythonServer(Self.server)
    let gateway = try GatewayFixture()
    gateway.publish(addresses: [server.address], .http2)
    await check(
      gateway,
      """
      answer, call = unary.with_call(b"abc", metadata=meta, timeout=5)
      assert answer == b"cba", answer
      seen = dict(call.initial_metadata())
      assert "authorization" not in seen["seen"] and "x-node-id" not in seen["seen"], seen
      assert "x-forwarded-for" in seen["seen"] and "x-request-id" in seen, seen
      left = int(dict(call.trailing_metadata())["left-ms"]); assert 3000 < left <= 5000, left
      assert collect(iter([b"a"] * 1000), metadata=meta) == b"a" * 1000
      start = time.monotonic(); parts = many(b"3", metadata=meta)
      assert next(parts) == b"0" and time.monotonic() - start < 5 and list(parts) == [b"1", b"2"]
      steps = []
      def ask():
          for i in range(5): steps.append(i); yield b"m%d" % i
      assert list(both(ask(), metadata=meta)) == [b"M%d" % i for i in range(5)]
      gzip = grpc.Compression.Gzip
      answer, call = unary.with_call(b"abc" * 9000, metadata=meta, compression=gzip)
      assert answer == b"cba" * 9000 and "grpc-encoding" not in dict(call.initial_metadata())
      assert list(both(iter([b"m" * 9000, b"n"]), metadata=meta, compression=gzip)) == [b"M" * 9000, b"N"]
      e = failure(lambda: unary(b"fail", metadata=meta))
      assert e.code() == grpc.StatusCode.FAILED_PRECONDITION and e.details() == "not now: ü", e
      e = failure(lambda: channel.unary_unary("/t.T/None")(b"", metadata=meta))
      assert e.code() == grpc.StatusCode.UNIMPLEMENTED, e
      assert big(b"9000000", metadata=meta) == b"x" * 9000000
      assert unary(b"y" * 9000000, metadata=meta) == b"y" * 9000000
      e = failure(lambda: unary(b"slow", metadata=meta, timeout=0.2))
      assert e.code() == grpc.StatusCode.DEADLINE_EXCEEDED, e
      assert unary(b"gone?", metadata=meta) == b"yes"
      threads = [threading.Thread(target=lambda: [unary(b"abc", metadata=meta) for _ in range(50)]) for _ in range(8)]
      [t.start() for t in threads]; [t.join() for t in threads]
      """)
    await gateway.settled()
    let metrics = String(decoding: gateway.metrics.text(), as: UTF8.self)
    let counted = "node_grpc_codes{node_id=\"\(gateway.node)\",node_path="
    #expect(metrics.contains(counted + "\"/t.T/None\",code=\"12\"} 1"), "an answer of trailers alone")
    let good = metrics.split(separator: "\n").filter { $0.hasPrefix(counted) && $0.contains("code=\"0\"") }
    #expect(good.compactMap { $0.split(separator: " ").last.flatMap { Int($0) } }.reduce(0, +) > 400)
    await gateway.stop()
    server.stop()
  }

  @Test func `what goes wrong at the gateway is a status of gRPC`() async throws {
    let server = try PythonServer(Self.server)
    let gateway = try GatewayFixture()
    let nobody = "127.0.0.1:\(TestProcess.closedPort())"
    gateway.publish(addresses: [nobody], .http2)
    await check(
      gateway,
      """
      e = failure(lambda: unary(b"a", metadata=meta))
      assert e.code() == grpc.StatusCode.UNAVAILABLE and "\(nobody)" in e.details(), e
      e = failure(lambda: unary(b"a", metadata=meta[1:]))
      assert e.code() == grpc.StatusCode.UNAUTHENTICATED, e
      e = failure(lambda: unary(b"a", metadata=meta[:2] + (("x-folder-id", "f"),)))
      assert e.code() == grpc.StatusCode.PERMISSION_DENIED, e
      """)
    gateway.publish(addresses: [nobody, server.address], .http2, generation: 2)
    await check(gateway, "for _ in range(4): assert unary(b'ab', metadata=meta) == b'ba'")
    gateway.publish(
      addresses: [server.address], .http2, generation: 3,
      proxying: RoutedProxying(firstByteTimeoutMilliseconds: 200))
    await check(
      gateway,
      """
      e = failure(lambda: unary(b"stuck", metadata=meta))
      assert e.code() == grpc.StatusCode.DEADLINE_EXCEEDED and "first-byte" in e.details(), e
      """)
    await gateway.settled()
    await gateway.stop()
    server.stop()
  }

  @Test func `an instance that dies in a stream ends it with UNAVAILABLE, and its successor is found`()
    async throws
  {
    let server = try PythonServer(Self.server)
    let gateway = try GatewayFixture()
    gateway.publish(addresses: [server.address], .http2)
    await check(
      gateway,
      """
      parts = both(iter(lambda: (time.sleep(0.05), b"a")[1], None), metadata=meta)
      assert next(parts) == b"A"
      import os; os.kill(\(server.pid), 9)
      try:
          for part in parts: pass
          raise SystemExit("it ended well")
      except grpc.RpcError as e: assert e.code() == grpc.StatusCode.UNAVAILABLE, e
      """)
    server.stop()
    let next = try PythonServer(Self.server, arguments: ["\(server.port)"])
    await check(gateway, "assert unary(b'ab', metadata=meta) == b'ba'")
    await gateway.settled()
    await gateway.stop()
    next.stop()
  }

  @Test func `HTTP/1.1 to an instance of HTTP/2, and HTTP/2 to one of HTTP/1.1`() async throws {
    let nginx = try await NginxServer(
      "location /big { } location / { return 200 'hello $request_method $http_x_forwarded_proto'; }",
      listen: "http2")
    TestProcess.write(String(repeating: "0123456789", count: 300_000), to: nginx.folder + "/big")
    let gateway = try GatewayFixture()
    gateway.publish(addresses: [nginx.address], .http2)
    for _ in 0..<3 { #expect(try await gateway.request().text == "hello GET http") }
    #expect(try await gateway.request("HEAD", "/").body.isEmpty)
    #expect(try await gateway.request("POST", "/", body: [1, 2, 3]).text == "hello POST http")
    #expect(try await gateway.request("GET", "/big").body.count == 3_000_000)
    let mirror = try PythonServer(ProxyTests.mirror)
    gateway.publish(addresses: [mirror.address], generation: 2)
    let result = await run([
      "curl", "-sS", "--http2-prior-knowledge", "-H", "authorization: Bearer \(GatewayFixture.good)", "-H",
      "x-node-id: \(gateway.node)", "-D", "-", "http://127.0.0.1:\(gateway.server.port)/abc",
    ])
    #expect(result.text.contains("HTTP/2 200") && result.text.contains("GET /abc HTTP/1.1"), "\(result.text)")
    #expect(result.text.contains("x-own: 1"))
    await gateway.settled()
    await gateway.stop()
    nginx.stop()
    mirror.stop()
  }
}
