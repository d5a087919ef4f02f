internal import CLinux
internal import Glibc
internal import Reactor
internal import Wire

/// From bytes of an instance to parts of an answer.
extension UpstreamClient {
  /// False: more may be there, or nothing was read for now.
  func read(_ connection: UpstreamConnection) -> Bool {
    if let cipher = connection.cipher {
      read(connection, cipher)
      return true
    }
    let isDirect = connection.input.isEmpty
    let target = isDirect ? scratch : connection.input.room(Self.readSize)
    let received = roost_recv(connection.descriptor, target, Self.readSize)
    if received < 0 {
      let code = roost_errno()
      if roost_would_block(code) == 0, code != EINTR { ended(connection, code) }
      return code != EINTR
    }
    guard received > 0 else {
      ended(connection, 0)
      return true
    }
    took(connection, received, isDirect)
    return received < Self.readSize
  }

  /// Bytes were read: to the loop's buffer if `isDirect`, else to the end of the connection's input.
  func took(_ connection: UpstreamConnection, _ received: Int, _ isDirect: Bool) {
    // Bytes that nobody asked for: whose they are can't be told.
    guard connection.state != .idle else { return close(connection) }
    if isDirect {
      let key = connection.key
      let used = take(connection, scratch, received)
      if used < received, connection.key == key, connection.state == .waiting {
        connection.input.append(scratch + used, received - used)
      }
    } else {
      connection.input.wrote(received)
      guard let base = connection.input.base else { return }
      let key = connection.key
      let served = connection.served
      let used = take(connection, base, connection.input.count)
      guard connection.key == key, connection.state != .closed, connection.served == served else { return }
      connection.input.drop(used)
    }
  }

  /// Takes bytes in the order of the stream; returns how many were used up. Less than all only before the end of a head.
  private func take(_ connection: UpstreamConnection, _ base: UnsafePointer<UInt8>, _ count: Int) -> Int {
    var at = 0
    let key = connection.key
    while at < count {
      switch connection.state {
      case .waiting:
        guard let used = takeHead(connection, base + at, count - at) else { return at }
        at += used
        guard connection.key == key, connection.state != .closed else { return count }
        if connection.state == .counted, connection.remaining == 0 {
          complete(connection, clean: at == count)
          return count
        }
      case .counted:
        let part = min(count - at, connection.remaining)
        connection.remaining -= part
        let isLast = connection.remaining == 0
        owner.upstreamPart(connection, base + at, part)
        at += part
        guard connection.key == key, connection.state != .closed else { return count }
        if isLast {
          complete(connection, clean: at == count)
          return count
        }
      case .chunked:
        guard takeChunk(connection, base, count, &at) else { return count }
      case .untilClose, .raw:
        owner.upstreamPart(connection, base + at, count - at)
        return count
      case .closed, .connecting, .idle: return count
      }
    }
    return at
  }

  /// One event of a chunked body; false when the answer is over.
  private func takeChunk(
    _ connection: UpstreamConnection, _ base: UnsafePointer<UInt8>, _ count: Int, _ at: inout Int
  ) -> Bool {
    let event: ChunkedDecoder.Event
    do throws(HTTP1Fault) {
      event = try connection.decoder.next(base, count, at: &at)
    } catch {
      fail(connection, UpstreamFailure(.malformed, fault: error, isReused: connection.isReused))
      return false
    }
    let trailers = connection.decoder.trailers
    if !trailers.isEmpty { connection.trailers.append(base + trailers.lowerBound, trailers.count) }
    switch event {
    case .needMore: return true
    case .data(let range):
      let key = connection.key
      owner.upstreamPart(connection, base + range.lowerBound, range.count)
      return connection.key == key && connection.state != .closed
    case .end:
      complete(connection, clean: at == count)
      return false
    }
  }

