internal import CNghttp2
internal import Wire

/// One request over HTTP/2: bytes in, bytes out, an answer in the end.
final class HTTP2Probe {
  /// Longest body that is read: an answer of a health check has seven bytes.
  private static let bodyLimit = 4096
  private static let failure = NGHTTP2_ERR_CALLBACK_FAILURE.rawValue

  private let isGRPC: Bool
  private var session: OpaquePointer?
  private var request: [UInt8] = []
  private var status: Int?
  private var grpcStatus: Int?
  private var grpcMessage = ""
  private var body: [UInt8] = []
  private var hasReceived = false
  private var wasSentAway = false
  /// Set once the stream has ended, or can't.
  private(set) var answer: ProbeAnswer?

  init(_ question: ProbeQuestion) {
    var path = "/"
    switch question.kind {
    case .connect: isGRPC = false
    case .get(let asked):
      isGRPC = false
      path = asked
    case .health(let service):
      isGRPC = true
      path = "/grpc.health.v1.Health/Check"
      var message = ProtobufWriter()
      message.nonEmpty(1, service)
      request = GRPCFrameHead.framed(message.bytes)
    }
    open()
    submit(
      path: path, authority: question.authority, scheme: question.serverName == nil ? "http" : "https")
  }

  deinit { nghttp2_session_del(session) }

  private static func of(_ user: UnsafeMutableRawPointer?) -> HTTP2Probe? {
    user.map { Unmanaged<HTTP2Probe>.fromOpaque($0).takeUnretainedValue() }
  }

