internal import Reactor
internal import Telemetry
internal import Wire

/// Writing answers.
extension HTTPServer {
  /// Begins an answer: the status line and `date`. The owner adds header lines to `output`, each ending with CR LF.
  public func begin(_ connection: HTTPConnection, status: Int) {
    connection.output.append("HTTP/1.1 ")
    connection.output.append(decimal: status)
    connection.output.append(Self.reason(status))
    let second = loop.now / 1_000_000_000
    if second != dateSecond {
      dateSecond = second
      date = Array("date: \(WallClock.httpDate(microseconds: WallClock.microseconds()))\r\n".utf8)
    }
    connection.output.append(date)
  }

  /// Ends the head; exactly `count` bytes of body follow in `output`.
  public func endHead(_ connection: HTTPConnection, contentLength count: Int) {
    if isDraining { connection.closesAfterAnswer = true }
    connection.output.append("content-length: ")
    connection.output.append(decimal: count)
    if connection.closesAfterAnswer {
      connection.output.append("\r\nconnection: close\r\n\r\n")
    } else if connection.head.minorVersion == 0 {
      connection.output.append("\r\nconnection: keep-alive\r\n\r\n")
    } else {
      connection.output.append("\r\n\r\n")
    }
  }

  /// The answer is complete: it leaves at the end of the batch, and the next request may come.
  public func finish(_ connection: HTTPConnection) {
    connection.ownerTag = 0
    if connection.state == .owned {
      connection.state = .head
      connection.scanned = 0
      expect(connection, seconds: limits.keepAliveSeconds)
      watch(connection, [.readable, .hangup])
      if connection.closesAfterAnswer {
        connection.state = .lingering
      } else if !connection.input.isEmpty {
        resumable.append(connection)
      }
    }
    guard !connection.isDirty else { return }
    connection.isDirty = true
    dirty.append(connection)
  }

  private static func reason(_ status: Int) -> StaticString {
    switch status {
    case 200: " OK\r\n"
    case 201: " Created\r\n"
    case 202: " Accepted\r\n"
    case 204: " No Content\r\n"
    case 304: " Not Modified\r\n"
    case 400: " Bad Request\r\n"
    case 401: " Unauthorized\r\n"
    case 403: " Forbidden\r\n"
    case 404: " Not Found\r\n"
    case 405: " Method Not Allowed\r\n"
    case 408: " Request Timeout\r\n"
    case 409: " Conflict\r\n"
    case 412: " Precondition Failed\r\n"
    case 413: " Content Too Large\r\n"
    case 429: " Too Many Requests\r\n"
    case 431: " Request Header Fields Too Large\r\n"
    case 499: " Client Closed Request\r\n"
    case 500: " Internal Server Error\r\n"
    case 501: " Not Implemented\r\n"
    case 503: " Service Unavailable\r\n"
    case 504: " Gateway Timeout\r\n"
    case 505: " HTTP Version Not Supported\r\n"
    default: " Status\r\n"
    }
  }
}
