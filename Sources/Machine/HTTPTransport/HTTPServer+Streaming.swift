internal import CLinux
internal import Glibc
internal import Reactor
internal import Wire

extension HTTPConnection {
  /// Bytes that come now belong to the owner's request.
  var isReceiving: Bool { state == .owned && incoming != .nothing && !isPaused }
}

/// Requests whose body the owner gets in parts.
extension HTTPServer {
  /// Shows the owner the head of a request once more, from a copy that it made while `arrived` or `received` ran: `exchange.base`
  /// is `head` while `body` runs.
  public func present(_ exchange: HTTPExchange, head: UnsafePointer<UInt8>, _ body: () -> Void) {
    exchange.base = head
    body()
    exchange.base = nil
  }

  /// Tells the owner of a head; the connection belongs to it at once if it wants the body in parts.
  ///
  /// Everything is set before the call, because the owner may answer within it.
  func arrive(_ connection: HTTPConnection) -> BodyPlan {
    let generation = connection.generation
    let requests = connection.requests
    connection.state = .owned
    connection.incoming =
      connection.head.isChunked ? .chunked : connection.head.contentLength > 0 ? .counted : .nothing
    connection.remaining = max(0, connection.head.contentLength)
    connection.decoder = ChunkedDecoder()
    connection.collected.clear()
    connection.closesAfterAnswer = isDraining || !connection.head.keepsAlive
    connection.requests += 1
    let plan = owner.arrived(connection, fields: fields)
    switch plan {
    case .collect:
      connection.requests = requests
      connection.incoming = .nothing
      connection.state = .head
    case .stream:
      guard connection.generation == generation else { break }
      connection.isStreamed = true
    }
    return plan
  }

  /// After the head of a streamed request: says that there is no body, or waits for it. Returns the head's length.
  func begin(_ connection: HTTPConnection, _ base: UnsafePointer<UInt8>) -> Int {
    let used = Int(connection.head.length)
    connection.base = nil
    guard connection.state == .owned else { return used }
    if connection.incoming == .nothing {
      owner.bodyEnded(connection, trailers: UnsafeBufferPointer(start: nil, count: 0))
    } else {
      expect(connection, seconds: limits.bodyIdleSeconds)
      watchOwned(connection)
    }
    return used
  }

  /// Bytes of a streamed body that lie in the loop's buffer; what is not used now is kept.
  func takeStreamed(_ connection: HTTPConnection, _ base: UnsafePointer<UInt8>, _ count: Int) {
    let generation = connection.generation
    let used = processStreamed(connection, base, count)
    guard connection.generation == generation, used < count else { return }
    switch connection.state {
    case .closed, .lingering: break
    default:
      connection.input.append(base + used, count - used)
      if connection.state == .head { resumable.append(connection) }
    }
  }

  private func processStreamed(_ connection: HTTPConnection, _ base: UnsafePointer<UInt8>, _ count: Int)
    -> Int
  {
    var at = 0
    while at < count, connection.isReceiving { at += takePart(connection, base + at, count - at) }
    return at
  }

  /// Gives the owner the next part of a streamed body; returns how many bytes were used up.
  func takePart(_ connection: HTTPConnection, _ base: UnsafePointer<UInt8>, _ count: Int) -> Int {
    connection.deadline = loop.now + Int64(limits.bodyIdleSeconds) * 1_000_000_000
    switch connection.incoming {
    case .nothing: return 0
    case .raw:
      owner.bodyPart(connection, base, count)
      return count
    case .counted:
      let part = min(count, connection.remaining)
      connection.remaining -= part
      let isLast = connection.remaining == 0
      if isLast { connection.incoming = .nothing }
      let key = connection.key
      owner.bodyPart(connection, base, part)
      if isLast, connection.key == key, connection.state == .owned, connection.isStreamed {
        owner.bodyEnded(connection, trailers: UnsafeBufferPointer(start: nil, count: 0))
      }
      return part
    case .chunked: return takeChunks(connection, base, count)
    }
  }

  private func takeChunks(_ connection: HTTPConnection, _ base: UnsafePointer<UInt8>, _ count: Int) -> Int {
    var at = 0
    let event: ChunkedDecoder.Event
    do throws(HTTP1Fault) {
      event = try connection.decoder.next(base, count, at: &at)
    } catch {
      if connection.hasBegun {
        // Only the end of the connection can still tell that the request is broken.
        disconnect(connection)
      } else {
        refuse(connection, error.status, error.message)
      }
      return count
    }
    // A streamed body is not collected: the room is used for its trailers.
    let lines = connection.decoder.trailers
    if !lines.isEmpty { connection.collected.append(base + lines.lowerBound, lines.count) }
    switch event {
    case .needMore: break
    case .data(let range): owner.bodyPart(connection, base + range.lowerBound, range.count)
    case .end:
      connection.incoming = .nothing
      owner.bodyEnded(connection, trailers: connection.collected.bytes)
      connection.collected.clear()
    }
    return at
  }

  /// The peer of an upgraded connection sends no more.
  func halfClosed(_ connection: HTTPConnection) {
    connection.incoming = .nothing
    watch(connection, connection.isBlocked ? [.writable] : [])
    owner.bodyEnded(connection, trailers: UnsafeBufferPointer(start: nil, count: 0))
    guard connection.state != .closed, connection.endsWrites, connection.output.isEmpty else { return }
    close(connection)
  }
}
