internal import CLinux
internal import CNghttp2
internal import Glibc
internal import Reactor

/// From the owner's answers to frames.
extension HTTP2Session {
  /// Bytes of frames that wait for the socket before more are made.
  private static let cap = 256 << 10

  /// Submits what streams want and writes frames to the connection's output. Afterwards look at `fault`.
  func pump() {
    isCapped = false
    repeat {
      submitPending()
      write()
      // Nothing of a request matters once its answer is complete (RFC 9113, 8.1). Clients of gRPC know that; others,
      // such as curl before 8, would lose the answer to a reset that comes with it: they get time to stop by themselves.
      for stream in overdue where stream.state != .closed && !stream.requestEnded {
        nghttp2_submit_rst_stream(
          session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.id, NGHTTP2_NO_ERROR.rawValue)
      }
      if !overdue.isEmpty {
        overdue.removeAll(keepingCapacity: true)
        write()
      }
      let ready = drained
      drained.removeAll(keepingCapacity: true)
      for stream in ready where stream.isFull && stream.state == .owned {
        stream.isFull = false
        server.owner.writable(stream)
      }
    } while !pending.isEmpty && fault == nil
  }

  private func write() {
    while fault == nil {
      guard output.count < Self.cap else {
        isCapped = true
        return
      }
      var bytes: UnsafePointer<UInt8>?
      let count = nghttp2_session_mem_send(session, &bytes)
      guard count > 0, let bytes else {
        if count < 0, fault == nil { fault = NGHTTP2_INTERNAL_ERROR.rawValue }
        return
      }
      output.append(bytes, count)
    }
  }

  private func submitPending() {
    if let last = endsAt {
      endsAt = nil
      nghttp2_submit_goaway(
        session, UInt8(NGHTTP2_FLAG_NONE.rawValue), last, NGHTTP2_NO_ERROR.rawValue, nil, 0)
    }
    var index = 0
    while index < pending.count {
      pending[index]._withUnsafeGuaranteedRef { stream in
        stream.isPending = false
        if stream.state != .closed { submit(stream) }
      }
      index += 1
    }
    pending.removeAll(keepingCapacity: true)
  }

  private func submit(_ stream: HTTP2Stream) {
    if stream.resetCode == nil { deliverHeld(stream) }
    if stream.state == .owned, stream.hasEnded, !stream.isRaw, !stream.collected.isEmpty {
      stream.consumed += stream.collected.count
      stream.collected.clear()
    }
    if let code = stream.resetCode {
      nghttp2_submit_rst_stream(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.id, code)
      return
    }
    if stream.consumed > 0 {
      if !stream.requestEnded { nghttp2_session_consume_stream(session, stream.id, stream.consumed) }
      stream.consumed = 0
    }
    sayWindow(stream)
    if !stream.interim.isEmpty { submitInterim(stream) }
    switch stream.answer {
    case .ready: submitHead(stream)
    case .submitted where stream.isDeferred && (!stream.output.isEmpty || stream.hasEnded):
      stream.isDeferred = false
      nghttp2_session_resume_data(session, stream.id)
    default: break
    }
  }

  // MARK: Heads

  private func submitInterim(_ stream: HTTP2Stream) {
    while let base = stream.interim.base, stream.interim.count >= 5 {
      memcpy(library.statusText, base, 3)
      var count = 1
      setStatus()
      let end = readLines(base, from: 5, to: stream.interim.count, &count)
      nghttp2_submit_headers(
        session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.id, nil, library.fields, count, nil)
      stream.interim.drop(min(end, stream.interim.count))
    }
  }

