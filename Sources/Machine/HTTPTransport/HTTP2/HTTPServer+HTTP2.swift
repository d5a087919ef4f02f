internal import CLinux
internal import CNghttp2
internal import Reactor
internal import Wire

/// What a server has seen of HTTP/2 so far.
public struct HTTP2Counts: Sendable {
  /// Connections that began to speak it.
  public internal(set) var connections = 0
  /// Requests on them.
  public internal(set) var streams = 0
  /// Connections that ended because the client broke the protocol.
  public internal(set) var faults = 0
  /// Connections that ended because the client did too much that is useless (ENHANCE_YOUR_CALM).
  public internal(set) var calmed = 0

  public init() {}
}

/// Connections that speak HTTP/2.
extension HTTPServer {
  /// Whether the first bytes begin the preface of HTTP/2 (RFC 9113, 3.4): no method of HTTP/1.1 begins so.
  func isPreface(_ base: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    count >= 4 && base[0] == 0x50 && base[1] == 0x52 && base[2] == 0x49 && base[3] == 0x20
  }

  /// From here on the connection speaks HTTP/2.
  func begin2(_ connection: HTTPConnection) {
    guard let session = HTTP2Session(server: self, connection: connection, library: library) else {
      return close(connection)
    }
    connection.session = session
    connection.state = .http2
    http2.connections += 1
    loop.cancel(&connection.timer)
    arm2(connection)
    if isDraining { session.drain() }
  }

  func receive(_ connection: HTTPConnection, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
    guard let session = connection.session else { return }
    session.receive(bytes, count)
    if let code = session.fault { fail(connection, session, code) }
  }

  func flush(_ connection: HTTPConnection, _ session: HTTP2Session) {
    repeat {
      session.pump()
      if let code = session.fault { return fail(connection, session, code) }
      guard write(connection) else { return }
    } while session.isCapped
    if connection.isBlocked {
      connection.isBlocked = false
      watch(connection, [.readable, .hangup])
    }
    if session.isOver { part(connection, session) }
  }

  /// What is watched while the client does not read: control frames that it makes us answer are bounded.
  func watchBlocked(_ connection: HTTPConnection) {
    watch(
      connection, connection.output.count > HTTPExchange.highWater ? [.writable] : [.writable, .readable])
  }

  /// Ends a connection whose client broke the protocol or did too much.
  private func fail(_ connection: HTTPConnection, _ session: HTTP2Session, _ code: UInt32) {
    http2.faults += 1
    if code == NGHTTP2_ENHANCE_YOUR_CALM.rawValue { http2.calmed += 1 }
    session.writeGoaway(code)
    part(connection, session)
  }

  /// Writes what is left and closes once the client has read it.
  private func part(_ connection: HTTPConnection, _ session: HTTP2Session) {
    connection.session = nil
    session.close()
    connection.lingers = true
    connection.state = .lingering
    connection.isFull = false
    flush(connection)
  }

  // MARK: Time

  private func arm2(_ connection: HTTPConnection) {
    let seconds = min(
      5, limits.headSeconds, limits.bodyIdleSeconds, limits.writeIdleSeconds, limits.keepAliveSeconds)
    connection.timer = loop.setTimer(
      at: loop.now + Int64(seconds) * 1_000_000_000, data: Kind.connection << 56 | connection.key)
  }

  func fired(_ connection: HTTPConnection, _ session: HTTP2Session) {
    if connection.isBlocked, loop.now >= connection.deadline { return disconnect(connection) }
    if session.streams.isEmpty {
      let seconds = session.lastID == 0 ? limits.headSeconds : limits.keepAliveSeconds
      if loop.now - session.idleSince >= Int64(seconds) * 1_000_000_000 { session.terminate() }
    } else {
      session.tick(limits)
    }
    arm2(connection)
  }

  // MARK: Streams

  /// The open stream of a key.
  func heldStream(_ key: UInt64) -> Unmanaged<HTTPExchange>? {
    let slot = Int(key & 0xffff_ffff) & ~HTTP2Stream.slotMark
    guard slot < streams.count else { return nil }
    let isOpen = heldStreams[slot]._withUnsafeGuaranteedRef { $0.key == key && $0.state != .closed }
    return isOpen ? Unmanaged.fromOpaque(heldStreams[slot].toOpaque()) : nil
  }

  func openStream(_ session: HTTP2Session, id: Int32, place: Int) -> Unmanaged<HTTP2Stream> {
    let index = freeStreams.popLast() ?? streams.count
    if index == streams.count {
      let stream = HTTP2Stream(index: index)
      streams.append(stream)
      heldStreams.append(Unmanaged.passUnretained(stream))
    }
    heldStreams[index]._withUnsafeGuaranteedRef { open($0, session, id: id, place: place) }
    return heldStreams[index]
  }

