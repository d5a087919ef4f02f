internal import CZlib

/// How a body is packed: the header `content-encoding` (RFC 9110, 8.4.1).
public enum ContentEncoding: Sendable, Equatable {
  case gzip
  /// The format of zlib (RFC 1950).
  case deflate

  public enum Fault: Error, Equatable {
    /// The bytes are not of this format, or broken off.
    case malformed
    /// Unpacked there would be more bytes than the limit.
    case tooLong
  }

  /// By the header's value; nil for one that is not understood.
  public init?(_ value: String) {
    switch value.lowercased() {
    case "gzip", "x-gzip": self = .gzip
    case "deflate": self = .deflate
    default: return nil
    }
  }

  /// Unpacks a whole body of at most `limit` bytes.
  public func unpacked(_ base: UnsafePointer<UInt8>, _ count: Int, limit: Int) throws(Fault) -> [UInt8] {
    let window: Int32 = self == .gzip ? 16 + 15 : 15
    var size = min(limit, max(4096, count * 4))
    while true {
      var result = 0
      let body = [UInt8](unsafeUninitializedCapacity: max(size, 1)) { buffer, filled in
        if let out = buffer.baseAddress { result = roost_unpack(base, count, out, size, window) }
        filled = max(result, 0)
      }
      if result >= 0 { return body }
      guard result == -2 else { throw .malformed }
      guard size < limit else { throw .tooLong }
      size = min(limit, size * 4)
    }
  }
}