  private func open() {
    var callbacks: OpaquePointer?
    nghttp2_session_callbacks_new(&callbacks)
    defer { nghttp2_session_callbacks_del(callbacks) }
    nghttp2_session_callbacks_set_on_header_callback(callbacks) { _, _, name, count, value, size, _, user in
      guard let name, let value, let probe = HTTP2Probe.of(user) else { return HTTP2Probe.failure }
      probe.field(
        String(decoding: UnsafeBufferPointer(start: name, count: count), as: UTF8.self),
        String(decoding: UnsafeBufferPointer(start: value, count: size), as: UTF8.self))
      return 0
    }
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { _, frame, user in
      guard let frame, let probe = HTTP2Probe.of(user) else { return HTTP2Probe.failure }
      probe.received(frame.pointee.hd)
      return 0
    }
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) { _, _, _, bytes, count, user in
      guard let bytes, let probe = HTTP2Probe.of(user) else { return HTTP2Probe.failure }
      let part = UnsafeBufferPointer(start: bytes, count: count)
      probe.body.append(contentsOf: part.prefix(HTTP2Probe.bodyLimit - probe.body.count))
      return 0
    }
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { _, _, code, user in
      guard let probe = HTTP2Probe.of(user) else { return HTTP2Probe.failure }
      probe.ended(code)
      return 0
    }
    nghttp2_session_client_new(&session, callbacks, Unmanaged.passUnretained(self).toOpaque())
    nghttp2_submit_settings(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), nil, 0)
  }

  private func submit(path: String, authority: String, scheme: String) {
    var fields = [
      (":method", isGRPC ? "POST" : "GET"), (":scheme", scheme), (":path", path), (":authority", authority),
      ("user-agent", "roost-probe"),
    ]
    if isGRPC { fields += [("content-type", "application/grpc"), ("te", "trailers")] }
    // The library copies names and values while it is called; until then they stand in one array.
    var bytes: [UInt8] = []
    var sizes: [(name: Int, value: Int)] = []
    for (name, value) in fields {
      bytes += Array(name.utf8) + Array(value.utf8)
      sizes.append((name.utf8.count, value.utf8.count))
    }
    let result = bytes.withUnsafeMutableBufferPointer { buffer -> Int32 in
      guard var at = buffer.baseAddress else { return -1 }
      let table = sizes.map { size -> nghttp2_nv in
        defer { at += size.name + size.value }
        return nghttp2_nv(
          name: at, value: at + size.name, namelen: size.name, valuelen: size.value,
          flags: UInt8(NGHTTP2_NV_FLAG_NONE.rawValue))
      }
      guard isGRPC else { return nghttp2_submit_request(session, nil, table, table.count, nil, nil) }
      var provider = nghttp2_data_provider()
      provider.read_callback = { _, _, target, length, flags, _, user in
        guard let target, let flags, let probe = HTTP2Probe.of(user) else { return Int(HTTP2Probe.failure) }
        return probe.give(target, length, &flags.pointee)
      }
      return nghttp2_submit_request(session, nil, table, table.count, &provider, nil)
    }
    if result < 0 { answer = .malformed("the request could not be made") }
  }

  private func give(_ target: UnsafeMutablePointer<UInt8>, _ length: Int, _ flags: inout UInt32) -> Int {
    let count = min(length, request.count)
    for index in 0..<count { target[index] = request[index] }
    request.removeFirst(count)
    if request.isEmpty { flags |= NGHTTP2_DATA_FLAG_EOF.rawValue }
    return count
  }

  // MARK: Bytes

  /// What is to be sent now.
  func output() -> [UInt8] {
    var result: [UInt8] = []
    while true {
      var bytes: UnsafePointer<UInt8>?
      let count = nghttp2_session_mem_send(session, &bytes)
      guard count > 0, let bytes else { return result }
      result.append(contentsOf: UnsafeBufferPointer(start: bytes, count: count))
    }
  }

  /// Takes what came; look at `answer` and `output` afterwards.
  func receive(_ bytes: UnsafePointer<UInt8>, _ count: Int) {
    // A server of HTTP/1 answers the preface with words that are no frame.
    let word = Array("HTTP/1.".utf8)
    if !hasReceived, count >= word.count, word.indices.allSatisfy({ bytes[$0] == word[$0] }) {
      answer = .malformed("it speaks HTTP/1.1, not HTTP/2")
      return
    }
    hasReceived = true
    guard nghttp2_session_mem_recv(session, bytes, count) == count else {
      answer = answer ?? .malformed("it does not speak HTTP/2")
      return
    }
  }

  /// To be called once all `output` is taken: sets an answer when nothing is left to wait for, because the library has
  /// found a fault and said goodbye, or the server has.
  func giveUp() {
    guard answer == nil, nghttp2_session_want_read(session) == 0 else { return }
    answer = wasSentAway ? .closed : .malformed("it does not speak HTTP/2")
  }

  // MARK: The answer

  private func field(_ name: String, _ value: String) {
    switch name {
    case ":status": status = Int(value)
    case "grpc-status": grpcStatus = Int(value)
    case "grpc-message": grpcMessage = value
    default: break
    }
  }

  /// The head of an answer is enough, unless it is one of gRPC: that says how it went in its trailers.
  private func received(_ head: nghttp2_frame_hd) {
    if head.type == UInt8(NGHTTP2_GOAWAY.rawValue) { wasSentAway = true }
    guard !isGRPC, head.type == UInt8(NGHTTP2_HEADERS.rawValue), let status, status >= 200 else { return }
    answer = answer ?? .status(status)
  }

  private func ended(_ code: UInt32) {
    guard answer == nil else { return }
    guard let status else {
      // It took leave before it looked at the question.
      answer = wasSentAway ? .closed : .malformed("it reset the stream with error \(code)")
      return
    }
    guard isGRPC, status == 200 else {
      answer = .status(status)
      return
    }
    answer = .health(status: grpcStatus ?? 2, message: grpcMessage, serving: serving())
  }

  /// Field 1 of the answer's message, an enum; 0 when it is left out, nil when there is no message.
  private func serving() -> Int? {
    do throws(GRPCFault) {
      let message = try GRPCMessageDecoder.unary(body, limit: Self.bodyLimit)
      return Self.status(in: message)
    } catch { return nil }
  }

  private static func status(in message: [UInt8]) -> Int? {
    try? ProtobufReader.reading(message) { (reader) throws(ProtobufError) in
      var found = 0
      while let field = try reader.next() {
        if field.number == 1 {
          found = Int(truncatingIfNeeded: try reader.varint(field))
        } else {
          try reader.skip(field)
        }
      }
      return found
    }
  }
}
