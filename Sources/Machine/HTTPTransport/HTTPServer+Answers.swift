internal import CLinux
internal import Glibc
internal import Reactor
internal import Telemetry
internal import Wire

extension HTTPConnection {
  /// Bytes that are sooner read than a connection is made anew.
  private static let mostSkipped = 256 << 10

  /// Whether the rest of a body that nobody wants is passed over, to keep the connection: it's short, and the client sends it,
  /// as it does not if it waits for a word to (RFC 9110, 10.1.1).
  fileprivate var isSkippable: Bool {
    incoming == .counted && remaining <= Self.mostSkipped && !head.expectsContinue
  }
}

/// Writing answers.
extension HTTPServer {
  /// Begins an answer: the status line and `date`. The owner adds header lines to `output`, each ending with CR LF.
  public func begin(_ exchange: HTTPExchange, status: Int) {
    exchange.hasBegun = true
    let hasNoBody = status == 204 || status == 304 || exchange.head.isHEAD
    if exchange.isHTTP2 {
      begin(http2(exchange), status, hasNoBody)
    } else {
      http1(exchange).outgoing = hasNoBody ? .none : .counted
      exchange.output.append("HTTP/1.1 ")
      exchange.output.append(decimal: status)
      exchange.output.append(Self.reason(status))
    }
    let second = loop.now / 1_000_000_000
    if second != dateSecond {
      dateSecond = second
      date = Array("date: \(WallClock.httpDate(microseconds: WallClock.microseconds()))\r\n".utf8)
    }
    exchange.output.append(date)
  }

  /// Ends the head of an answer whose body has `count` bytes: the owner writes them to `output` and calls `finish`, or
  /// gives them to `send` and calls `end`. To a HEAD request no body follows.
  public func endHead(_ exchange: HTTPExchange, contentLength count: Int) {
    exchange.output.append("content-length: ")
    exchange.output.append(decimal: count)
    exchange.output.append("\r\n")
    if exchange.isHTTP2 { return endHead(http2(exchange)) }
    let connection = http1(exchange)
    // Before a body that can't be passed over: `finish` will end the connection, and who isn't told that here sends the next request
    // into it.
    let isEarly = connection.incoming == .counted || connection.incoming == .chunked
    if isDraining || isEarly && !connection.isSkippable { connection.closesAfterAnswer = true }
    endFields(connection)
  }

  /// Ends the head of an answer whose length is not known: chunked, or to the end of the connection for HTTP/1.0.
  public func endHead(_ exchange: HTTPExchange) {
    if exchange.isHTTP2 { return endHead(http2(exchange)) }
    let connection = http1(exchange)
    if isDraining { connection.closesAfterAnswer = true }
    if connection.outgoing != .none {
      if connection.head.minorVersion == 0 {
        connection.outgoing = .raw
        connection.closesAfterAnswer = true
      } else {
        connection.outgoing = .chunked
        connection.output.append("transfer-encoding: chunked\r\n")
      }
    }
    endFields(connection)
    soil(connection)
  }

  private func endFields(_ connection: HTTPConnection) {
    if connection.closesAfterAnswer {
      connection.output.append("connection: close\r\n\r\n")
    } else if connection.head.minorVersion == 0 {
      connection.output.append("connection: keep-alive\r\n\r\n")
    } else {
      connection.output.append("\r\n")
    }
  }

  /// An interim answer, such as 100 or 103; `fields` are lines that end with CR LF. Not sent to HTTP/1.0.
  public func informational(_ exchange: HTTPExchange, status: Int, fields: UnsafeBufferPointer<UInt8>) {
    if exchange.isHTTP2 { return informational(http2(exchange), status, fields) }
    let connection = http1(exchange)
    guard connection.head.minorVersion > 0, !connection.hasBegun else { return }
    connection.output.append("HTTP/1.1 ")
    connection.output.append(decimal: status)
    connection.output.append(Self.reason(status))
    if let lines = fields.baseAddress { connection.output.append(lines, fields.count) }
    connection.output.append("\r\n")
    soil(connection)
  }

