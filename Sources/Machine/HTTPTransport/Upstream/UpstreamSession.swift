internal import CLinux
internal import CNghttp2
internal import Glibc
internal import Reactor
internal import Wire

/// A connection of HTTP/2 to an instance, with the library's session and the streams that are open on it.
///
/// The library does no I/O: `receive` gives it what was read, `pump` writes what it wants to say to `output`. While it calls
/// back nothing is submitted to it: streams remember what is wanted and `pump` submits it.
final class UpstreamSession {
  /// Bytes of frames that wait for the socket before more are made.
  static let cap = 256 << 10

  unowned(unsafe) let client: UpstreamClient
  let target: UpstreamTarget
  let slot: Int
  let generation: UInt32
  var descriptor: Int32
  var session: OpaquePointer?
  /// Must be there as long as `session` is.
  private let memory: SessionMemory
  var streams: [UpstreamStream] = []
  /// Streams that want something submitted.
  var pending: [UpstreamStream] = []
  /// Streams whose output fell below the low-water mark.
  var drained: [UpstreamStream] = []
  let output = ByteQueue()
  var isConnected: Bool
  var cipher: UpstreamCipher?
  var isDirty = false
  var watched: ReadyEvents = []
  /// Takes no new streams: the instance said so, or it is retired.
  var isLeaving = false
  /// The instance has said what it can do.
  private(set) var hasSettings = false
  /// There is more to write than fits now.
  var isCapped = false
  var isBroken = false
  var isClosed = false
  /// Has served a stream before.
  var served = 0
  var idleSince: Int64
  private var windows = StreamWindow.Connection()
  private var consumed = 0
  private var current: UpstreamStream?
  private var isTrailers = false
  private var listSize = 0

