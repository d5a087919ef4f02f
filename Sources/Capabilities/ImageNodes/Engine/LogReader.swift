/// A line that a container wrote.
public struct ContainerLine: Sendable, Equatable {
  /// When its beginning was written, as the engine noted: RFC 3339 with nanoseconds.
  public var time: String
  /// `stdout` or `stderr`.
  public var stream: String
  public var text: String
}

/// Reads the engine's log stream: frames of `{stream, 0, 0, 0, length (4 bytes, big endian)}` and a payload that begins
/// with a time. A frame is a piece of a line: long lines come in several.
struct LogReader: Sendable {
  private struct Pending: Sendable {
    var time = ""
    var bytes: [UInt8] = []
  }

  private var buffer: [UInt8] = []
  private var pending: [UInt8: Pending] = [:]
  /// A line that is longer is given in pieces.
  static let lineLimit = 64 << 10
  /// No engine sends frames that large.
  private static let frameLimit = 16 << 20

  /// False when the bytes are not such a stream.
  mutating func read(_ bytes: ArraySlice<UInt8>, _ onLine: (ContainerLine) -> Void) -> Bool {
    buffer.append(contentsOf: bytes)
    var at = 0
    while buffer.count - at >= 8 {
      let length =
        Int(buffer[at + 4]) << 24 | Int(buffer[at + 5]) << 16 | Int(buffer[at + 6]) << 8 | Int(buffer[at + 7])
      guard buffer[at] <= 2, buffer[at + 1] == 0, length <= Self.frameLimit else { return false }
      guard buffer.count - at - 8 >= length else { break }
      take(buffer[at], buffer[(at + 8)..<(at + 8 + length)], onLine)
      at += 8 + length
    }
    buffer.removeFirst(at)
    return true
  }

  /// The rest of a line that had no end.
  mutating func finish(_ onLine: (ContainerLine) -> Void) {
    for stream in pending.keys.sorted() { flush(stream, onLine) }
  }

  private mutating func take(_ stream: UInt8, _ frame: ArraySlice<UInt8>, _ onLine: (ContainerLine) -> Void) {
    var line = pending[stream] ?? Pending()
    var payload = frame
    if let space = frame.prefix(40).firstIndex(of: UInt8(ascii: " ")) {
      if line.bytes.isEmpty { line.time = String(decoding: frame[..<space], as: UTF8.self) }
      payload = frame[(space + 1)...]
    }
    var rest = payload
    while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
      line.bytes.append(contentsOf: rest[rest.startIndex..<end])
      pending[stream] = line
      flush(stream, onLine)
      line.bytes = []
      rest = rest[(end + 1)...]
    }
    line.bytes.append(contentsOf: rest)
    pending[stream] = line
    if line.bytes.count >= Self.lineLimit { flush(stream, onLine) }
  }

  private mutating func flush(_ stream: UInt8, _ onLine: (ContainerLine) -> Void) {
    guard var line = pending[stream] else { return }
    pending[stream] = nil
    if line.bytes.last == UInt8(ascii: "\r") { line.bytes.removeLast() }
    guard !line.bytes.isEmpty else { return }
    onLine(
      ContainerLine(
        time: line.time, stream: stream == 2 ? "stderr" : "stdout",
        text: String(decoding: line.bytes, as: UTF8.self)))
  }
}