  private func submitHead(_ stream: HTTP2Stream) {
    stream.answer = .submitted
    library.statusText[0] = UInt8(truncatingIfNeeded: 0x30 + stream.status / 100 % 10)
    library.statusText[1] = UInt8(truncatingIfNeeded: 0x30 + stream.status / 10 % 10)
    library.statusText[2] = UInt8(truncatingIfNeeded: 0x30 + stream.status % 10)
    setStatus()
    var count = 1
    if let base = stream.output.base { _ = readLines(base, from: 0, to: stream.headCount, &count) }
    let hasNothing =
      stream.hasEnded && stream.output.count == stream.headCount && stream.answerTrailers.isEmpty
    var result: Int32
    if stream.sendsNoBody || hasNothing {
      result = nghttp2_submit_response(session, stream.id, library.fields, count, nil)
    } else {
      var provider = nghttp2_data_provider()
      provider.source.ptr = Unmanaged.passUnretained(stream).toOpaque()
      provider.read_callback = { _, _, _, length, flags, source, user in
        guard let flags, let source, let user else { return Int(HTTP2Session.failure) }
        return HTTP2Session.with(user) { $0.read(source.pointee, length, &flags.pointee) }
      }
      result = nghttp2_submit_response(session, stream.id, library.fields, count, &provider)
    }
    stream.output.drop(stream.sendsNoBody ? stream.output.count : stream.headCount)
    stream.headCount = 0
    if result != 0 {
      nghttp2_submit_rst_stream(
        session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.id, NGHTTP2_INTERNAL_ERROR.rawValue)
    }
  }

  private func setStatus() {
    let name: StaticString = ":status"
    library.fields[0] = nghttp2_nv(
      name: UnsafeMutablePointer(mutating: name.utf8Start), value: library.statusText, namelen: 7,
      valuelen: 3,
      flags: UInt8(NGHTTP2_NV_FLAG_NONE.rawValue))
  }

  /// Reads lines `name: value` into the table up to an empty line or `to`; returns where it stopped.
  private func readLines(_ base: UnsafeMutablePointer<UInt8>, from: Int, to end: Int, _ count: inout Int)
    -> Int
  {
    var at = from
    while at < end {
      var last = at + scan_byte(base + at, end - at, 0x0a)
      guard last < end else { return end }
      let next = last + 1
      if last > at, base[last - 1] == 0x0d { last -= 1 }
      guard last > at else { return next }
      let name = base + at
      let size = scan_byte(name, last - at, 0x3a)
      if size < last - at {
        var value = at + size + 1
        while value < last, base[value] == 0x20 || base[value] == 0x09 { value += 1 }
        if size > 0, count < HTTP2Library.maximumFields, !Self.isOfConnection(name, size) {
          library.fields[count] = nghttp2_nv(
            name: name, value: base + value, namelen: size, valuelen: last - value,
            flags: Self.isUnique(name, size) ? UInt8(NGHTTP2_NV_FLAG_NO_INDEX.rawValue) : 0)
          count += 1
        }
      }
      at = next
    }
    return end
  }

  /// Headers whose values never come again: in the table of the connection's compression they would only push out others.
  private static func isUnique(_ name: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    func named(_ text: StaticString) -> Bool { scan_equals_lower(name, text.utf8Start, count) != 0 }
    return switch count {
    case 12: named("x-request-id")
    case 13: named("server-timing") || named("traceresponse")
    default: false
    }
  }

  /// Headers that speak of a connection have no place in HTTP/2 (RFC 9113, 8.2.2).
  private static func isOfConnection(_ name: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    func named(_ text: StaticString) -> Bool { scan_equals_lower(name, text.utf8Start, count) != 0 }
    return switch count {
    case 7: named("upgrade")
    case 10: named("connection") || named("keep-alive")
    case 16: named("proxy-connection")
    case 17: named("transfer-encoding")
    default: false
    }
  }

  // MARK: Bodies

  /// How much of the body the next frame has; its bytes are written by `sendData`.
  func read(_ source: nghttp2_data_source, _ length: Int, _ flags: inout UInt32) -> Int {
    guard let raw = source.ptr else { return Int(Self.failure) }
    return Unmanaged<HTTP2Stream>.fromOpaque(raw)._withUnsafeGuaranteedRef { read($0, length, &flags) }
  }

