internal import CLinux
internal import CNghttp2
internal import Glibc
internal import Reactor
internal import Wire

/// The HTTP/2 of one connection: the library's session and the streams that are open.
///
/// The library does no I/O: `receive` gives it what was read, `pump` writes what it wants to say to the connection's output.
/// While it calls back nothing is submitted to it: streams remember what is wanted and `pump` submits it.
final class HTTP2Session {
  static let failure = NGHTTP2_ERR_CALLBACK_FAILURE.rawValue
  static let maximumStreams: UInt32 = 256
  /// Bytes that all bodies in collection on one connection may have.
  static let maximumCollected = 64 << 20
  /// What an honest client never uses up: resets, pings, empty frames. Grows back by 100 a second.
  static let patience = 1000

  unowned(unsafe) let server: HTTPServer
  unowned(unsafe) let connection: HTTPConnection
  /// The connection's, held here as well: nothing is counted on the way to it. So is the loop.
  let output: ByteQueue
  let loop: EventLoop
  let library: HTTP2Library
  var session: OpaquePointer?
  /// Held by the server's slab, as those in the other lists are.
  var streams: [Unmanaged<HTTP2Stream>] = []
  /// Streams that want something submitted.
  var pending: [Unmanaged<HTTP2Stream>] = []
  /// Streams whose output fell below the low-water mark.
  var drained: [HTTP2Stream] = []
  /// Streams whose answer was complete before their request, and that end now.
  var overdue: [HTTP2Stream] = []
  /// Why the connection must end.
  var fault: UInt32?
  /// The last stream that is served, once that is known and not yet said.
  var endsAt: Int32?
  /// There is more to write than fits now.
  var isCapped = false
  /// Bytes of bodies in collection, and of their heads.
  var collectedBytes = 0
  var windows = StreamWindow.Connection()
  var idleSince: Int64
  private(set) var lastID: Int32 = 0
  /// The stream whose DATA frame was just written: the library calls `sent` for it next.
  var sending: Unmanaged<HTTP2Stream>?
  private var connectionConsumed = 0
  private var patience = HTTP2Session.patience
  private var patienceAt: Int64
  private(set) var isDraining = false

  // The header block that arrives; blocks of one connection never mix.
  /// Open streams are held by the server's slab.
  private var current: Unmanaged<HTTP2Stream>?
  private var currentID: Int32 = 0
  private var isTrailers = false
  private var listSize = 0
  private let pseudo = ByteQueue()
  private let cookies = ByteQueue()
  private var method = 0..<0
  private var path = 0..<0
  private var authority = 0..<0
  private var isWebSocket = false
  private var wroteRequestLine = false
  /// Header lines of the head whose places are in the loop's table of fields; -1: the head has to be parsed.
  private var known = -1
  private let fields: UnsafeMutablePointer<HTTP1Field>

