import TLS
import TestSupport
import Testing

@Suite(.ownThread, .timeLimit(.minutes(5))) struct TLSTests {
  static let files = Certificates()
  private var files: Certificates { Self.files }

  private func server(_ names: [String] = ["localhost"], clients: Bool = false) throws -> TLSContext {
    try TLSContext(
      certificates: names.map {
        TLSCertificate(chain: files.path("\($0).pem"), key: files.path("\($0).key"))
      }, clientAuthorities: clients ? files.path("ca.pem") : nil)
  }

  private func client(certificate: String? = nil) throws -> TLSContext {
    try TLSContext(
      trusting: files.path("ca.pem"),
      certificate: certificate.map {
        TLSCertificate(chain: files.path("\($0).pem"), key: files.path("\($0).key"))
      })
  }

  /// Carries ciphertext between two engines in parts of at most `size` bytes until neither has any.
  private func carry(_ one: TLSEngine, _ other: TLSEngine, size: Int) {
    var buffer = [UInt8](repeating: 0, count: size)
    var moved = true
    while moved {
      moved = false
      for (from, to) in [(one, other), (other, one)] {
        let count = from.takeCiphertext(&buffer, size)
        if count > 0 {
          to.receive(buffer, count)
          moved = true
        }
      }
    }
  }

  private func connected(
    _ serverContext: TLSContext, _ clientContext: TLSContext, name: String = "localhost", http2: Bool = true,
    size: Int = 4096
  ) throws -> (server: TLSEngine, client: TLSEngine) {
    let server = try #require(TLSEngine(serverContext))
    let client = try #require(TLSEngine(clientContext, serverName: name))
    client.offer(http2: http2)
    client.handshake()
    carry(client, server, size: size)
    return (server, client)
  }

  @Test(arguments: [1, 7, 100, 16384]) func `bytes arrive as they were sent at any cut`(size: Int) throws {
    let (server, client) = try connected(try self.server(), try self.client(), size: size)
    #expect(server.state == .open)
    #expect(client.state == .open)
    let sent = (0..<50_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    var written = 0
    var received: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 9000)
    while received.count < sent.count {
      if written < sent.count {
        written += sent[written...].withUnsafeBufferPointer { part in
          part.baseAddress.map { client.write($0, min(part.count, 3001)) } ?? 0
        }
      }
      carry(client, server, size: size)
      while true {
        let count = server.read(&buffer, buffer.count)
        if count == 0 { break }
        received += buffer[0..<count]
      }
    }
    #expect(received == sent)
    client.close()
    carry(client, server, size: size)
    #expect(server.read(&buffer, 1) == 0)
    #expect(server.state == .closed)
  }

  @Test func `HTTP/2 is chosen where it is offered`() throws {
    #expect(try connected(server(), client()).server.applicationProtocol == .http2)
    #expect(try connected(server(), client(), http2: false).server.applicationProtocol == .http1)
  }

  @Test func `the certificate is that of the name asked for`() throws {
    let both = try server(["localhost", "other.example"])
    for name in ["localhost", "other.example", "a.other.example"] {
      let (server, client) = try connected(both, try self.client(), name: name)
      #expect(client.state == .open, "\(name)")
      #expect(server.serverName == name)
    }
    guard case .failed(let reason) = try connected(both, client(), name: "third.example").client.state else {
      Issue.record("a name without a certificate was accepted")
      return
    }
    #expect(reason.contains("hostname mismatch"))
  }

  @Test func `clients must show a certificate where that is asked for`() throws {
    let asking = try server(clients: true)
    let (server, client) = try connected(asking, try self.client(certificate: "client"))
    #expect(client.state == .open)
    #expect(server.peerSubject?.contains("CN=client") == true)
    guard case .failed = try connected(asking, self.client()).server.state else {
      Issue.record("a client without a certificate was accepted")
      return
    }
  }

  @Test func `files that do not serve are named with the reason`() throws {
    func message(_ chain: String, _ key: String, _ clients: String? = nil) -> String {
      do throws(TLSError) {
        _ = try TLSContext(
          certificates: [TLSCertificate(chain: files.path(chain), key: files.path(key))],
          clientAuthorities: clients.map { files.path($0) })
        return "accepted"
      } catch { return error.message }
    }
    #expect(message("missing.pem", "localhost.key").contains("missing.pem"))
    #expect(message("localhost.pem", "missing.key").contains("missing.key"))
    #expect(message("localhost.pem", "client.key").contains("does not belong to the certificate"))
    #expect(message("expired.pem", "localhost.key").contains("has expired"))
    #expect(message("localhost.pem", "localhost.key", "missing.pem").contains("missing.pem"))
  }

  @Test func `bytes that are no TLS fail the connection with words`() throws {
    let engine = try #require(TLSEngine(try server()))
    let request = Array("GET / HTTP/1.1\r\nhost: a\r\n\r\n".utf8)
    engine.receive(request, request.count)
    #expect(engine.state == .failed("http request"))
  }
}