  /// Ends the head of a 101 answer: from here bytes pass both ways without framing.
  public func upgrade(_ exchange: HTTPExchange) {
    if exchange.isHTTP2 { return upgrade(http2(exchange)) }
    let connection = http1(exchange)
    connection.output.append("connection: Upgrade\r\n\r\n")
    connection.outgoing = .raw
    connection.incoming = .raw
    connection.closesAfterAnswer = true
    soil(connection)
    loop.cancel(&connection.timer)
    if !connection.input.isEmpty { resumable.append(connection) }
  }

  /// Adds bytes to the answer's body. False: more than 1 MiB waits; the owner pauses its source until `writable`.
  @discardableResult
  public func send(_ exchange: HTTPExchange, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    if exchange.isHTTP2 { return send(http2(exchange), bytes, count) }
    let connection = http1(exchange)
    guard count > 0 else { return true }
    switch connection.outgoing {
    case .none: return true
    case .counted, .raw: connection.output.append(bytes, count)
    case .chunked:
      connection.output.append(hexadecimal: count)
      connection.output.append("\r\n")
      connection.output.append(bytes, count)
      connection.output.append("\r\n")
    }
    soil(connection)
    if connection.output.count > HTTPExchange.highWater { connection.isFull = true }
    return !connection.isFull
  }

  /// Asks for `writable` once what was sent has left, or a good part of it.
  public func awaitRoom(_ exchange: HTTPExchange) { exchange.isFull = true }

  /// The answer's body is complete. `trailers` are lines that end with CR LF; dropped where the framing has none.
  public func end(
    _ exchange: HTTPExchange, trailers: UnsafeBufferPointer<UInt8> = UnsafeBufferPointer(start: nil, count: 0)
  ) {
    if exchange.isHTTP2 { return end(http2(exchange), trailers) }
    let connection = http1(exchange)
    if connection.outgoing == .chunked {
      connection.output.append("0\r\n")
      if let lines = trailers.baseAddress { connection.output.append(lines, trailers.count) }
      connection.output.append("\r\n")
    }
    if connection.incoming == .raw, connection.outgoing == .raw {
      // An upgraded connection closes one side at a time.
      connection.endsWrites = true
      soil(connection)
      return
    }
    finish(connection)
  }

  /// The answer is complete: it leaves at the end of the batch, and the next request may come.
  public func finish(_ exchange: HTTPExchange) {
    if exchange.isHTTP2 { return finish(http2(exchange)) }
    let connection = http1(exchange)
    connection.ownerTag = 0
    if connection.state == .owned {
      // The head may have left before the drain began: the end of the connection says the same.
      if isDraining { connection.closesAfterAnswer = true }
      connection.state = .head
      connection.scanned = 0
      connection.isStreamed = false
      connection.isPaused = false
      connection.isFull = false
      connection.hasBegun = false
      if connection.isSkippable, !connection.closesAfterAnswer {
        connection.skips = connection.remaining
        connection.incoming = .nothing
      } else if connection.incoming != .nothing {
        // The answer came before the end of the request, and nobody waits for that.
        connection.incoming = .nothing
        connection.closesAfterAnswer = true
        connection.lingers = true
        connection.mayFinish = true
        connection.input.clear()
      }
      expect(connection, seconds: limits.keepAliveSeconds)
      if !connection.isBlocked { watch(connection, [.readable, .hangup]) }
      if connection.closesAfterAnswer {
        connection.state = .lingering
      } else if !connection.input.isEmpty, connection.output.count <= HTTPExchange.lowWater {
        resumable.append(connection)
      }
    }
    soil(connection)
  }