  init?(server: HTTPServer, connection: HTTPConnection, library: HTTP2Library) {
    self.server = server
    self.connection = connection
    self.library = library
    output = connection.output
    loop = server.loop
    fields = server.fields
    idleSince = loop.now
    patienceAt = loop.now
    let user = Unmanaged.passUnretained(self).toOpaque()
    let code = library.memory.with {
      nghttp2_session_server_new3(&session, library.callbacks, user, library.option, $0)
    }
    guard code == 0 else { return nil }
    func entry(_ id: nghttp2_settings_id, _ value: UInt32) -> nghttp2_settings_entry {
      nghttp2_settings_entry(settings_id: Int32(id.rawValue), value: value)
    }
    let settings = [
      entry(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, Self.maximumStreams),
      entry(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, UInt32(StreamWindow.first)),
      entry(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, UInt32(HTTP1Head.maximumBytes)),
      entry(NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1),
      entry(NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1),
    ]
    nghttp2_submit_settings(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), settings, settings.count)
    nghttp2_session_set_local_window_size(
      session, UInt8(NGHTTP2_FLAG_NONE.rawValue), 0, StreamWindow.ofConnection)
  }

  deinit {
    nghttp2_session_del(session)
    pseudo.free()
    cookies.free()
  }

  /// Calls a session that the library was given. Its connection holds it meanwhile, so it is not counted once more.
  @inline(__always) static func with<Result>(
    _ user: UnsafeMutableRawPointer, _ body: (HTTP2Session) -> Result
  ) -> Result {
    Unmanaged<HTTP2Session>.fromOpaque(user)._withUnsafeGuaranteedRef(body)
  }

  // MARK: Reading

  /// Gives the library what was read. Afterwards look at `fault`.
  func receive(_ bytes: UnsafePointer<UInt8>, _ count: Int) {
    // In between other heads may have gone through the table.
    known = -1
    let taken = nghttp2_session_mem_recv(session, bytes, count)
    if taken < 0, fault == nil {
      switch Int32(truncatingIfNeeded: taken) {
      case NGHTTP2_ERR_FLOODED.rawValue, NGHTTP2_ERR_TOO_MANY_CONTINUATIONS.rawValue:
        fault = NGHTTP2_ENHANCE_YOUR_CALM.rawValue
      case NGHTTP2_ERR_BAD_CLIENT_MAGIC.rawValue: fault = NGHTTP2_PROTOCOL_ERROR.rawValue
      default: fault = NGHTTP2_INTERNAL_ERROR.rawValue
      }
    }
    if connectionConsumed > 0, fault == nil {
      nghttp2_session_consume_connection(session, connectionConsumed)
    }
    connectionConsumed = 0
    server.soil(connection)
  }

  /// Takes one from the client's patience.
  private func wear(_ cost: Int) -> Int32 {
    let earned = (loop.now - patienceAt) / 10_000_000
    if earned > 0 {
      patience = min(Self.patience, patience + Int(min(earned, Int64(Self.patience))))
      patienceAt += earned * 10_000_000
    }
    patience -= cost
    guard patience < 0 else { return 0 }
    fault = NGHTTP2_ENHANCE_YOUR_CALM.rawValue
    return Self.failure
  }

  /// Honest work was done for this client: pings and cancellations in proportion to it are fine.
  private func earn() { if patience < Self.patience { patience += 1 } }

  func beginFrame(_ header: nghttp2_frame_hd) -> Int32 {
    switch UInt32(header.type) {
    case NGHTTP2_DATA.rawValue, NGHTTP2_HEADERS.rawValue, NGHTTP2_CONTINUATION.rawValue,
      NGHTTP2_WINDOW_UPDATE.rawValue, NGHTTP2_RST_STREAM.rawValue:
      return 0
    case NGHTTP2_SETTINGS.rawValue: return wear(10)
    case NGHTTP2_PRIORITY.rawValue where header.stream_id == 0:
      // The library does not look at priorities any more.
      fault = NGHTTP2_PROTOCOL_ERROR.rawValue
      return Self.failure
    default: return wear(1)
    }
  }

  func beginHeaders(_ frame: nghttp2_frame) -> Int32 {
    let id = frame.hd.stream_id
    listSize = 0
    isTrailers = frame.headers.cat != NGHTTP2_HCAT_REQUEST
    if isTrailers {
      current = held(id)
      currentID = id
      return 0
    }
    let stream = server.openStream(self, id: id, place: streams.count)
    streams.append(stream)
    lastID = max(lastID, id)
    nghttp2_session_set_stream_user_data(session, id, stream.toOpaque())
    current = stream
    currentID = id
    pseudo.clear()
    cookies.clear()
    method = 0..<0
    path = 0..<0
    authority = 0..<0
    isWebSocket = false
    wroteRequestLine = false
    return 0
  }

  /// The open stream of this number; not counted, the slab holds it.
  private func held(_ id: Int32) -> Unmanaged<HTTP2Stream>? {
    nghttp2_session_get_stream_user_data(session, id).map { Unmanaged<HTTP2Stream>.fromOpaque($0) }
  }

  private func stream(_ id: Int32) -> HTTP2Stream? { held(id)?.takeUnretainedValue() }

  @inline(__always) func field(
    _ id: Int32, _ name: UnsafePointer<UInt8>, _ count: Int, _ value: UnsafePointer<UInt8>, _ size: Int
  ) -> Int32 {
    guard let current, currentID == id else { return 0 }
    return current._withUnsafeGuaranteedRef { field($0, name, count, value, size) }
  }

  @inline(__always) private func field(
    _ stream: HTTP2Stream, _ name: UnsafePointer<UInt8>, _ count: Int, _ value: UnsafePointer<UInt8>,
    _ size: Int
  ) -> Int32 {
    // As the size is counted for SETTINGS_MAX_HEADER_LIST_SIZE (RFC 9113, 6.5.2).
    listSize += count + size + 32
    if listSize > HTTP1Head.maximumBytes {
      // Small blocks can unpack to huge lists: somebody who goes far beyond the limit means harm.
      guard listSize <= 8 * HTTP1Head.maximumBytes else {
        fault = NGHTTP2_ENHANCE_YOUR_CALM.rawValue
        return Self.failure
      }
      stream.fault = (HTTP1Fault.headTooLarge.status, HTTP1Fault.headTooLarge.message)
      if isTrailers { abort(stream, NGHTTP2_ENHANCE_YOUR_CALM.rawValue) }
      return 0
    }
    if isTrailers {
      guard name[0] != 0x3a else { return 0 }
      stream.trailers.append(name, count, value, size)
    } else if name[0] == 0x3a {
      pseudoField(name, count, value, size)
    } else {
      regularField(stream, name, count, value, size)
    }
    return 0
  }

  /// The library has checked that each is there once, before the others, and well formed.
  private func pseudoField(
    _ name: UnsafePointer<UInt8>, _ count: Int, _ value: UnsafePointer<UInt8>, _ size: Int
  ) {
    let place = pseudo.count..<(pseudo.count + size)
    switch count {
    case 7 where name[1] == 0x6d: method = place
    case 5 where name[1] == 0x70: path = place
    case 10: authority = place
    case 9:
      isWebSocket = Self.equals(value, size, "websocket")
      return
    default: return
    }
    pseudo.append(value, size)
  }

  private static func equals(_ base: UnsafePointer<UInt8>, _ count: Int, _ text: StaticString) -> Bool {
    count == text.utf8CodeUnitCount && memcmp(base, text.utf8Start, count) == 0
  }

  private func regularField(
    _ stream: HTTP2Stream, _ name: UnsafePointer<UInt8>, _ count: Int, _ value: UnsafePointer<UInt8>,
    _ size: Int
  ) {
    if !wroteRequestLine { writeRequestLine(stream) }
    switch count {
    case 4 where !authority.isEmpty && Self.equals(name, count, "host"):
      // The request line has given it already.
      guard let base = pseudo.base, size == authority.count,
        memcmp(base + authority.lowerBound, value, size) == 0
      else {
        stream.fault = (400, "the host header and :authority must be the same")
        return
      }
    case 6 where Self.equals(name, count, "cookie"):
      // Clients may split cookies to compress them better (RFC 9113, 8.2.3).
      cookies.append(cookies.isEmpty ? "cookie: " : "; ")
      cookies.append(value, size)
    case 12 where Self.equals(name, count, "content-type"):
      stream.isGRPC =
        size >= 16 && Self.equals(value, 16, "application/grpc")
        && (size == 16 || value[16] == 0x2b || value[16] == 0x3b)
      stream.headBytes.append(name, count, value, size)
      added(stream, count, size)
    default:
      stream.headBytes.append(name, count, value, size)
      added(stream, count, size)
    }
  }

  private func writeRequestLine(_ stream: HTTP2Stream) {
    wroteRequestLine = true
    known = 0
    server.fieldsKey = stream.key
    guard let base = pseudo.base else { return }
    stream.headBytes.append(base + method.lowerBound, method.count)
    stream.headBytes.append(" ")
    stream.headBytes.append(base + path.lowerBound, path.count)
    stream.headBytes.append(" HTTP/1.1\r\n")
    guard !authority.isEmpty else { return }
    stream.headBytes.append("host: ")
    stream.headBytes.append(base + authority.lowerBound, authority.count)
    stream.headBytes.append("\r\n")
    added(stream, 4, authority.count)
  }

  /// Puts the line `name: value` that was just added to a head into the table of fields. The library has checked its bytes.
  private func added(_ stream: HTTP2Stream, _ count: Int, _ size: Int) {
    guard known >= 0, known < HTTP1Head.maximumFields, let base = stream.headBytes.base else {
      known = -1
      return
    }
    let value = stream.headBytes.count - 2 - size
    func isSpace(_ at: Int) -> Bool { base[at] == 0x20 || base[at] == 0x09 }
    guard size == 0 || !isSpace(value) && !isSpace(value + size - 1) else {
      known = -1
      return
    }
    var field = HTTP1Field()
    field.nameStart = Int32(truncatingIfNeeded: value - 2 - count)
    field.nameCount = Int32(truncatingIfNeeded: count)
    field.valueStart = Int32(truncatingIfNeeded: value)
    field.valueCount = Int32(truncatingIfNeeded: size)
    fields[known] = field
    known += 1
  }

  /// A name or a value that HTTP does not allow: the request is malformed (RFC 9113, 8.1.1).
  func invalidField(_ id: Int32) -> Int32 {
    if let stream = current?.takeUnretainedValue(), stream.id == id {
      abort(stream, NGHTTP2_PROTOCOL_ERROR.rawValue)
    }
    return 0
  }

  func received(_ frame: nghttp2_frame) -> Int32 {
    let ends = frame.hd.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
    switch UInt32(frame.hd.type) {
    case NGHTTP2_HEADERS.rawValue:
      guard let held = current, currentID == frame.hd.stream_id else { return 0 }
      current = nil
      held._withUnsafeGuaranteedRef { stream in
        guard stream.id == frame.hd.stream_id, stream.state != .closed else { return }
        stream.movedAt = loop.now
        if isTrailers {
          if ends { requestEnded(stream) }
        } else {
          headEnded(stream, ends: ends)
        }
      }
    case NGHTTP2_DATA.rawValue:
      if ends, let stream = stream(frame.hd.stream_id) {
        requestEnded(stream)
      } else if frame.hd.length <= frame.data.padlen {
        return wear(1)
      }
    case NGHTTP2_PING.rawValue where isDraining && frame.hd.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) != 0:
      // Everything that was on its way when the client learned of the end has arrived.
      endsAt = nghttp2_session_get_last_proc_stream_id(session)
    default: break
    }
    return 0
  }

  private func headEnded(_ stream: HTTP2Stream, ends: Bool) {
    stream.requestEnded = ends
    guard stream.resetCode == nil else { return }
    if !wroteRequestLine { writeRequestLine(stream) }
    if let base = cookies.base, !cookies.isEmpty {
      stream.headBytes.append(base, cookies.count)
      stream.headBytes.append("\r\n")
      added(stream, 6, cookies.count - 8)
    }
    stream.headBytes.append("\r\n")
    stream.head = HTTP1Head()
    if let fault = stream.fault { return refuse(stream, fault.status, fault.message) }
    if let base = pseudo.base, Self.equals(base + method.lowerBound, method.count, "CONNECT") {
      guard isWebSocket else {
        return refuse(stream, 501, "CONNECT is served with the :protocol websocket only")
      }
      stream.isExtendedConnect = true
    }
    do throws(HTTP1Fault) {
      try server.parse(stream, known: known)
    } catch {
      return refuse(stream, error.status, error.message)
    }
    arrive(stream)
  }

  private func arrive(_ stream: HTTP2Stream) {
    stream.state = .owned
    server.http2.streams += 1
    let generation = stream.generation
    let plan = server.owner.arrived(stream, fields: server.fields)
    guard stream.generation == generation, stream.state == .owned else { return }
    switch plan {
    case .stream:
      stream.isStreamed = true
      stream.base = nil
      stream.headBytes.clear()
      if stream.requestEnded { deliverEnd(stream) }
    case .collect(let limit):
      stream.state = .collecting
      stream.bodyLimit = limit
      let length = stream.head.contentLength
      guard length <= limit else {
        return refuse(stream, 413, HTTPServer.tooLarge(limit, "it has \(length) bytes"))
      }
      if length > HTTPServer.modestBody, let objection = server.owner.objection(stream, fields: server.fields)
      {
        return refuse(stream, objection.status, objection.message)
      }
      if stream.requestEnded { return deliver(stream) }
      // Heads are short on the wire where they repeat.
      hold(stream, stream.headBytes.count)
      if stream.head.expectsContinue {
        stream.interim.append("100\r\n\r\n")
        enqueue(stream)
      }
    }
  }

  /// Says through the owner why the request can't be served.
  func refuse(_ stream: HTTP2Stream, _ status: Int, _ message: String) {
    forget(stream)
    stream.state = .owned
    stream.base = nil
    server.owner.refused(stream, status: status, message: message)
  }

  private func forget(_ stream: HTTP2Stream) {
    release(stream)
    stream.collected.clear()
  }

  /// Counts bytes that a stream holds while its body is in collection.
  private func hold(_ stream: HTTP2Stream, _ count: Int) {
    stream.heldBytes += count
    collectedBytes += count
    server.heldBytes += count
  }

  private func release(_ stream: HTTP2Stream) {
    guard stream.heldBytes > 0 else { return }
    collectedBytes -= stream.heldBytes
    server.heldBytes -= stream.heldBytes
    stream.heldBytes = 0
  }

  /// Fills the table of fields with the stream's head. The table is the loop's: other heads may have gone through it since.
  private func recall(_ stream: HTTP2Stream) {
    if server.fieldsKey != stream.key { try? server.parse(stream) }
    stream.base = UnsafePointer(stream.headBytes.base)
  }

  /// Gives a whole request to the owner.
  private func deliver(_ stream: HTTP2Stream) {
    recall(stream)
    stream.state = .owned
    release(stream)
    server.owner.received(
      stream, fields: server.fields, body: stream.collected.base ?? server.scratch,
      count: stream.collected.count)
    stream.collected.clear()
    stream.headBytes.clear()
    stream.base = nil
  }

  // MARK: Bodies

  func data(_ id: Int32, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    earn()
    // One stream that waits must not stop the others: the connection's window comes back at once.
    connectionConsumed += count
    guard let stream = stream(id) else { return 0 }
    // A client that does not take its answer is not excused by what it sends meanwhile.
    if stream.state != .owned || stream.takesParts || stream.isOverdue { stream.movedAt = loop.now }
    switch stream.state {
    case .collecting:
      let size = stream.collected.count + count
      guard size <= stream.bodyLimit else {
        refuse(
          stream, 413,
          HTTPServer.tooLarge(stream.bodyLimit, "\(size) bytes have arrived and it goes on"))
        return 0
      }
      if size > HTTPServer.modestBody {
        if stream.head.contentLength <= HTTPServer.modestBody, stream.collected.count <= HTTPServer.modestBody
        {
          recall(stream)
          if let objection = server.owner.objection(stream, fields: server.fields) {
            refuse(stream, objection.status, objection.message)
            return 0
          }
        }
      }
      guard !server.isTooMuch(server.heldBytes + count, isModest: size <= HTTPServer.modestBody) else {
        refuse(stream, 429, HTTPServer.tooMuch(server.limits.heldBytes))
        return 0
      }
      hold(stream, count)
      stream.collected.append(bytes, count)
      guard collectedBytes <= Self.maximumCollected else {
        abort(stream, NGHTTP2_ENHANCE_YOUR_CALM.rawValue)
        return 0
      }
      take(stream, count)
    case .owned where stream.takesParts:
      if stream.isPaused || !stream.collected.isEmpty {
        stream.collected.append(bytes, count)
      } else {
        take(stream, count)
        server.owner.bodyPart(stream, bytes, count)
      }
    case .owned where stream.resetCode == nil:
      // The answer is complete, nobody wants these: clients that send on all the same get their window back, or they would wait
      // for it until they are reset.
      giveBack(stream, count)
    default: break
    }
    return 0
  }

  private func requestEnded(_ stream: HTTP2Stream) {
    stream.requestEnded = true
    stream.movedAt = loop.now
    switch stream.state {
    case .collecting: deliver(stream)
    case .owned where stream.takesParts && !stream.isPaused && stream.collected.isEmpty: deliverEnd(stream)
    default: break
    }
  }

  private func deliverEnd(_ stream: HTTP2Stream) {
    guard !stream.endDelivered else { return }
    stream.endDelivered = true
    server.owner.bodyEnded(
      stream, trailers: UnsafeBufferPointer(start: stream.trailers.base, count: stream.trailers.count))
  }

  /// Gives the owner what came while it paused.
  func deliverHeld(_ stream: HTTP2Stream) {
    while stream.state == .owned, stream.takesParts, !stream.isPaused {
      guard let base = stream.collected.base, !stream.collected.isEmpty else {
        if stream.requestEnded { deliverEnd(stream) }
        return
      }
      let count = min(65536, stream.collected.count)
      stream.consumed += count
      server.owner.bodyPart(stream, base, count)
      stream.collected.drop(count)
    }
  }

  // MARK: Ends

  /// The request is broken or too much: the stream is reset and the owner forgets it.
  func abort(_ stream: HTTP2Stream, _ code: UInt32) {
    guard stream.resetCode == nil else { return }
    stream.resetCode = code
    stream.isBroken = true
    forget(stream)
    abandon(stream)
    enqueue(stream)
  }

  private func abandon(_ stream: HTTP2Stream) {
    let isOwned = stream.state == .owned && stream.isWithOwner
    stream.state = .head
    if isOwned { server.owner.abandoned(stream) }
  }

  func streamClosed(_ id: Int32, _ code: UInt32) -> Int32 {
    // The library forgets the number now, as `no_closed_streams` asks.
    guard let held = held(id) else { return code == 0 ? 0 : wear(1) }
    let isOurs = held._withUnsafeGuaranteedRef { stream in
      let isOurs = stream.isOverdue || stream.resetCode != nil && !stream.isBroken
      remove(stream)
      return isOurs
    }
    return code == 0 || isOurs ? 0 : wear(1)
  }

  private func remove(_ stream: HTTP2Stream) {
    let held = Unmanaged.passUnretained(stream)
    if current?.toOpaque() == held.toOpaque() { current = nil }
    if let last = streams.popLast(), last.toOpaque() != held.toOpaque() {
      streams[stream.place] = last
      last._withUnsafeGuaranteedRef { $0.place = stream.place }
    }
    if streams.isEmpty { idleSince = loop.now }
    forget(stream)
    stream.window.close(&windows, &server.widened)
    let isOwned = stream.state == .owned && stream.resetCode == nil && stream.isWithOwner
    stream.state = .closed
    if isOwned { server.owner.abandoned(stream) }
    server.closeStream(stream)
  }

  /// The connection ends: so do all streams.
  func close() {
    while let stream = streams.last { remove(stream.takeUnretainedValue()) }
    pending.removeAll()
    drained.removeAll()
    overdue.removeAll()
  }

  /// Tells the client to begin nothing new here. Streams that are open, or on their way, are served.
  func drain() {
    guard !isDraining else { return }
    isDraining = true
    nghttp2_submit_shutdown_notice(session)
    nghttp2_submit_ping(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), nil)
    server.soil(connection)
  }

  /// Ends the connection, now that nothing is open.
  func terminate() {
    nghttp2_session_terminate_session(session, NGHTTP2_NO_ERROR.rawValue)
    server.soil(connection)
  }

  /// Nothing more is to be read or written.
  var isOver: Bool { nghttp2_session_want_read(session) == 0 && nghttp2_session_want_write(session) == 0 }

  /// The stream is looked at when the session pumps.
  func enqueue(_ stream: HTTP2Stream) {
    // Who is pending has soiled the connection, or is met by the pump that runs.
    guard !stream.isPending else { return }
    server.soil(connection)
    stream.isPending = true
    pending.append(Unmanaged.passUnretained(stream))
  }

  func sent(_ frame: nghttp2_frame) -> Int32 {
    let type = UInt32(frame.hd.type)
    let written = sending
    sending = nil
    if type == NGHTTP2_GOAWAY.rawValue, frame.goaway.error_code != 0 { server.http2.faults += 1 }
    guard type == NGHTTP2_DATA.rawValue || type == NGHTTP2_HEADERS.rawValue else { return 0 }
    if type == NGHTTP2_DATA.rawValue, frame.hd.length > 0 { earn() }
    guard frame.hd.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0 else { return 0 }
    earn()
    (written ?? held(frame.hd.stream_id))?._withUnsafeGuaranteedRef { stream in
      guard !stream.requestEnded, !stream.isRaw else { return }
      stream.isOverdue = true
      stream.overdueAt = loop.now
      if stream.isGRPC { overdue.append(stream) }
    }
    return 0
  }
}
