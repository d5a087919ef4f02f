internal import CLinux
internal import CNghttp2
internal import Glibc
internal import Reactor

/// From the owner's requests to frames.
extension UpstreamSession {
  /// Submits what streams want and writes frames to `output`.
  func pump() {
    isCapped = false
    repeat {
      var index = 0
      while index < pending.count {
        let stream = pending[index]
        index += 1
        stream.isPending = false
        if stream.session === self { submit(stream) }
      }
      pending.removeAll(keepingCapacity: true)
      write()
      let ready = drained
      drained.removeAll(keepingCapacity: true)
      for stream in ready where stream.isFull && stream.state == .open {
        stream.isFull = false
        client.owner.upstreamWritable(stream)
      }
    } while !pending.isEmpty && !isBroken
  }

  private func write() {
    while !isBroken {
      guard output.count < Self.cap else {
        isCapped = true
        return
      }
      var bytes: UnsafePointer<UInt8>?
      let count = nghttp2_session_mem_send(session, &bytes)
      guard count > 0, let bytes else {
        if count < 0 { isBroken = true }
        return
      }
      output.append(bytes, count)
    }
  }

  private func submit(_ stream: UpstreamStream) {
    if stream.state == .queued { return submitRequest(stream) }
    if stream.resetCode == nil { deliverHeld(stream) }
    guard stream.session === self else { return }
    // The library had closed it before the owner took everything.
    if stream.id < 0 {
      if stream.state == .over || stream.resetCode != nil || stream.saidEnd && stream.requestEnded {
        stream.state = .over
        remove(stream)
      }
      return
    }
    if let code = stream.resetCode {
      nghttp2_submit_rst_stream(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.id, code)
      return
    }
    if stream.consumed > 0 {
      if !stream.answerEnded { nghttp2_session_consume_stream(session, stream.id, stream.consumed) }
      stream.consumed = 0
    }
    if !stream.answerEnded, let window = stream.window.unsaid() {
      nghttp2_session_set_local_window_size(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.id, window)
    }
    if stream.isDeferred, !stream.output.isEmpty || stream.requestEnded {
      stream.isDeferred = false
      nghttp2_session_resume_data(session, stream.id)
    }
  }

  private func submitRequest(_ stream: UpstreamStream) {
    guard let base = stream.request.base else { return }
    let isWebSocket = stream.framing == .webSocket
    if isWebSocket {
      guard hasSettings else { return }
      guard takesWebSockets else {
        stream.state = .over
        remove(stream)
        return client.owner.upstreamFailed(stream, UpstreamFailure(.noWebSocket))
      }
    }
    let end = stream.request.count
    var count = 0
    let lineEnd = find(base, 0, end, 0x0a)
    let method = find(base, 0, lineEnd, 0x20)
    let target = find(base, method + 1, lineEnd, 0x20)
    if isWebSocket {
      let connect: StaticString = "CONNECT"
      put(":method", UnsafeMutablePointer(mutating: connect.utf8Start), connect.utf8CodeUnitCount, &count)
      let name: StaticString = "websocket"
      put(":protocol", UnsafeMutablePointer(mutating: name.utf8Start), name.utf8CodeUnitCount, &count)
    } else {
      put(":method", base, method, &count)
    }
    let scheme: StaticString = self.target.identity == nil ? "http" : "https"
    put(":scheme", UnsafeMutablePointer(mutating: scheme.utf8Start), scheme.utf8CodeUnitCount, &count)
    put(":path", base + method + 1, target - method - 1, &count)
    let authority = count
    count += 1
    var hasAuthority = false
    var at = lineEnd + 1
    while at < end {
      let last = find(base, at, end, 0x0d)
      let colon = find(base, at, last, 0x3a)
      var value = colon + 1
      while value < last, base[value] == 0x20 || base[value] == 0x09 { value += 1 }
      if Self.isHost(base + at, colon - at) {
        var place = authority
        put(":authority", base + value, last - value, &place)
        hasAuthority = true
      } else if count < UpstreamLibrary.maximumFields, !Self.isOfConnection(base + at, colon - at) {
        client.library.fields[count] = nghttp2_nv(
          name: base + at, value: base + value, namelen: colon - at, valuelen: last - value,
          flags: UInt8(NGHTTP2_NV_FLAG_NONE.rawValue))
        count += 1
      }
      at = last + 2
    }
    if !hasAuthority {
      var place = authority
      let host: StaticString = "node"
      put(":authority", UnsafeMutablePointer(mutating: host.utf8Start), 4, &place)
    }
    let user = Unmanaged.passUnretained(stream).toOpaque()
    var id: Int32
    if stream.framing == .none
      || (stream.requestEnded && stream.output.isEmpty && stream.requestTrailers.isEmpty)
    {
      id = nghttp2_submit_request(session, nil, client.library.fields, count, nil, user)
    } else {
      var provider = nghttp2_data_provider()
      provider.source.ptr = user
      provider.read_callback = { _, _, _, length, flags, source, user in
        guard let flags, let source, let session = UpstreamSession.of(user) else {
          return Int(UpstreamLibrary.failure)
        }
        return session.read(source.pointee, length, &flags.pointee)
      }
      id = nghttp2_submit_request(session, nil, client.library.fields, count, &provider, user)
    }
    served += 1
    stream.request.clear()
    guard id > 0 else {
      // No ids are left on this connection.
      isLeaving = true
      stream.state = .over
      remove(stream)
      return client.owner.upstreamFailed(stream, UpstreamFailure(.unprocessed, nothingSent: true))
    }
    stream.id = id
    stream.state = .open
  }

