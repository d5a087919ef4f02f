import CLinux
import CNghttp2
import Glibc

/// Speaks HTTP/2 frame by frame, so that tests can say what no client would.
final class FrameClient {
  struct Frame {
    var type: UInt8
    var flags: UInt8
    var stream: UInt32
    var payload: [UInt8]
    var headers: [(name: String, value: String)] = []

    /// The code of RST_STREAM, or of GOAWAY.
    var code: UInt32 {
      let at = type == 7 ? 4 : 0
      guard payload.count >= at + 4 else { return .max }
      return payload[at..<(at + 4)].reduce(0) { $0 << 8 | UInt32($1) }
    }
    var endsStream: Bool { (type == 0 || type == 1) && flags & 1 != 0 }
    func header(_ name: String) -> String? { headers.first { $0.name == name }?.value }
    var text: String { String(decoding: payload, as: UTF8.self) }
  }

  /// How long nothing may come, in milliseconds: sanitizers and other tests leave a server little time.
  static let patience: Int64 = 30_000
  static let data: UInt8 = 0
  static let headers: UInt8 = 1
  static let reset: UInt8 = 3
  static let settings: UInt8 = 4
  static let ping: UInt8 = 6
  static let goaway: UInt8 = 7
  static let windowUpdate: UInt8 = 8
  static let continuation: UInt8 = 9

  private let descriptor: Int32
  private var inflater: OpaquePointer?
  private var waiting: [UInt8] = []
  private(set) var isClosed = false

  /// Connects and sends the preface; `window` is what streams of the server may send at first.
  init(port: UInt16, window: UInt32? = nil, preface: String = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") {
    descriptor = roost_dial("127.0.0.1", port, 2000)
    _ = roost_set_timeout(descriptor, Self.patience)
    var one: Int32 = 1
    setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
    nghttp2_hd_inflate_new(&inflater)
    write(Array(preface.utf8))
    frame(Self.settings, payload: window.map { [0, 4] + Self.bytes($0) } ?? [])
  }

  deinit {
    nghttp2_hd_inflate_del(inflater)
    _ = close(descriptor)
  }

