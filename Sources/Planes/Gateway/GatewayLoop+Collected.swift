internal import CLinux
internal import Domain
internal import HTTPModel
internal import HTTPTransport
internal import Reactor
internal import Telemetry
internal import Wire

/// Requests that the responder answers: the platform's own API.
extension GatewayLoop {
  /// Bytes of an answer that are copied for a client before it has taken any, and of each step after that.
  static let firstSlice = 16_384
  private static let slice = 65_536

  func collect(
    _ connection: HTTPExchange, _ fields: UnsafeMutablePointer<HTTP1Field>, _ body: UnsafePointer<UInt8>,
    _ count: Int
  ) {
    guard let base = connection.base else { return }
    guard !server.isTooMuch(server.heldBytes, isModest: true) else {
      return refused(connection, status: 429, message: HTTPServer.tooMuch(server.limits.heldBytes))
    }
    let head = connection.head
    func text(_ start: Int32, _ count: Int32) -> String {
      String(decoding: UnsafeBufferPointer(start: base + Int(start), count: Int(count)), as: UTF8.self)
    }
    var identifier: InlineArray<64, UInt8> = .init(repeating: 0)
    let identifierCount = takeIdentifier(connection, fields, into: &identifier)
    var requestID: [UInt8] = []
    for index in 0..<identifierCount { requestID.append(identifier[index]) }
    let request = HTTPRequest(
      method: text(0, head.methodCount), target: text(head.targetStart, head.targetCount),
      headers: (0..<Int(head.fieldCount)).map { index in
        (
          name: text(fields[index].nameStart, fields[index].nameCount).lowercased(),
          value: text(fields[index].valueStart, fields[index].valueCount)
        )
      }, body: Array(UnsafeBufferPointer(start: body, count: count)),
      requestID: String(decoding: requestID, as: UTF8.self), peer: server.peer(connection),
      isTLS: connection.isTLS, isGRPC: connection.isGRPC)
    let key = connection.key
    let mailbox = shared.mailboxes[index]
    let responder = shared.responder
    let task = Task {
      let response = await responder.respond(to: request)
      mailbox.post(.answer(key, response))
    }
    collected[key] = Collected(
      requestID: request.requestID, isHead: request.method == "HEAD", isGRPC: connection.isGRPC, task: task)
  }

  func answerCollected(_ key: UInt64, _ response: HTTPResponse) {
    guard let collected = collected.removeValue(forKey: key), let connection = server.exchange(key) else {
      return
    }
    server.begin(connection, status: response.status)
    connection.output.append("x-request-id: ")
    connection.output.append(collected.requestID)
    connection.output.append("\r\n")
    for header in response.headers where !Self.isTransportHeader(header.name) {
      // A value with a line break would end the head: what can't be said in a header is left out.
      guard !header.value.utf8.contains(where: { $0 == 0x0a || $0 == 0x0d || $0 == 0 }) else { continue }
      connection.output.append(header.name)
      connection.output.append(": ")
      connection.output.append(header.value)
      connection.output.append("\r\n")
    }
    if collected.isGRPC {
      server.endHead(connection)
    } else {
      server.endHead(connection, contentLength: response.body.count)
    }
    guard !collected.isHead else { return server.finish(connection) }
    let remainder = Remainder(response: response, isGRPC: collected.isGRPC)
    guard response.body.count > Self.firstSlice else { return finish(connection, remainder) }
    // Nobody's memory is filled by clients who ask for much and take nothing: of most answers there is one copy for all.
    server.heldBytes += remainder.heldBytes
    remainders[key] = remainder
    sendRemainder(of: connection)
  }

  /// Goes on with an answer, if there is one that the client takes part by part.
  func sendRemainder(of exchange: HTTPExchange) {
    let key = exchange.key
    guard var remainder = remainders[key] else { return }
    let left = remainder.response.body.count - remainder.sent
    let slice = remainder.sent == 0 ? Self.firstSlice : Self.slice
    guard left > slice else {
      remainders[key] = nil
      server.heldBytes -= remainder.heldBytes
      return finish(exchange, remainder)
    }
    send(exchange, remainder, slice)
    remainder.sent += slice
    remainders[key] = remainder
    server.awaitRoom(exchange)
  }

  private func send(_ exchange: HTTPExchange, _ remainder: Remainder, _ count: Int) {
    remainder.response.body.withUnsafeBufferPointer { bytes in
      if let base = bytes.baseAddress, count > 0 { server.send(exchange, base + remainder.sent, count) }
    }
  }

  /// Gives the rest of an answer to the server, which keeps it until the client takes it.
  private func finish(_ exchange: HTTPExchange, _ remainder: Remainder) {
    send(exchange, remainder, remainder.response.body.count - remainder.sent)
    var trailers: [UInt8] = []
    for trailer in remainder.response.trailers where remainder.isGRPC {
      trailers += Array("\(trailer.name): \(trailer.value)\r\n".utf8)
    }
    guard !trailers.isEmpty else { return server.finish(exchange) }
    trailers.withUnsafeBufferPointer { server.end(exchange, trailers: $0) }
  }

  private static func isTransportHeader(_ name: String) -> Bool {
    switch name.lowercased() {
    case "content-length", "date", "connection", "transfer-encoding", "x-request-id": true
    default: false
    }
  }
}
