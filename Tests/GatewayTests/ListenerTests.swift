import CLinux
import Domain
import Gateway
import Glibc
import HTTPModel
import Testing
import Wire

/// Where the gateway listens and whom it believes.
@Suite(.timeLimit(.minutes(1))) struct ListenerTests {
  private func fixture(_ listeners: [GatewayConfiguration.Listener], trusted: String? = nil, loops: Int = 1)
    throws -> GatewayFixture
  {
    try GatewayFixture(
      loops: loops, log: true, listeners: listeners,
      trustedProxies: trusted.map { try NetworkPeers(list: $0) } ?? NetworkPeers())
  }

  private func header(_ body: [UInt8], family: UInt8 = 0x11, command: UInt8 = 0x21) -> [UInt8] {
    Array("\r\n\r\n\0\r\nQUIT\n".utf8) + [command, family, UInt8(body.count >> 8), UInt8(body.count & 255)]
      + body
  }
  private let client: [UInt8] = [203, 0, 113, 9, 10, 0, 0, 1, 0x9c, 0x41, 0x01, 0xbb]

  private func peers(_ text: String) throws -> NetworkPeers { try NetworkPeers(list: text) }

  @Test func `the address of a PROXY header goes on and into the access log`() async throws {
    let server = try PythonServer(ProxyTests.mirror)
    let gateway = try fixture(
      [.init(.tcp(host: "127.0.0.1", port: 0), proxySources: try peers("127.0.0.0/8"))])
    gateway.publish(addresses: [server.address])
    let raw = gateway.dial()
    // In three pieces: the header comes as the network likes.
    let bytes = header(client)
    raw.write(Array(bytes[0..<7]))
    raw.write(Array(bytes[7..<20]))
    raw.write(bytes[20...] + Array("GET /p HTTP/1.1\r\n\(gateway.rawHeaders)x-request-id: p1\r\n\r\n".utf8))
    let answer = raw.read(until: ";proto=http")
    #expect(answer.contains("x-forwarded-for: 203.0.113.9\r\n"), "\(answer)")
    #expect(answer.contains("forwarded: for=203.0.113.9;host"))
    let local = gateway.dial()
    local.write(
      header([], family: 0, command: 0x20) + Array("GET / HTTP/1.1\r\n\(gateway.rawHeaders)\r\n".utf8))
    #expect(local.read(until: ";proto=http").contains("x-forwarded-for: 127.0.0.1\r\n"))
    await eventually { gateway.metric("roost_gateway_proxy_headers_total{result=\"accepted\"}") == 2 }
    await gateway.settled()
    await gateway.server.drain(grace: .milliseconds(200))
    let log = String(decoding: try logged("\(gateway.folderPath)/access.jsonl"), as: UTF8.self)
    #expect(log.contains("\"request_id\":\"p1\",\"peer\":\"203.0.113.9\""), "\(log)")
    await gateway.stop()
    server.stop()
  }

  private func logged(_ path: String) throws -> [UInt8] {
    let file = try #require(fopen(path, "r"))
    defer { fclose(file) }
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    return Array(buffer[0..<fread(&buffer, 1, buffer.count, file)])
  }

  @Test func `a malformed PROXY header and one of a stranger end the connection and are counted`()
    async throws
  {
    let gateway = try fixture([
      .init(.tcp(host: "127.0.0.1", port: 0), proxySources: try peers("127.0.0.1")),
      .init(.tcp(host: "127.0.0.1", port: 0), proxySources: try peers("10.0.0.0/8")),
    ])
    for bad in [
      Array("GET / HTTP/1.1\r\nhost: h\r\n\r\n".utf8), Array("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n".utf8),
      header(client, family: 0x12), header(client, command: 0x31), header([1, 2, 3]),
      header(client + [4, 0, 9]), header(client, command: 0x22),
    ] {
      let raw = gateway.dial()
      raw.write(bad)
      #expect(raw.read() == "")
    }
    await eventually { gateway.metric("roost_gateway_proxy_headers_total{result=\"malformed\"}") == 7 }
    let stranger = RawClient(port: gateway.server.addresses[1].port)
    stranger.write(header(client) + Array("GET / HTTP/1.1\r\nhost: h\r\n\r\n".utf8))
    #expect(stranger.read() == "")
    await eventually { gateway.metric("roost_gateway_proxy_headers_total{result=\"untrusted\"}") == 1 }
    let good = gateway.dial()
    good.write(header(client) + Array("GET / HTTP/1.1\r\nhost: h\r\nx-node-id: none\r\n\r\n".utf8))
    #expect(good.read(until: "}").hasPrefix("HTTP/1.1 401 "))
    await gateway.stop()
  }

  @Test func `chains of trusted proxies are kept and added to`() async throws {
    let server = try PythonServer(ProxyTests.mirror)
    let gateway = try fixture([.init(.tcp(host: "127.0.0.1", port: 0))], trusted: "127.0.0.0/8")
    gateway.publish(addresses: [server.address])
    func seen(_ headers: [(name: String, value: String)]) async throws -> [String] {
      try await gateway.request("GET", "/", headers: headers).text.split(separator: "\r\n").map(String.init)
    }
    let both = try await seen([
      (name: "x-forwarded-for", value: "1.2.3.4"), (name: "X-Forwarded-For", value: "5.6.7.8"),
      (name: "x-forwarded-proto", value: "https"), (name: "x-forwarded-host", value: "shop.example"),
      (name: "x-forwarded-prefix", value: "/in"), (name: "forwarded", value: "for=1.2.3.4;proto=https"),
    ])
    #expect(both.contains("x-forwarded-for: 1.2.3.4, 5.6.7.8, 127.0.0.1"), "\(both)")
    #expect(both.contains("x-forwarded-proto: https") && both.contains("x-forwarded-host: shop.example"))
    #expect(both.contains("x-forwarded-prefix: /in"))
    #expect(both.contains { $0.hasPrefix("forwarded: for=1.2.3.4;proto=https, for=127.0.0.1;host=") })
    let one = try await seen([(name: "x-forwarded-for", value: "1.2.3.4")])
    #expect(one.contains("x-forwarded-for: 1.2.3.4, 127.0.0.1"))
    #expect(!one.contains { $0.hasPrefix("forwarded:") } && one.contains("x-forwarded-proto: http"))
    let other = try await seen([(name: "forwarded", value: "for=\"[2001:db8::7]\"")])
    #expect(other.contains { $0.hasPrefix("forwarded: for=\"[2001:db8::7]\", for=127.0.0.1") })
    #expect(!other.contains { $0.hasPrefix("x-forwarded-for:") })
    let none = try await seen([])
    #expect(
      none.contains("x-forwarded-for: 127.0.0.1") && none.contains { $0.hasPrefix("forwarded: for=127") })
    await gateway.stop()
    server.stop()
  }

  @Test func `a unix socket is served by all loops, replaces a stale file and is removed`() async throws {
    let folder = TestProcess.folder()
    let path = folder + "/api.sock"
    // What a server that was killed leaves behind.
    _ = roost_close(roost_listen_unix(path, 1))
    let gateway = try fixture(
      [.init(.unix(path: path, mode: 0o600)), .init(.tcp(host: "127.0.0.1", port: 0))], trusted: "unix",
      loops: 2)
    var status = stat()
    #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o600)
    for _ in 0..<8 {
      let answer = await run([
        "curl", "-sS", "--max-time", "10", "--unix-socket", path, "http://h/some/where",
      ])
      #expect(answer.text.hasPrefix("GET /some/where"), "\(answer.text)")
    }
    #expect(try await gateway.send(HTTPRequest(method: "GET", target: "/tcp")).status == 200)
    #expect(throws: PlatformError.self) {
      try GatewayFixture(listeners: [.init(.unix(path: path, mode: 0o600))])
    }
    await gateway.stop()
    #expect(stat(path, &status) != 0)
    TestProcess.removeFolder(folder)
  }
}
