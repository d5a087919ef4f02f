internal import CLinux
internal import CNghttp2
internal import Glibc
internal import Reactor

/// Instances that speak HTTP/2.
extension UpstreamClient {
  /// Connections that a loop opens to one instance before streams wait for each other.
  static let mostSessions = 8

  func start2(
    _ target: UpstreamTarget, head: UnsafePointer<UInt8>, count: Int, body: UpstreamBody, tag: UInt64
  ) throws(UpstreamFailure) -> UpstreamExchange {
    var session = target.sessions.first { $0.hasRoom }
    if session == nil {
      let open = target.sessions.filter { !$0.isLeaving }
      if open.count >= Self.mostSessions { session = open.min { $0.streams.count < $1.streams.count } }
    }
    let used: UpstreamSession
    if let session { used = session } else { used = try connect2(target) }
    let slot = freeStreams.popLast() ?? streams.count
    if slot == streams.count { streams.append(UpstreamStream(slot: slot, target: target)) }
    let stream = streams[slot]
    stream.open(used)
    stream.place = used.streams.count
    used.streams.append(stream)
    stream.ownerTag = tag
    stream.framing = body
    stream.requestEnded = body == .none
    stream.request.append(head, count)
    if case .counted(let size) = body {
      stream.request.append("content-length: ")
      stream.request.append(decimal: size)
      stream.request.append("\r\n")
    }
    used.enqueue(stream)
    return stream
  }

  private func connect2(_ target: UpstreamTarget) throws(UpstreamFailure) -> UpstreamSession {
    let descriptor = dial(target)
    guard descriptor >= 0 else { throw UpstreamFailure(.connect, code: -descriptor, nothingSent: true) }
    if !target.connectsAtOnce { _ = roost_keep_alive(descriptor, 15, 5, 3) }
    let slot = freeSessions.popLast() ?? sessions.count
    sessionSerial &+= 1
    guard
      let session = UpstreamSession(
        self, target, slot: slot, generation: sessionSerial, descriptor: descriptor)
    else {
      _ = Glibc.close(descriptor)
      freeSessions.append(slot)
      throw UpstreamFailure(.connect, code: ENOMEM, nothingSent: true)
    }
    if slot == sessions.count { sessions.append(session) } else { sessions[slot] = session }
    target.sessions.append(session)
    target.openCount += 1
    session.watched = session.isConnected ? [.readable, .hangup] : .writable
    loop.watch(descriptor, session.watched, data: Kind.session << 56 | session.key)
    return session
  }

  func send2(_ stream: UpstreamStream, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    guard count > 0, let session = stream.session, stream.state != .over, stream.resetCode == nil else {
      return true
    }
    // The instance is gone from this stream in order: nobody reads what would be sent.
    if stream.saidEnd, stream.id < 0 { return true }
    stream.output.append(bytes, count)
    session.enqueue(stream)
    if stream.output.count > Self.highWater { stream.isFull = true }
    return !stream.isFull
  }

  func end2(_ stream: UpstreamStream, _ trailers: UnsafeBufferPointer<UInt8>) {
    guard !stream.requestEnded else { return }
    stream.requestEnded = true
    if let lines = trailers.baseAddress { stream.requestTrailers.append(lines, trailers.count) }
    stream.session?.enqueue(stream)
  }

  func cancel2(_ stream: UpstreamStream) {
    guard stream.state == .queued || stream.state == .open else { return }
    stream.resetCode = NGHTTP2_CANCEL.rawValue
    stream.state = .over
    guard let session = stream.session else { return }
    guard !session.isConnected else { return session.enqueue(stream) }
    session.remove(stream)
    // Who waits for a connection that does not come must not wait again at the next attempt.
    if session.streams.isEmpty { session.close(UpstreamFailure(.connect, nothingSent: true)) }
  }

  func part2(_ stream: UpstreamStream) {
    guard stream.state == .open else { return }
    stream.requestEnded = true
    stream.state = .over
    stream.isParted = true
    stream.session?.enqueue(stream)
  }

  // MARK: Events