  private func open(_ stream: HTTP2Stream, _ session: HTTP2Session, id: Int32, place: Int) {
    stream.open(session, id: id, now: loop.now)
    stream.place = place
    let connection = session.connection
    stream.isTLS = connection.isTLS
    stream.peer = connection.peer
    stream.isPeerTrusted = connection.isPeerTrusted
  }

  func closeStream(_ stream: HTTP2Stream) {
    stream.release()
    recycledStreams.append(stream.slot & ~HTTP2Stream.slotMark)
  }

  /// Parses the head of a stream into the loop's table of fields; if `known` is not negative, so many fields are there already
  /// and are all.
  func parse(_ stream: HTTP2Stream, known: Int = -1) throws(HTTP1Fault) {
    guard let base = stream.headBytes.base else { throw .method }
    let count = stream.headBytes.count
    fieldsKey = stream.key
    if known >= 0 {
      assert(parses(base, count, known: known), "the table of fields is not the parser's")
      stream.head = try HTTP1Head.parseRequest(base, count, fields, known: known)
    } else {
      stream.head = try HTTP1Head.parseRequest(base, count, fields)
    }
    stream.base = UnsafePointer(base)
    // A body whose length is not said ends with its stream, as a chunked one ends with its last chunk.
    // What follows an extended CONNECT is no body (RFC 8441, 5).
    if !stream.requestEnded, !stream.isExtendedConnect, stream.head.contentLength < 0 {
      stream.head.isChunked = true
    }
  }

  /// Whether the parser says the same of a head as the table that was filled while it came; looked at where assertions are.
  private func parses(_ base: UnsafePointer<UInt8>, _ count: Int, known: Int) -> Bool {
    withUnsafeTemporaryAllocation(of: HTTP1Field.self, capacity: HTTP1Head.maximumFields) { other in
      guard let table = other.baseAddress else { return false }
      var parsed: Result<HTTP1Head, HTTP1Fault>
      var filled: Result<HTTP1Head, HTTP1Fault>
      do throws(HTTP1Fault) { parsed = .success(try HTTP1Head.parseRequest(base, count, table)) } catch {
        parsed = .failure(error)
      }
      do throws(HTTP1Fault) {
        filled = .success(try HTTP1Head.parseRequest(base, count, fields, known: known))
      } catch { filled = .failure(error) }
      guard case .success(let head) = parsed else { return parsed == filled }
      return parsed == filled && (0..<Int(head.fieldCount)).allSatisfy { table[$0] == fields[$0] }
    }
  }

  // MARK: Answers

  func begin(_ stream: HTTP2Stream, _ status: Int, _ hasNoBody: Bool) {
    stream.answer = .head
    stream.status = status == 101 ? 200 : status
    stream.sendsNoBody = hasNoBody
  }

  func endHead(_ stream: HTTP2Stream) {
    stream.answer = .ready
    stream.headCount = stream.output.count
    stream.movedAt = loop.now
    stream.enqueue()
  }

  func informational(_ stream: HTTP2Stream, _ status: Int, _ fields: UnsafeBufferPointer<UInt8>) {
    guard !stream.hasBegun, (100...199).contains(status) else { return }
    stream.interim.append(decimal: status)
    stream.interim.append("\r\n")
    if let lines = fields.baseAddress { stream.interim.append(lines, fields.count) }
    stream.interim.append("\r\n")
    stream.enqueue()
  }

  func upgrade(_ stream: HTTP2Stream) {
    stream.isRaw = true
    endHead(stream)
  }

  func send(_ stream: HTTP2Stream, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    guard count > 0, !stream.sendsNoBody, stream.resetCode == nil else { return true }
    // The client has its time from when there is something to take, however long the answer was silent before.
    if stream.output.isEmpty { stream.movedAt = loop.now }
    stream.output.append(bytes, count)
    stream.enqueue()
    if stream.output.count > HTTPExchange.highWater { stream.isFull = true }
    return !stream.isFull
  }

  func end(_ stream: HTTP2Stream, _ trailers: UnsafeBufferPointer<UInt8>) {
    if let lines = trailers.baseAddress { stream.answerTrailers.append(lines, trailers.count) }
    finish(stream)
  }

  func finish(_ stream: HTTP2Stream) {
    stream.hasEnded = true
    if !stream.isRaw { stream.ownerTag = 0 }
    stream.enqueue()
  }

  func reset(_ stream: HTTP2Stream) {
    guard stream.resetCode == nil else { return }
    stream.resetCode = NGHTTP2_INTERNAL_ERROR.rawValue
    stream.enqueue()
  }

  func resume(_ stream: HTTP2Stream) {
    stream.movedAt = loop.now
    stream.enqueue()
  }
}