  static func bytes(_ value: UInt32) -> [UInt8] {
    [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
  }

  func write(_ bytes: [UInt8]) {
    var at = 0
    while at < bytes.count {
      let sent = bytes.withUnsafeBytes {
        roost_send(descriptor, $0.baseAddress.map { $0 + at }, bytes.count - at)
      }
      guard sent > 0 else { return }
      at += sent
    }
  }

  static func encode(_ type: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, payload: [UInt8] = []) -> [UInt8] {
    Array(bytes(UInt32(payload.count))[1...]) + [type, flags] + bytes(stream) + payload
  }

  func frame(_ type: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, payload: [UInt8] = []) {
    write(Self.encode(type, flags: flags, stream: stream, payload: payload))
  }

  /// A header block of literals that are not indexed (RFC 7541, 6.2.2).
  static func block(_ fields: [(String, String)]) -> [UInt8] {
    func string(_ text: String) -> [UInt8] {
      let bytes = Array(text.utf8)
      guard bytes.count >= 127 else { return [UInt8(bytes.count)] + bytes }
      var size: [UInt8] = [127]
      var rest = bytes.count - 127
      while rest >= 128 {
        size.append(UInt8(rest % 128 + 128))
        rest /= 128
      }
      return size + [UInt8(rest)] + bytes
    }
    return fields.flatMap { [0] + string($0.0) + string($0.1) }
  }

  static func request(_ method: String, _ path: String, _ more: [(String, String)] = []) -> [(String, String)]
  {
    [(":method", method), (":scheme", "http"), (":path", path), (":authority", "a.example")] + more
  }

  func headers(_ stream: UInt32, _ fields: [(String, String)], ends: Bool = true) {
    frame(Self.headers, flags: ends ? 5 : 4, stream: stream, payload: Self.block(fields))
  }

  func get(_ stream: UInt32, _ path: String) { headers(stream, Self.request("GET", path)) }

  func data(_ stream: UInt32, _ bytes: [UInt8], ends: Bool = false) {
    frame(Self.data, flags: ends ? 1 : 0, stream: stream, payload: bytes)
  }

  func windowUpdate(_ stream: UInt32, _ count: UInt32) {
    frame(Self.windowUpdate, stream: stream, payload: Self.bytes(count))
  }

  /// The next frame; nil at the end of the connection or after five seconds.
  func next() -> Frame? {
    var part = [UInt8](repeating: 0, count: 65536)
    while true {
      if waiting.count >= 9 {
        let size = Int(waiting[0]) << 16 | Int(waiting[1]) << 8 | Int(waiting[2])
        if waiting.count >= 9 + size {
          var frame = Frame(
            type: waiting[3], flags: waiting[4],
            stream: waiting[5..<9].reduce(0) { $0 << 8 | UInt32($1) }, payload: Array(waiting[9..<(9 + size)])
          )
          waiting.removeFirst(9 + size)
          if frame.type == Self.headers { frame.headers = inflate(frame.payload) }
          if frame.type == Self.settings, frame.flags & 1 == 0 { self.frame(Self.settings, flags: 1) }
          return frame
        }
      }
      let received = part.withUnsafeMutableBytes { roost_recv(descriptor, $0.baseAddress, $0.count) }
      guard received > 0 else {
        isClosed = received == 0
        return nil
      }
      waiting += part[0..<received]
    }
  }

  /// Reads on until a frame that is meant.
  func next(where isMeant: (Frame) -> Bool) -> Frame? {
    while let frame = next() { if isMeant(frame) { return frame } }
    return nil
  }

  /// As above; nil when none comes while nothing else does either for this long.
  func next(within limit: Duration, where isMeant: (Frame) -> Bool) -> Frame? {
    _ = roost_set_timeout(descriptor, limit.components.seconds * 1000)
    defer { _ = roost_set_timeout(descriptor, Self.patience) }
    return next(where: isMeant)
  }

  /// Everything of one stream up to its end or reset.
  func answer(_ stream: UInt32) -> (
    status: String?, body: [UInt8], trailers: [(name: String, value: String)], reset: UInt32?
  ) {
    var status: String?
    var body: [UInt8] = []
    while let frame = next(where: { $0.stream == stream && $0.type != Self.windowUpdate }) {
      switch frame.type {
      case Self.headers where status == nil: status = frame.header(":status")
      case Self.headers: return (status, body, frame.headers, nil)
      case Self.data: body += frame.payload
      case Self.reset: return (status, body, [], frame.code)
      default: break
      }
      if frame.endsStream { return (status, body, [], nil) }
    }
    return (status, body, [], .max)
  }

  private func inflate(_ block: [UInt8]) -> [(name: String, value: String)] {
    var found: [(name: String, value: String)] = []
    block.withUnsafeBufferPointer { bytes in
      guard let base = bytes.baseAddress else { return }
      var at = 0
      while true {
        var field = nghttp2_nv()
        var flags: Int32 = 0
        let used = nghttp2_hd_inflate_hd2(inflater, &field, &flags, base + at, bytes.count - at, 1)
        guard used >= 0 else { return }
        at += used
        if UInt32(flags) & NGHTTP2_HD_INFLATE_EMIT.rawValue != 0 {
          found.append(
            (
              String(decoding: UnsafeBufferPointer(start: field.name, count: field.namelen), as: UTF8.self),
              String(decoding: UnsafeBufferPointer(start: field.value, count: field.valuelen), as: UTF8.self)
            ))
        }
        if UInt32(flags) & NGHTTP2_HD_INFLATE_FINAL.rawValue != 0 {
          nghttp2_hd_inflate_end_headers(inflater)
          return
        }
      }
    }
    return found
  }
}
