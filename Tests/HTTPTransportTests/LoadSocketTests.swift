import Synchronization
import Testing
import Wire

@testable import HTTPTransport

@Suite(.timeLimit(.minutes(2))) struct LoadSocketTests {
  private static func read(_ bytes: [UInt8], by size: Int) -> [LoadSocket.Frame] {
    var socket = LoadSocket()
    var frames: [LoadSocket.Frame] = []
    for start in stride(from: 0, to: bytes.count, by: size) {
      let part = Array(bytes[start..<min(start + size, bytes.count)])
      frames += part.withUnsafeBufferPointer { socket.read($0) }
    }
    return frames
  }

  @Test(arguments: [1, 2, 7, 100_000]) func `frames are read in any pieces`(_ size: Int) {
    let long = [UInt8](repeating: 7, count: 70_000)
    let bytes: [UInt8] =
      [0x81, 2, 1, 2, 0x82, 0, 0x89, 1, 9, 0x8a, 0, 0x01, 1, 5, 0x80, 1, 6]
      + [0x82, 126, 1, 0] + long.prefix(256) + [0x82, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70] + long
      + [0x88, 2, 3, 0xe9]
    let expected: [LoadSocket.Frame] = [
      .message, .message, .ping([9]), .pong, .message, .message, .message, .message, .close(1001),
    ]
    #expect(Self.read(bytes, by: size) == expected)
    #expect(Self.read([0x88, 0], by: size) == [.close(nil)])
  }

  @Test(
    arguments: [
      [0x81, 0x82, 0, 0, 0, 0, 1, 2], [0xc1, 0], [0x83, 0], [0x09, 0], [0x89, 126, 0, 200],
      [0x82, 127, 0xff, 0, 0, 0, 0, 0, 0, 0],
    ] as [[UInt8]]) func `what no server may send is noticed`(_ bytes: [UInt8])
  {
    #expect(Self.read(bytes, by: 1).first == .malformed)
  }

  /// What a server does with a WebSocket that it has accepted.
  enum Manner: CaseIterable {
    case goodbye, restart, farewell, breakOff, foreign, wrongAnswer, refusal

    var failure: String? {
      switch self {
      case .goodbye, .restart: nil
      case .farewell: "the server closed the WebSocket with status 1000"
      case .breakOff: "the WebSocket broke off"
      case .foreign: "what came is no WebSocket frame"
      case .wrongAnswer: "the answer is not to the key of the WebSocket"
      case .refusal: "no WebSocket: HTTP 404: gone"
      }
    }

    var bytes: [UInt8] {
      switch self {
      case .goodbye: [0x88, 2, 3, 0xe9]
      case .restart: [0x88, 2, 3, 0xf4]
      case .farewell: [0x88, 2, 3, 0xe8]
      case .foreign: [0xff, 0xff]
      case .breakOff, .wrongAnswer, .refusal: []
      }
    }
  }

  @Test(arguments: Manner.allCases) func `only a goodbye may end a WebSocket`(_ manner: Manner) async throws {
    let sent = Mutex<[UInt8]>([])
    let server = RawServer { peer in
      var head = ""
      while !head.contains("\r\n\r\n") {
        let part = peer.read()
        if part.isEmpty { return peer.close() }
        head += String(decoding: part, as: UTF8.self)
      }
      guard manner != .refusal else {
        peer.write(Array("HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\ngone".utf8))
        return
      }
      let key =
        head.split(separator: "\r\n").first { $0.hasPrefix("sec-websocket-key: ") }?.dropFirst(19) ?? ""
      let answer = manner == .wrongAnswer ? Array("x".utf8) : WebSocketKey.answer(key.utf8)
      let accepted = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
      peer.write(
        Array("\(accepted)sec-websocket-accept: \(String(decoding: answer, as: UTF8.self))\r\n\r\n".utf8))
      // The text and the first ping.
      let first = peer.read()
      sent.withLock { if $0.isEmpty { $0 = first } }
      peer.write([0x8a, 0] + manner.bytes)
      if manner == .breakOff { return peer.close() }
      while !peer.read().isEmpty {}
      peer.close()
    }
    defer { server.stop() }
    let plan = LoadPlan(
      .webSocket, head: "GET /ws HTTP/1.1\r\nhost: a\r\n", workers: 1, pause: .milliseconds(50))
    let load = LoadGenerator(
      address: server.address, plans: [plan], prefix: "load-", timeout: .seconds(20))
    var results: [LoadResult] = []
    await eventually {
      results = load.take()
      return !results.isEmpty
    }
    load.stop()
    #expect(results.first?.failure == manner.failure)
    #expect(results.first?.status == (manner == .refusal ? 404 : 101))
    if manner == .goodbye {
      let bytes = sent.withLock { $0 }
      let mask = bytes[2..<6]
      let text = zip(bytes[6...], 0..<6).map { $0 ^ mask[2 + $1 & 3] }
      #expect(bytes.first == 0x81 && bytes[1] == 0x86 && String(decoding: text, as: UTF8.self) == "load-1")
    }
  }

  @Test func `a WebSocket that nobody ended is closed with the load, and was well`() async throws {
    let pings = Mutex(0)
    let goodbye = Mutex<[UInt8]>([])
    let server = RawServer { peer in
      let head = String(decoding: peer.read(), as: UTF8.self)
      let key =
        head.split(separator: "\r\n").first { $0.hasPrefix("sec-websocket-key: ") }?.dropFirst(19) ?? ""
      let answer = String(decoding: WebSocketKey.answer(key.utf8), as: UTF8.self)
      peer.write(
        Array(
          "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: \(answer)\r\n\r\n"
            .utf8))
      while true {
        let part = peer.read()
        if part.isEmpty { return peer.close() }
        goodbye.withLock { $0 = ($0 + part).suffix(8) }
        pings.withLock { $0 += 1 }
        peer.write([0x89, 1, 5, 0x8a, 0])
      }
    }
    defer { server.stop() }
    let plan = LoadPlan(
      .webSocket, head: "GET /ws HTTP/1.1\r\nhost: a\r\n", workers: 1, pause: .milliseconds(50))
    let load = LoadGenerator(
      address: server.address, plans: [plan], prefix: "load-", timeout: .seconds(20))
    await eventually { pings.withLock { $0 } >= 3 }
    load.stop()
    let results = load.take()
    #expect(results.count == 1 && results.first?.failure == nil && results.first?.status == 101)
    let bytes = goodbye.withLock { $0 }
    #expect(bytes.starts(with: [0x88, 0x82]))
    if bytes.count == 8 { #expect([bytes[6] ^ bytes[2], bytes[7] ^ bytes[3]] == [3, 0xe8]) }
  }
}
