import CLinux
import Glibc
import HTTPTransport
import TestSupport
import Testing

/// A server that leaves its sockets to another process.
@Suite(.ownThread, .timeLimit(.minutes(5))) struct LeavingTests {
  private static let request = "POST /collect HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"

  @Test func `no connection is closed that may be used, and the next answer on each says that it ends`()
    async throws
  {
    let server = try TransportFixture(hasTwin: true)
    defer { server.stop() }
    let used = try HTTP1Client(port: server.port)
    used.send(Self.request)
    let first = try #require(used.read(until: "tls=false\n"))
    #expect(!first.contains("connection: close"))
    let fresh = try HTTP1Client(port: server.port)
    await eventually { server.seen.open == 2 }
    server.post(.leave)
    await eventually { server.seen.hasLeft }
    for client in [used, fresh] {
      client.send(Self.request)
      let answer = try #require(client.readToEnd())
      #expect(answer.contains("HTTP/1.1 200 ") && answer.contains("connection: close"))
    }
    await eventually { server.seen.open == 0 }
  }

  @Test func `connections that wait to be accepted are left to the other process`() async throws {
    let server = try TransportFixture(hasTwin: true)
    defer { server.stop() }
    server.post(.leave)
    await eventually { server.seen.hasLeft }
    let client = try HTTP1Client(port: server.port)
    client.send(Self.request)
    var peer = sockaddr_storage()
    var accepted: Int32 = -1
    await eventually {
      accepted = roost_accept(server.twin, &peer)
      return accepted >= 0
    }
    _ = roost_close(accepted)
    #expect(server.seen.arrived == 0)
  }

  @Test func `when the time is over idle connections close, and what runs goes on`() async throws {
    let server = try TransportFixture(hasTwin: true)
    defer { server.stop() }
    let idle = try HTTP1Client(port: server.port)
    let running = try HTTP1Client(port: server.port)
    running.send("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\none")
    #expect(running.read(until: "one\r\n") != nil)
    await eventually { server.seen.open == 2 }
    server.post(.leave)
    server.post(.endLeaving)
    #expect(idle.readToEnd() == "")
    running.send("two")
    #expect(running.readToEnd() == "3\r\ntwo\r\n0\r\n\r\n")
    await eventually { server.seen.open == 0 }
  }
}