  private func read(_ stream: HTTP2Stream, _ length: Int, _ flags: inout UInt32) -> Int {
    let count = min(length, stream.output.count)
    guard count > 0 || stream.hasEnded else {
      stream.isDeferred = true
      return Int(NGHTTP2_ERR_DEFERRED.rawValue)
    }
    if count > 0 { flags |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue }
    guard stream.hasEnded, count == stream.output.count else { return count }
    flags |= NGHTTP2_DATA_FLAG_EOF.rawValue
    if let base = stream.answerTrailers.base, !stream.answerTrailers.isEmpty {
      var fields = 0
      _ = readLines(base, from: 0, to: stream.answerTrailers.count, &fields)
      flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
      // The library asks for trailers right here.
      if nghttp2_submit_trailer(session, stream.id, library.fields, fields) != 0 { return Int(Self.failure) }
      stream.answerTrailers.clear()
    }
    return count
  }

  /// Writes a DATA frame.
  func sendData(
    _ frame: nghttp2_frame, _ header: UnsafePointer<UInt8>, _ count: Int, _ source: nghttp2_data_source
  ) -> Int32 {
    guard output.count < Self.cap else {
      isCapped = true
      return NGHTTP2_ERR_WOULDBLOCK.rawValue
    }
    guard let raw = source.ptr else { return Self.failure }
    let held = Unmanaged<HTTP2Stream>.fromOpaque(raw)
    sending = held
    return held._withUnsafeGuaranteedRef { stream in
      guard let base = stream.output.base, stream.output.count >= count else { return Self.failure }
      output.append(header, 9)
      output.append(base, count)
      stream.output.drop(count)
      stream.movedAt = loop.now
      if stream.isFull, stream.output.count <= HTTPExchange.lowWater { drained.append(stream) }
      return 0
    }
  }

  // MARK: Time

  /// Looks for streams that stand still.
  func tick(_ limits: HTTPServer.Limits) {
    let now = loop.now
    func isLate(_ stream: HTTP2Stream, _ seconds: Int) -> Bool {
      now - stream.movedAt >= Int64(seconds) * 1_000_000_000
    }
    for held in streams {
      let stream = held.takeUnretainedValue()
      guard stream.resetCode == nil else { continue }
      switch stream.state {
      case .closed: break
      case .head: if isLate(stream, limits.headSeconds) { abort(stream, NGHTTP2_CANCEL.rawValue) }
      case .collecting:
        if isLate(stream, limits.bodyIdleSeconds) {
          refuse(stream, 408, "the request did not arrive in time")
        }
      case .owned where stream.isOverdue:
        let isEndless = now - stream.overdueAt >= Int64(limits.overdueSeconds) * 1_000_000_000
        if isEndless || now - stream.movedAt >= HTTPServer.lingering { overdue.append(stream) }
      case .owned:
        if !stream.output.isEmpty, stream.answer == .submitted {
          if isLate(stream, limits.writeIdleSeconds) { abort(stream, NGHTTP2_CANCEL.rawValue) }
        } else if stream.takesParts, !stream.requestEnded, !stream.isPaused, !stream.isRaw,
          isLate(stream, limits.bodyIdleSeconds)
        {
          stream.movedAt = now
          server.owner.stalled(stream)
        }
      }
    }
    if !overdue.isEmpty { server.soil(connection) }
  }

  /// A GOAWAY frame (RFC 9113, 6.8), written without the library when it has failed.
  func writeGoaway(_ code: UInt32) {
    let target = output.room(17)
    let fields: [UInt32] = [UInt32(bitPattern: lastID), code]
    let header: [UInt8] = [0, 0, 8, UInt8(NGHTTP2_GOAWAY.rawValue), 0, 0, 0, 0, 0]
    for index in 0..<9 { target[index] = header[index] }
    for index in 0..<8 {
      target[9 + index] = UInt8(truncatingIfNeeded: fields[index / 4] >> (24 - 8 * UInt32(index % 4)))
    }
    output.wrote(17)
  }
}
