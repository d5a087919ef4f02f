import Sandboxing
import Synchronization

/// A connection to the socket of an instance: frames (`docs/formats/worker-protocol.md`). Used by one thread
/// at a time.
final class FrameSocket: Sendable {
  enum Kind: UInt8 {
    case begin = 1
    case ping = 4
    case ready = 129
    case failed = 130
    case pong = 133
  }
  struct Frame {
    var kind: UInt8
    var tag: UInt64
    var payload: [UInt8]
  }

  let connection: UnixConnection
  private let buffered = Mutex<[UInt8]>([])

  init(path: String) throws(UnixConnection.Failure) { connection = try UnixConnection(path: path) }

  func send(_ kind: Kind, tag: UInt64, payload: [UInt8] = [], deadline: Deadline) throws(UnixConnection
    .Failure)
  {
    var bytes: [UInt8] = []
    withUnsafeBytes(of: UInt32(9 + payload.count).littleEndian) { bytes += $0 }
    bytes.append(kind.rawValue)
    withUnsafeBytes(of: tag.littleEndian) { bytes += $0 }
    try connection.send(bytes + payload, deadline: deadline)
  }

  func receive(deadline: Deadline, watching process: ProcessHandle? = nil) throws(UnixConnection.Failure)
    -> Frame
  {
    while true {
      if let frame = buffered.withLock({ Self.takeFrame(&$0) }) { return frame }
      let bytes = try connection.receive(deadline: deadline, watching: process)
      buffered.withLock { $0 += bytes }
    }
  }

  private static func takeFrame(_ bytes: inout [UInt8]) -> Frame? {
    guard bytes.count >= 4 else { return nil }
    let length = Int(number(bytes[0..<4]))
    guard length >= 9, bytes.count >= 4 + length else { return nil }
    defer { bytes.removeSubrange(..<(4 + length)) }
    return Frame(kind: bytes[4], tag: number(bytes[5..<13]), payload: Array(bytes[13..<(4 + length)]))
  }

  private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 {
    bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }
}