  /// Gives up an answer that can't be completed: the client must not take it for whole.
  public func reset(_ exchange: HTTPExchange) {
    if exchange.isHTTP2 { return reset(http2(exchange)) }
    let connection = http1(exchange)
    guard connection.state != .closed else { return }
    flush(connection)
    close(connection)
  }

  /// Stops giving parts of the request's body.
  public func pause(_ exchange: HTTPExchange) {
    guard !exchange.isPaused else { return }
    exchange.isPaused = true
    guard !exchange.isHTTP2 else { return }
    watchOwned(http1(exchange))
  }

  /// Goes on giving parts of the request's body, at the end of the batch if some have arrived already.
  public func resume(_ exchange: HTTPExchange) {
    guard exchange.isPaused else { return }
    exchange.isPaused = false
    if exchange.isHTTP2 { return resume(http2(exchange)) }
    let connection = http1(exchange)
    guard connection.state == .owned else { return }
    watchOwned(connection)
    expect(connection, seconds: limits.bodyIdleSeconds)
    if !connection.input.isEmpty { resumable.append(connection) }
  }

  /// What comes next leaves at the end of the batch.
  func soil(_ connection: HTTPConnection) {
    guard !connection.isDirty else { return }
    connection.isDirty = true
    dirty.append(Unmanaged.passUnretained(connection))
  }

  /// `address:port` of the peer.
  public func peer(_ exchange: HTTPExchange) -> String {
    guard
      let connection = exchange.isHTTP2
        ? http2(exchange).session?.takeUnretainedValue().connection : http1(exchange)
    else {
      return ""
    }
    return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 80) { buffer in
      guard let out = buffer.baseAddress else { return "" }
      let count = roost_peer_name(&connection.address, out, 80)
      return out.withMemoryRebound(to: UInt8.self, capacity: 80) {
        String(decoding: UnsafeBufferPointer(start: $0, count: count), as: UTF8.self)
      }
    }
  }

  /// The stream that an exchange of HTTP/2 is.
  func http2(_ exchange: HTTPExchange) -> HTTP2Stream { unsafeDowncast(exchange, to: HTTP2Stream.self) }

  /// The connection behind an exchange of HTTP/1.1.
  func http1(_ exchange: HTTPExchange) -> HTTPConnection { unsafeDowncast(exchange, to: HTTPConnection.self) }

  static func reason(_ status: Int) -> StaticString {
    switch status {
    case 100: " Continue\r\n"
    case 101: " Switching Protocols\r\n"
    case 103: " Early Hints\r\n"
    case 200: " OK\r\n"
    case 201: " Created\r\n"
    case 202: " Accepted\r\n"
    case 204: " No Content\r\n"
    case 206: " Partial Content\r\n"
    case 301: " Moved Permanently\r\n"
    case 302: " Found\r\n"
    case 304: " Not Modified\r\n"
    case 307: " Temporary Redirect\r\n"
    case 308: " Permanent Redirect\r\n"
    case 400: " Bad Request\r\n"
    case 401: " Unauthorized\r\n"
    case 403: " Forbidden\r\n"
    case 404: " Not Found\r\n"
    case 405: " Method Not Allowed\r\n"
    case 408: " Request Timeout\r\n"
    case 409: " Conflict\r\n"
    case 412: " Precondition Failed\r\n"
    case 413: " Content Too Large\r\n"
    case 416: " Range Not Satisfiable\r\n"
    case 422: " Unprocessable Content\r\n"
    case 429: " Too Many Requests\r\n"
    case 431: " Request Header Fields Too Large\r\n"
    case 499: " Client Closed Request\r\n"
    case 500: " Internal Server Error\r\n"
    case 501: " Not Implemented\r\n"
    case 502: " Bad Gateway\r\n"
    case 503: " Service Unavailable\r\n"
    case 504: " Gateway Timeout\r\n"
    case 505: " HTTP Version Not Supported\r\n"
    default: " Status\r\n"
    }
  }
}
