internal import CZlib

/// How the compressed messages of a call are packed: its header `grpc-encoding`.
public enum GRPCEncoding: Sendable, Equatable {
  case identity, gzip

  /// What is understood, for the header `grpc-accept-encoding`.
  public static let accepted = "identity,gzip"

  /// By the header's value; nil for one that is not understood.
  public init?(_ value: UnsafeBufferPointer<UInt8>) {
    func isText(_ text: StaticString) -> Bool {
      guard value.count == text.utf8CodeUnitCount else { return false }
      for index in 0..<value.count where value[index] != text.utf8Start[index] { return false }
      return true
    }
    if isText("gzip") {
      self = .gzip
    } else if isText("identity") {
      self = .identity
    } else {
      return nil
    }
  }

  /// Unpacks a compressed message. It states its own length at its end, so that one that is too long costs nothing.
  func unpacked(_ base: UnsafePointer<UInt8>, _ count: Int, limit: Int) throws(GRPCFault) -> [UInt8] {
    guard self == .gzip else { throw .compressed }
    // 10 bytes of head, 2 of an empty block, 8 of checksum and length (RFC 1952).
    guard count >= 20 else { throw .badCompression }
    let end = base + count - 4
    let size = Int(end[0]) | Int(end[1]) << 8 | Int(end[2]) << 16 | Int(end[3]) << 24
    guard size <= limit else { throw .tooLong(count: size, limit: limit) }
    var whole = false
    let message = [UInt8](unsafeUninitializedCapacity: max(size, 1)) { buffer, filled in
      if let out = buffer.baseAddress { whole = roost_gunzip(base, count, out, size) == 1 }
      filled = whole ? size : 0
    }
    guard whole else { throw .badCompression }
    return message
  }

  /// The body of a call with its compressed messages unpacked. `limit`: most bytes of all messages together.
  public func unpackedBody(
    _ base: UnsafePointer<UInt8>, _ count: Int, limit: Int
  ) throws(GRPCFault) -> [UInt8] {
    var body: [UInt8] = []
    var at = 0
    while let head = try GRPCFrameHead.read(base + at, count - at) {
      let start = at + GRPCFrameHead.size
      guard count - start >= head.count else { throw .truncated }
      if head.isCompressed {
        let left = max(limit - body.count, 0)
        body += GRPCFrameHead.framed(try unpacked(base + start, head.count, limit: left))
      } else {
        body += UnsafeBufferPointer(start: base + at, count: GRPCFrameHead.size + head.count)
      }
      at = start + head.count
    }
    guard at == count else { throw .truncated }
    return body
  }
}
