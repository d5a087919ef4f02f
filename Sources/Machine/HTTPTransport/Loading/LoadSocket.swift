internal import Wire

/// The client's side of a WebSocket (RFC 6455): reads frames, and makes those that it sends.
struct LoadSocket {
  enum Frame: Equatable {
    /// A text or bytes, or a part of one.
    case message
    case ping([UInt8])
    case pong
    /// The status that it gives; nil: none.
    case close(Int?)
    /// Not what a server may send: the connection is of no use any more.
    case malformed
  }

  enum State {
    /// The server has not accepted yet.
    case opening
    case open
    /// A close frame was sent; what the socket counts as is in `outcome`.
    case closing
  }

  let key = Self.random(16)
  var state = State.opening
  /// Why it counts as lost; of one that closes.
  var outcome: String?

  private var header: [UInt8] = []
  private var payload: [UInt8] = []
  private var remaining = 0
  private var opcode: UInt8?

  /// The lines of the request that ask for it.
  var lines: String {
    "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: \(Base64.encoded(key))\r\n"
  }

  /// Whether this value of `sec-websocket-accept` is the answer to the key.
  func isAnswer(_ value: some Collection<UInt8>) -> Bool {
    WebSocketKey.answer(Base64.encoded(key).utf8).elementsEqual(value)
  }

  // MARK: What is sent

  static func text(_ text: String) -> [UInt8] { frame(1, Array(text.utf8)) }
  static let ping = frame(9, [])
  static func pong(_ payload: [UInt8]) -> [UInt8] { frame(10, payload) }
  static func close(_ status: Int) -> [UInt8] { frame(8, [UInt8(status >> 8 & 255), UInt8(status & 255)]) }

  /// At most 125 bytes; masked, as all that clients send.
  private static func frame(_ opcode: UInt8, _ payload: [UInt8]) -> [UInt8] {
    let mask = random(4)
    return [0x80 | opcode, 0x80 | UInt8(payload.count)] + mask
      + payload.enumerated().map { $0.element ^ mask[$0.offset & 3] }
  }

  private static func random(_ count: Int) -> [UInt8] { (0..<count).map { _ in .random(in: 0...255) } }

  // MARK: What comes

  /// The frames that end within these bytes; what comes after a `close` or `malformed` means nothing.
  mutating func read(_ bytes: UnsafeBufferPointer<UInt8>) -> [Frame] {
    var frames: [Frame] = []
    var at = 0
    while at < bytes.count || opcode != nil && remaining == 0 {
      guard let code = opcode else {
        header.append(bytes[at])
        at += 1
        guard begin() else { return frames + [.malformed] }
        continue
      }
      let part = min(remaining, bytes.count - at)
      if code >= 8 { payload += bytes[at..<(at + part)] }
      at += part
      remaining -= part
      guard remaining == 0 else { continue }
      opcode = nil
      switch code {
      case 8: frames.append(.close(payload.count < 2 ? nil : Int(payload[0]) << 8 | Int(payload[1])))
      case 9: frames.append(.ping(payload))
      case 10: frames.append(.pong)
      default: frames.append(.message)
      }
      payload = []
    }
    return frames
  }

  /// Whether the header, as far as it is there, is one; when it is complete the payload follows.
  private mutating func begin() -> Bool {
    guard header.count >= 2 else { return true }
    let code = header[0] & 15
    // Servers don't mask, no extension was asked for, and frames that control are short and whole.
    guard header[1] & 0x80 == 0, header[0] & 0x70 == 0, [0, 1, 2, 8, 9, 10].contains(code),
      code < 8 || header[0] & 0x80 != 0 && header[1] <= 125
    else { return false }
    let more = header[1] == 126 ? 2 : header[1] == 127 ? 8 : 0
    guard header.count == 2 + more else { return true }
    guard more < 8 || header[2] & 0x80 == 0 else { return false }
    remaining = more == 0 ? Int(header[1]) : header[2...].reduce(0) { $0 << 8 | Int($1) }
    opcode = code
    header = []
    return true
  }
}
