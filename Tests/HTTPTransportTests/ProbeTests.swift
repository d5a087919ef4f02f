import CLinux
import HTTPTransport
import TLS
import TestSupport
import Testing
import Wire

/// A probe ends, whatever the server does.
@Suite(.ownThread, .timeLimit(.minutes(5))) struct ProbeTests {
  private static let quick = Duration.milliseconds(300)

  private func ask(
    _ client: ProbeClient, _ server: RawServer, _ kind: ProbeQuestion.Kind = .health(service: ""),
    name: String? = nil, timeout: Duration = Self.quick
  ) async -> ProbeAnswer {
    await client.ask(
      ProbeQuestion(
        address: server.address, kind: kind, authority: "a.example", overHTTP2: kind != .get(path: "/"),
        serverName: name, timeout: timeout))
  }

  /// The answer to one probe of a server that treats its connections so.
  private func answer(
    to kind: ProbeQuestion.Kind = .health(service: ""), name: String? = nil, timeout: Duration = Self.quick,
    _ talk: @escaping @Sendable (RawServer.Peer) -> Void
  ) async throws -> ProbeAnswer {
    let server = RawServer(talk)
    let client = ProbeClient(tls: name == nil ? nil : try TLSContext(trusting: nil))
    defer {
      client.close()
      server.stop()
    }
    return await ask(client, server, kind, name: name, timeout: timeout)
  }

  /// What a health service answers: SETTINGS, head, message, trailers.
  private static let serving: [UInt8] =
    FrameClient.encode(FrameClient.settings)
    + FrameClient.encode(
      FrameClient.headers, flags: 4, stream: 1,
      payload: FrameClient.block([(":status", "200"), ("content-type", "application/grpc")]))
    + FrameClient.encode(FrameClient.data, stream: 1, payload: [0, 0, 0, 0, 2, 8, 1])
    + FrameClient.encode(
      FrameClient.headers, flags: 5, stream: 1, payload: FrameClient.block([("grpc-status", "0")]))

  @Test func `a health service is heard, in one piece or byte by byte`() async throws {
    let served = ProbeAnswer.health(status: 0, message: "", serving: 1)
    #expect(
      try await answer(timeout: .seconds(20)) {
        $0.read()
        $0.write(Self.serving)
      } == served)
    #expect(
      try await answer(timeout: .seconds(20)) { peer in
        peer.read()
        for byte in Self.serving { peer.write([byte]) }
      } == served)
  }

  @Test func `a server that takes the connection and stays silent is no answer`() async throws {
    for kind in [ProbeQuestion.Kind.health(service: ""), .get(path: "/")] {
      #expect(try await answer(to: kind) { _ in } == .noAnswer)
      #expect(try await answer(to: kind) { $0.read() } == .noAnswer)
    }
    let server = RawServer(nil)
    let client = ProbeClient()
    #expect(await ask(client, server) == .noAnswer, "the system took the connection for it")
    client.close()
    server.stop()
  }

  @Test func `an answer that stops at any byte ends the probe: by silence, by an end, by a reset`()
    async throws
  {
    let client = ProbeClient()
    defer { client.close() }
    for cut in 0..<Self.serving.count {
      let part = Array(Self.serving[..<cut])
      let ended = RawServer { peer in
        peer.read()
        peer.write(part)
        peer.close()
      }
      let halfEnded = RawServer { peer in
        peer.write(part)
        peer.halfClose()
      }
      let reset = RawServer { peer in
        peer.read()
        peer.write(part)
        peer.reset()
      }
      #expect(await ask(client, ended, timeout: .seconds(20)) == .closed, "end after \(cut) bytes")
      #expect(await ask(client, halfEnded, timeout: .seconds(20)) == .closed, "half an end after \(cut)")
      let afterReset = await ask(client, reset, timeout: .seconds(20))
      #expect([.closed, .unreachable(104)].contains(afterReset), "reset after \(cut): \(afterReset)")
      for server in [ended, halfEnded, reset] { server.stop() }
    }
    // Silence costs its whole time: all at once.
    await withTaskGroup { group in
      for cut in 0..<Self.serving.count {
        group.addTask {
          let server = RawServer { $0.write(Array(Self.serving[..<cut])) }
          defer { server.stop() }
          #expect(await ask(client, server) == .noAnswer, "silence after \(cut) bytes")
        }
      }
    }
  }

  @Test func `connections that end before a word is said are told`() async throws {
    for kind in [ProbeQuestion.Kind.health(service: ""), .get(path: "/")] {
      #expect(try await answer(to: kind, timeout: .seconds(20)) { $0.close() } == .closed)
      let reset = try await answer(to: kind, timeout: .seconds(20)) { $0.reset() }
      #expect([.closed, .unreachable(104)].contains(reset), "\(reset)")
    }
  }

  @Test func `a server that says goodbye has not answered`() async throws {
    let settings = FrameClient.encode(FrameClient.settings)
    for (last, code) in [(UInt32(0), UInt32(0)), (0, 11), (UInt32.max >> 1, 0)] {
      let goodbye = FrameClient.encode(
        FrameClient.goaway, payload: FrameClient.bytes(last) + FrameClient.bytes(code))
      let found = try await answer(timeout: last > 0 ? Self.quick : .seconds(20)) { peer in
        peer.write(settings + goodbye)
      }
      // With the highest number it may still answer.
      #expect(found == (last > 0 ? .noAnswer : .closed), "\(last), \(code)")
    }
  }

  @Test func `what is no HTTP/2 is told at once`() async throws {
    let noise: [[UInt8]] = [
      Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8), Array("SSH-2.0-x\r\n".utf8),
      [UInt8](repeating: 0xff, count: 4096),
      FrameClient.encode(FrameClient.data, stream: 1, payload: [0]),
      FrameClient.encode(FrameClient.settings, stream: 7),
      FrameClient.encode(FrameClient.settings)
        + FrameClient.encode(
          FrameClient.headers, flags: 5, stream: 1, payload: [0xff, 0xff, 0xff, 0xff, 0xff]),
      FrameClient.encode(FrameClient.settings)
        + FrameClient.encode(FrameClient.reset, stream: 1, payload: FrameClient.bytes(8)),
    ]
    for bytes in noise {
      let found = try await answer(timeout: .seconds(20)) {
        $0.read()
        $0.write(bytes)
      }
      guard case .malformed = found else {
        Issue.record("\(bytes.prefix(20)): \(found)")
        continue
      }
    }
  }

  @Test func `a server that never stops talking is no answer`() async throws {
    let pings = [UInt8](
      (0..<200).flatMap { _ in FrameClient.encode(FrameClient.ping, payload: [UInt8](repeating: 1, count: 8))
      })
    let flood = try await answer { peer in
      peer.write(FrameClient.encode(FrameClient.settings))
      while peer.write(pings) {}
    }
    #expect(flood != .overdue && flood != .cancelled, "\(flood)")
    let trickle = try await answer { peer in
      peer.write(FrameClient.encode(FrameClient.settings))
      while peer.write(Array(pings[..<17])) { peer.read() }
    }
    #expect(trickle == .noAnswer)
    let hints = Array("HTTP/1.1 103 Early Hints\r\n\r\n".utf8)
    let endless = try await answer(to: .get(path: "/")) { peer in while peer.write(hints) {} }
    #expect(endless == .noAnswer)
    let body = FrameClient.encode(FrameClient.data, stream: 1, payload: [UInt8](repeating: 0, count: 16384))
    let endlessBody = try await answer { peer in
      peer.write(Array(Self.serving[..<40]))
      while peer.write(body) {}
    }
    #expect(endlessBody != .overdue && endlessBody != .cancelled, "\(endlessBody)")
  }

  @Test func `a handshake that stops ends the probe`() async throws {
    let silent = try await answer(name: "a.example") { $0.read() }
    #expect(silent == .noAnswer)
    for bytes in [[], [22, 3, 3, 0, 100, 2], Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8)] {
      let found = try await answer(name: "a.example", timeout: .seconds(20)) { peer in
        peer.read()
        peer.write(bytes)
        peer.close()
      }
      guard case .untrusted = found else {
        Issue.record("\(bytes): \(found)")
        continue
      }
    }
    let half = try await answer(name: "a.example") { $0.write([22, 3, 3, 0, 100, 2]) }
    #expect(half == .noAnswer)
  }

  @Test func `a full backlog is no connection`() async throws {
    let server = RawServer(backlog: 0, nil)
    let client = ProbeClient()
    defer {
      client.close()
      server.stop()
    }
    var answers: [ProbeAnswer] = []
    await withTaskGroup(of: ProbeAnswer.self) { group in
      for _ in 0..<8 { group.addTask { await ask(client, server) } }
      for await answer in group { answers.append(answer) }
    }
    #expect(
      answers.contains(.noConnection) && answers.allSatisfy { [.noConnection, .noAnswer].contains($0) })
  }

  @Test func `many probes of all kinds of servers end, while others begin`() async throws {
    let talks: [@Sendable (RawServer.Peer) -> Void] = [
      { _ in }, { $0.close() }, { $0.reset() },
      {
        $0.read()
        $0.write(Self.serving)
      },
      {
        $0.write(Array(Self.serving[..<30]))
        $0.reset()
      },
    ]
    let servers = talks.map { RawServer($0) }
    let client = ProbeClient()
    await withTaskGroup(of: Void.self) { group in
      for turn in 0..<1500 {
        let server = servers[turn % servers.count]
        group.addTask {
          let answer = await ask(client, server, timeout: .milliseconds(turn % 60 + 1))
          #expect(answer != .overdue && answer != .cancelled)
        }
        if turn % 50 == 49 { for _ in 0..<40 { await group.next() } }
      }
    }
    client.close()
    for server in servers { server.stop() }
  }

  @Test func `a cancelled probe ends at once, and so does one of a closed client`() async throws {
    let server = RawServer { _ in }
    let client = ProbeClient()
    let clock = ContinuousClock()
    let taken = await clock.measure {
      await withTaskGroup(of: Void.self) { group in
        for _ in 0..<200 {
          group.addTask { #expect(await ask(client, server, timeout: .seconds(600)) == .cancelled) }
        }
        group.cancelAll()
      }
    }
    #expect(taken < .seconds(60))
    async let last = ask(client, server, timeout: .seconds(600))
    client.close()
    let found = await last
    #expect(found == .cancelled)
    server.stop()
  }
}