  private func takeHead(_ connection: UpstreamConnection, _ base: UnsafePointer<UInt8>, _ count: Int) -> Int?
  {
    let end = HTTP1Head.end(base, min(count, HTTP1Head.maximumBytes), from: connection.scanned)
    guard let end else {
      connection.scanned = count
      if count >= HTTP1Head.maximumBytes {
        fail(connection, UpstreamFailure(.malformed, fault: .headTooLarge, isReused: connection.isReused))
      }
      return nil
    }
    connection.scanned = 0
    do throws(HTTP1Fault) {
      connection.head = try HTTP1Head.parseResponse(base, end, fields)
    } catch {
      fail(connection, UpstreamFailure(.malformed, fault: error, isReused: connection.isReused))
      return end
    }
    connection.base = base
    let status = connection.head.status
    if status < 200, status != 101 {
      owner.upstreamInformational(connection, fields: fields)
      return end
    }
    frame(connection)
    owner.upstreamHead(connection, fields: fields)
    return end
  }

  /// Finds how the body of the answer ends (RFC 9112 6.3).
  private func frame(_ connection: UpstreamConnection) {
    let head = connection.head
    connection.remaining = 0
    if head.status == 101 {
      connection.state = .raw
      connection.requestEnded = false
    } else if connection.isHEAD || head.status == 204 || head.status == 304 {
      connection.state = .counted
    } else if head.isChunked {
      connection.state = .chunked
      connection.decoder = ChunkedDecoder()
    } else if head.contentLength >= 0 {
      connection.state = .counted
      connection.remaining = head.contentLength
    } else {
      connection.state = .untilClose
      connection.head.keepsAlive = false
    }
    connection.idleUntil = loop.now + Int64(idleSeconds(connection)) * 1_000_000_000
  }

  /// The instance's own limit, less a second for the way, when it states one: `Keep-Alive: timeout=5`.
  private func idleSeconds(_ connection: UpstreamConnection) -> Int {
    guard let base = connection.base else { return limits.idleSeconds }
    let name: StaticString = "keep-alive"
    for index in 0..<Int(connection.head.fieldCount) where fields[index].nameCount == 10 {
      let field = fields[index]
      guard scan_equals_lower(base + Int(field.nameStart), name.utf8Start, 10) != 0 else { continue }
      let value = base + Int(field.valueStart)
      let parameter: StaticString = "timeout="
      guard field.valueCount > 8, scan_equals_lower(value, parameter.utf8Start, 8) != 0 else { continue }
      var seconds = 0
      var at = 8
      while at < Int(field.valueCount), (0x30...0x39).contains(value[at]), seconds < 100_000 {
        seconds = seconds * 10 + Int(value[at] - 0x30)
        at += 1
      }
      return min(limits.idleSeconds, max(seconds - 1, 0))
    }
    return limits.idleSeconds
  }

  /// The answer is whole. `clean`: nothing came behind it.
  private func complete(_ connection: UpstreamConnection, clean: Bool) {
    connection.base = nil
    guard !connection.trailers.isEmpty else {
      release(connection, clean: clean)
      return owner.upstreamEnded(connection, trailers: UnsafeBufferPointer(start: nil, count: 0))
    }
    let trailers = connection.trailers.moved()
    // The owner may have more to send, which nobody would read: `release` closes then.
    release(connection, clean: clean)
    owner.upstreamEnded(
      connection, trailers: UnsafeBufferPointer(start: UnsafePointer(trailers.base), count: trailers.count))
    trailers.free()
  }

  /// The connection ended, in order (0) or with an error.
  func ended(_ connection: UpstreamConnection, _ code: Int32) {
    // A reset that a write was told of reads as an end in order, and an answer that it cut off as whole.
    let isReset = code == 0 && connection.writeError == ECONNRESET
    let code = isReset ? ECONNRESET : code
    switch connection.state {
    case .idle, .closed: close(connection)
    case .untilClose where code == 0: complete(connection, clean: false)
    case .raw where code == 0:
      connection.peerClosed = true
      let key = connection.key
      owner.upstreamEnded(connection, trailers: UnsafeBufferPointer(start: nil, count: 0))
      guard connection.key == key, connection.state != .closed else { return }
      if connection.requestEnded, connection.output.isEmpty { return close(connection) }
      watch(connection)
    case .waiting where connection.input.isEmpty:
      fail(
        connection,
        UpstreamFailure(
          .closed, code: code, nothingSent: connection.sent == 0, isReused: connection.isReused))
    default: fail(connection, UpstreamFailure(.truncated, code: code, isReused: connection.isReused))
    }
  }
}