  func sessionReady(_ data: UInt64, _ events: ReadyEvents) {
    let key = data & 0xff_ffff_ffff_ffff
    let slot = Int(key & 0xffff_ffff)
    guard slot < sessions.count, let session = sessions[slot], session.key == key, !session.isClosed else {
      return
    }
    if !session.isConnected {
      if session.cipher == nil {
        let code = roost_socket_error(session.descriptor)
        guard code == 0 else {
          return session.close(UpstreamFailure(.connect, code: code, nothingSent: true))
        }
        guard events.contains(.writable) else { return }
      }
      guard shake(session) else { return }
      session.isConnected = true
      var index = 0
      while index < session.streams.count {
        let stream = session.streams[index]
        index += 1
        guard stream.state == .queued else { continue }
        stream.isConnected = true
        owner.upstreamConnected(stream)
      }
      // The instance's settings may have come with the end of the handshake.
      if let cipher = session.cipher { read(session, cipher, fills: false) }
      return flush(session)
    }
    if events.contains(.writable) { flush(session) }
    guard !session.isClosed, !events.intersection([.readable, .hangup, .failed]).isEmpty else { return }
    if let cipher = session.cipher { return read(session, cipher, fills: true) }
    let received = roost_recv(session.descriptor, scratch, Self.readSize)
    if received < 0 {
      let code = roost_errno()
      if roost_would_block(code) == 0, code != EINTR { session.close(UpstreamFailure(.closed, code: code)) }
      return
    }
    guard received > 0 else { return session.close(UpstreamFailure(.closed)) }
    guard session.receive(scratch, received) else {
      return session.close(UpstreamFailure(.malformed))
    }
  }

  func flush(_ session: UpstreamSession) {
    guard session.isConnected, !session.isClosed else { return }
    // A socket that is broken says so when it is read.
    if let cipher = session.cipher { _ = cipher.drain(session.descriptor) }
    repeat {
      session.pump()
      guard !session.isBroken else { return session.close(UpstreamFailure(.malformed)) }
      while let base = session.output.base, !session.output.isEmpty {
        let sent = transmit(session.descriptor, session.cipher, base, session.output.count)
        if sent < 0 {
          let code = Int32(-sent)
          if code == EINTR { continue }
          // What the instance said before it left is read first; then the end of the connection is.
          if roost_would_block(code) == 0 { session.output.clear() }
          break
        }
        session.output.drop(sent)
      }
    } while session.isCapped && session.output.isEmpty
    let isWritten = session.output.isEmpty && !(session.cipher?.wantsToWrite ?? false)
    watch(session, isWritten ? [.readable, .hangup] : [.readable, .hangup, .writable])
    if session.isLeaving, session.streams.isEmpty, session.output.isEmpty {
      session.close(UpstreamFailure(.closed))
    }
  }

  func watch(_ session: UpstreamSession, _ events: ReadyEvents) {
    guard events != session.watched else { return }
    session.watched = events
    loop.rewatch(session.descriptor, events, data: Kind.session << 56 | session.key)
  }

  func flushSessions() {
    let changed = dirtySessions
    dirtySessions.removeAll(keepingCapacity: true)
    for session in changed {
      session.isDirty = false
      flush(session)
    }
  }

  func soil(_ session: UpstreamSession) {
    guard !session.isDirty, !session.isClosed else { return }
    session.isDirty = true
    dirtySessions.append(session)
  }

  /// Closes what was idle for long. Whether a silent instance is still there is asked by TCP: servers of gRPC take PING
  /// frames amiss.
  func sweepSessions() {
    for session in sessions {
      guard let session, !session.isClosed, session.isConnected else { continue }
      if session.streams.isEmpty {
        if session.isLeaving || loop.now - session.idleSince > 300_000_000_000 {
          session.isLeaving = true
          nghttp2_session_terminate_session(session.session, NGHTTP2_NO_ERROR.rawValue)
          soil(session)
        }
      }
    }
  }

  func sessionClosed(_ session: UpstreamSession) {
    sessions[session.slot] = nil
    // Events of this batch may still name the slot; the generation tells them apart.
    freeSessions.append(session.slot)
  }

  func recycle(_ stream: UpstreamStream) {
    stream.release()
    recycledStreams.append(stream.slot)
  }

  func http2(_ exchange: UpstreamExchange) -> UpstreamStream {
    unsafeDowncast(exchange, to: UpstreamStream.self)
  }
}