  init?(_ client: UpstreamClient, _ target: UpstreamTarget, slot: Int, generation: UInt32, descriptor: Int32)
  {
    self.client = client
    self.target = target
    self.slot = slot
    self.generation = generation
    self.descriptor = descriptor
    isConnected = target.connectsAtOnce
    idleSince = client.loop.now
    let library = client.library
    memory = library.memory
    let user = Unmanaged.passUnretained(self).toOpaque()
    let code = memory.with {
      nghttp2_session_client_new3(&session, library.callbacks, user, library.option, $0)
    }
    guard code == 0 else { return nil }
    func entry(_ id: nghttp2_settings_id, _ value: UInt32) -> nghttp2_settings_entry {
      nghttp2_settings_entry(settings_id: Int32(id.rawValue), value: value)
    }
    let settings = [
      entry(NGHTTP2_SETTINGS_ENABLE_PUSH, 0),
      entry(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, UInt32(StreamWindow.first)),
      entry(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, UInt32(HTTP1Head.maximumBytes)),
    ]
    nghttp2_submit_settings(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), settings, settings.count)
    nghttp2_session_set_local_window_size(
      session, UInt8(NGHTTP2_FLAG_NONE.rawValue), 0, StreamWindow.ofConnection)
  }

  deinit {
    nghttp2_session_del(session)
    output.free()
  }

  static func of(_ user: UnsafeMutableRawPointer?) -> UpstreamSession? {
    user.map { Unmanaged<UpstreamSession>.fromOpaque($0).takeUnretainedValue() }
  }

  var key: UInt64 { UInt64(generation & 0xff_ffff) << 32 | UInt64(slot) }

  /// Whether one more stream would leave at once.
  var hasRoom: Bool {
    let most = nghttp2_session_get_remote_settings(session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS)
    return !isLeaving && !isClosed && streams.count < Int(min(most, 1000))
  }

  /// Whether streams may carry WebSockets; known when there are settings.
  var takesWebSockets: Bool {
    nghttp2_session_get_remote_settings(session, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1
  }

  // MARK: Reading

  /// Gives the library what was read; false when the instance broke the protocol.
  func receive(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    let taken = nghttp2_session_mem_recv(session, bytes, count)
    if consumed > 0, taken >= 0 { nghttp2_session_consume_connection(session, consumed) }
    consumed = 0
    client.soil(self)
    return taken >= 0 && !isBroken
  }

  private func stream(_ id: Int32) -> UpstreamStream? {
    nghttp2_session_get_stream_user_data(session, id).map {
      Unmanaged<UpstreamStream>.fromOpaque($0).takeUnretainedValue()
    }
  }

  func beginHeaders(_ frame: nghttp2_frame) -> Int32 {
    listSize = 0
    current = stream(frame.hd.stream_id)
    isTrailers = current?.hasHead ?? false
    current?.headBytes.clear()
    return 0
  }

  func field(
    _ frame: nghttp2_frame, _ name: UnsafePointer<UInt8>, _ count: Int, _ value: UnsafePointer<UInt8>,
    _ size: Int
  ) -> Int32 {
    guard let stream = current, stream.id == frame.hd.stream_id, stream.state == .open else { return 0 }
    listSize += count + size + 32
    guard listSize <= HTTP1Head.maximumBytes else {
      stream.resetCode = NGHTTP2_CANCEL.rawValue
      fail(stream, UpstreamFailure(.malformed, fault: .headTooLarge))
      return 0
    }
    if isTrailers {
      if name[0] != 0x3a { stream.trailers.append(name, count, value, size) }
    } else if name[0] == 0x3a {
      // The library has checked that the status is there once, before the others, and three digits.
      stream.headBytes.append("HTTP/1.1 ")
      stream.headBytes.append(value, size)
      stream.headBytes.append(" \r\n")
    } else {
      stream.headBytes.append(name, count, value, size)
    }
    return 0
  }

  func received(_ frame: nghttp2_frame) -> Int32 {
    let ends = frame.hd.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
    switch UInt32(frame.hd.type) {
    case NGHTTP2_HEADERS.rawValue:
      guard let stream = current, stream.id == frame.hd.stream_id else { return 0 }
      current = nil
      guard stream.state == .open, stream.resetCode == nil else { return 0 }
      if !isTrailers { headEnded(stream, ends: ends) }
      if ends { answerEnded(stream) }
    case NGHTTP2_DATA.rawValue:
      if ends, let stream = stream(frame.hd.stream_id) { answerEnded(stream) }
    case NGHTTP2_SETTINGS.rawValue where !hasSettings:
      hasSettings = true
      // WebSockets wait to know whether they are welcome.
      for stream in streams where stream.state == .queued { enqueue(stream) }
    case NGHTTP2_GOAWAY.rawValue: isLeaving = true
    default: break
    }
    return 0
  }

  private func headEnded(_ stream: UpstreamStream, ends: Bool) {
    stream.headBytes.append("\r\n")
    guard let base = stream.headBytes.base else { return }
    do throws(HTTP1Fault) {
      stream.head = try HTTP1Head.parseResponse(base, stream.headBytes.count, client.fields)
    } catch {
      stream.resetCode = NGHTTP2_PROTOCOL_ERROR.rawValue
      return fail(stream, UpstreamFailure(.malformed, fault: error))
    }
    stream.base = UnsafePointer(base)
    if stream.head.status < 200 {
      client.owner.upstreamInformational(stream, fields: client.fields)
    } else {
      stream.hasHead = true
      stream.isRaw = stream.framing == .webSocket && stream.head.status < 300
      client.owner.upstreamHead(stream, fields: client.fields)
    }
    stream.base = nil
  }

  func data(_ id: Int32, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    // One stream that waits must not stop the others: the connection's window comes back at once.
    consumed += count
    guard let stream = stream(id), stream.state == .open, stream.resetCode == nil else { return 0 }
    if stream.isPaused || !stream.held.isEmpty {
      stream.held.append(bytes, count)
    } else {
      take(stream, count)
      client.owner.upstreamPart(stream, bytes, count)
    }
    return 0
  }

  /// The owner takes these bytes: the instance's window gets them back.
  private func take(_ stream: UpstreamStream, _ count: Int) {
    stream.consumed += count
    _ = stream.window.take(count, at: client.loop.now, &windows, &client.widened)
    enqueue(stream)
  }

  private func answerEnded(_ stream: UpstreamStream) {
    stream.answerEnded = true
    if stream.held.isEmpty, !stream.isPaused { deliverEnd(stream) }
  }

  /// Gives the owner what came while it paused.
  func deliverHeld(_ stream: UpstreamStream) {
    while stream.state == .open, stream.resetCode == nil, !stream.isPaused {
      guard let base = stream.held.base, !stream.held.isEmpty else {
        if stream.answerEnded { deliverEnd(stream) }
        return
      }
      let count = min(65536, stream.held.count)
      stream.consumed += count
      client.owner.upstreamPart(stream, base, count)
      stream.held.drop(count)
    }
  }

  private func deliverEnd(_ stream: UpstreamStream) {
    guard stream.state == .open, stream.resetCode == nil, !stream.saidEnd else { return }
    if stream.isRaw, !stream.requestEnded {
      // The other direction goes on until the owner ends it.
      stream.saidEnd = true
      return client.owner.upstreamEnded(stream, trailers: UnsafeBufferPointer(start: nil, count: 0))
    }
    stream.state = .over
    if !stream.requestEnded {
      // Nobody reads the rest of the request.
      stream.resetCode = NGHTTP2_CANCEL.rawValue
      enqueue(stream)
    }
    client.owner.upstreamEnded(
      stream, trailers: UnsafeBufferPointer(start: stream.trailers.base, count: stream.trailers.count))
  }

  // MARK: Ends

  /// Tells the owner; the library still knows the stream.
  private func fail(_ stream: UpstreamStream, _ failure: UpstreamFailure) {
    guard stream.state == .queued || stream.state == .open else { return }
    stream.state = .over
    enqueue(stream)
    client.owner.upstreamFailed(stream, failure)
  }

  func streamClosed(_ id: Int32, _ code: UInt32) -> Int32 {
    guard let stream = stream(id) else { return 0 }
    nghttp2_session_set_stream_user_data(session, id, nil)
    if stream.state == .open, stream.resetCode == nil {
      let isDone = stream.saidEnd && stream.requestEnded
      if stream.answerEnded, !isDone, !stream.saidEnd || code == NGHTTP2_NO_ERROR.rawValue {
        // Closed, but the owner has not taken everything yet, or not ended its side of a WebSocket.
        stream.id = -1
        return 0
      }
      if isDone { stream.state = .over } else { fail(stream, failure(stream, code)) }
    }
    remove(stream)
    return 0
  }

  private func failure(_ stream: UpstreamStream, _ code: UInt32) -> UpstreamFailure {
    if code == NGHTTP2_REFUSED_STREAM.rawValue, !stream.hasHead {
      return UpstreamFailure(.unprocessed, isReused: served > 1, isLeaving: isLeaving)
    }
    return UpstreamFailure(
      stream.hasHead ? .truncated : .closed, http2Code: code, isReused: served > 1)
  }

  /// The library could not send a request: too late for this connection.
  func notSent(_ frame: nghttp2_frame) -> Int32 {
    guard UInt32(frame.hd.type) == NGHTTP2_HEADERS.rawValue,
      let stream = streams.first(where: { $0.id == frame.hd.stream_id })
    else { return 0 }
    isLeaving = true
    fail(stream, UpstreamFailure(.unprocessed, nothingSent: true, isLeaving: true))
    remove(stream)
    return 0
  }

  func remove(_ stream: UpstreamStream) {
    guard stream.session === self else { return }
    if current === stream { current = nil }
    if let last = streams.popLast(), last !== stream {
      streams[stream.place] = last
      last.place = stream.place
    }
    if streams.isEmpty { idleSince = client.loop.now }
    stream.window.close(&windows, &client.widened)
    client.recycle(stream)
  }

  /// The connection is gone: so are all streams.
  func close(_ failure: UpstreamFailure) {
    guard !isClosed else { return }
    isClosed = true
    cipher?.part(descriptor)
    cipher = nil
    _ = Glibc.close(descriptor)
    descriptor = -1
    target.openCount -= 1
    target.sessions.removeAll { $0 === self }
    while let stream = streams.last {
      var own = failure
      if failure.kind != .connect {
        own.kind =
          stream.id < 0 && stream.state == .queued ? .unprocessed : stream.hasHead ? .truncated : .closed
        own.nothingSent = own.kind == .unprocessed
        own.isLeaving = own.kind == .unprocessed && isLeaving
        own.isReused = served > 1
      }
      let tells = stream.state == .queued || stream.state == .open
      stream.state = .over
      remove(stream)
      if tells { client.owner.upstreamFailed(stream, own) }
    }
    pending.removeAll()
    drained.removeAll()
    client.sessionClosed(self)
  }

  /// The client goes, and nobody is told: lets go of what names this session.
  func part() {
    if descriptor >= 0 { _ = Glibc.close(descriptor) }
    descriptor = -1
    isClosed = true
    target.sessions.removeAll { $0 === self }
    for stream in streams { stream.session = nil }
    streams.removeAll()
    pending.removeAll()
    drained.removeAll()
    current = nil
  }

  func enqueue(_ stream: UpstreamStream) {
    client.soil(self)
    guard !stream.isPending else { return }
    stream.isPending = true
    pending.append(stream)
  }
}

extension ByteQueue {
  /// Adds a line `name: value`.
  func append(
    _ name: UnsafePointer<UInt8>, _ count: Int, _ value: UnsafePointer<UInt8>, _ size: Int
  ) {
    let target = room(count + size + 4)
    memcpy(target, name, count)
    target[count] = 0x3a
    target[count + 1] = 0x20
    memcpy(target + count + 2, value, size)
    target[count + size + 2] = 0x0d
    target[count + size + 3] = 0x0a
    wrote(count + size + 4)
  }
}