  private func put(
    _ name: StaticString, _ value: UnsafeMutablePointer<UInt8>, _ size: Int, _ count: inout Int
  ) {
    client.library.fields[count] = nghttp2_nv(
      name: UnsafeMutablePointer(mutating: name.utf8Start), value: value, namelen: name.utf8CodeUnitCount,
      valuelen: size, flags: UInt8(NGHTTP2_NV_FLAG_NONE.rawValue))
    count += 1
  }

  /// The place of a byte from `from` on; `end` when it isn't there.
  private func find(_ base: UnsafeMutablePointer<UInt8>, _ from: Int, _ end: Int, _ byte: Int32) -> Int {
    guard from < end, let found = memchr(base + from, byte, end - from) else { return end }
    return UnsafeMutablePointer<UInt8>(mutating: found.assumingMemoryBound(to: UInt8.self)) - base
  }

  private static func isHost(_ name: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    let host: StaticString = "host"
    return count == 4 && scan_equals_lower(name, host.utf8Start, 4) != 0
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
    guard let raw = source.ptr else { return Int(UpstreamLibrary.failure) }
    let stream = Unmanaged<UpstreamStream>.fromOpaque(raw).takeUnretainedValue()
    let count = min(length, stream.output.count)
    guard count > 0 || stream.requestEnded else {
      stream.isDeferred = true
      return Int(NGHTTP2_ERR_DEFERRED.rawValue)
    }
    if count > 0 { flags |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue }
    guard stream.requestEnded, count == stream.output.count else { return count }
    flags |= NGHTTP2_DATA_FLAG_EOF.rawValue
    if count == 0 { left(stream) }
    if let base = stream.requestTrailers.base, !stream.requestTrailers.isEmpty {
      var fields = 0
      var at = 0
      let end = stream.requestTrailers.count
      while at < end, fields < UpstreamLibrary.maximumFields {
        let last = find(base, at, end, 0x0d)
        let colon = find(base, at, last, 0x3a)
        var value = min(colon + 1, last)
        while value < last, base[value] == 0x20 { value += 1 }
        client.library.fields[fields] = nghttp2_nv(
          name: base + at, value: base + value, namelen: colon - at, valuelen: last - value,
          flags: UInt8(NGHTTP2_NV_FLAG_NONE.rawValue))
        fields += 1
        at = last + 2
      }
      flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
      if nghttp2_submit_trailer(session, stream.id, client.library.fields, fields) != 0 {
        return Int(UpstreamLibrary.failure)
      }
      stream.requestTrailers.clear()
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
    guard let raw = source.ptr else { return UpstreamLibrary.failure }
    let stream = Unmanaged<UpstreamStream>.fromOpaque(raw).takeUnretainedValue()
    guard let base = stream.output.base, stream.output.count >= count else { return UpstreamLibrary.failure }
    output.append(header, 9)
    output.append(base, count)
    stream.output.drop(count)
    if stream.isFull, stream.output.count <= UpstreamClient.lowWater { drained.append(stream) }
    if stream.requestEnded, stream.output.isEmpty { left(stream) }
    return 0
  }

  /// The last frame of the request is on its way: a stream that nobody waits for is reset behind it.
  private func left(_ stream: UpstreamStream) {
    guard stream.isParted else { return }
    stream.resetCode = NGHTTP2_CANCEL.rawValue
    enqueue(stream)
  }
}
