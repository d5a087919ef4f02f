/// Kinds of frames between the service and a worker (`docs/formats/worker-protocol.md`).
public enum FrameKind: UInt8, Sendable {
  case begin = 1
  case execute = 2
  case cancel = 3
  case ping = 4
  /// `execute` with inputs that `JSONSlicer` called plain.
  case executePlain = 5
  case ready = 129
  case failed = 130
  case output = 131
  case error = 132
  case pong = 133
}

/// The head of a frame. The payload follows it in the bytes that it was read from.
public struct FrameHead: Sendable, Equatable {
  /// Length, kind and tag: what stands before every payload.
  public static let size = 13

  public var kind: UInt8
  public var tag: UInt64
  public var payloadCount: Int

  public init(kind: UInt8, tag: UInt64, payloadCount: Int) {
    self.kind = kind
    self.tag = tag
    self.payloadCount = payloadCount
  }

  /// Bytes of the whole frame.
  public var frameCount: Int { Self.size + payloadCount }

  /// What can be wrong with a frame: the peer is not a worker or has lost its place.
  public enum Fault: Error, Equatable, Sendable {
    case tooShort
    case tooLong(Int)
  }

  /// Reads a head; nil when fewer than `size` bytes are there.
  ///
  /// The length is checked as soon as its four bytes are: a broken peer must not make us wait for gigabytes.
  public static func read(
    _ base: UnsafePointer<UInt8>, _ count: Int, maximumPayload: Int
  ) throws(Fault) -> FrameHead? {
    guard count >= 4 else { return nil }
    let length = Int(word(base))
    guard length >= 9 else { throw .tooShort }
    guard length - 9 <= maximumPayload else { throw .tooLong(length - 9) }
    guard count >= Self.size else { return nil }
    let tag = UInt64(word(base + 5)) | UInt64(word(base + 9)) << 32
    return FrameHead(kind: base[4], tag: tag, payloadCount: length - 9)
  }

  /// Writes the head to `size` bytes.
  public func write(_ base: UnsafeMutablePointer<UInt8>) {
    Self.put(base, UInt32(truncatingIfNeeded: payloadCount + 9))
    base[4] = kind
    Self.put(base + 5, UInt32(truncatingIfNeeded: tag))
    Self.put(base + 9, UInt32(truncatingIfNeeded: tag >> 32))
  }

  /// Four bytes, little endian.
  public static func word(_ base: UnsafePointer<UInt8>) -> UInt32 {
    UInt32(base[0]) | UInt32(base[1]) << 8 | UInt32(base[2]) << 16 | UInt32(base[3]) << 24
  }

  /// Writes four bytes, little endian.
  public static func put(_ base: UnsafeMutablePointer<UInt8>, _ value: UInt32) {
    base[0] = UInt8(truncatingIfNeeded: value)
    base[1] = UInt8(truncatingIfNeeded: value >> 8)
    base[2] = UInt8(truncatingIfNeeded: value >> 16)
    base[3] = UInt8(truncatingIfNeeded: value >> 24)
  }
}

/// A whole frame in memory: for tests, probes and drivers. The gateway's loops work on `FrameHead` alone.
public struct Frame: Sendable, Equatable {
  public var kind: UInt8
  public var tag: UInt64
  public var payload: [UInt8]

  public init(kind: UInt8, tag: UInt64, payload: [UInt8]) {
    self.kind = kind
    self.tag = tag
    self.payload = payload
  }

  public init(_ kind: FrameKind, tag: UInt64 = 0, payload: [UInt8] = []) {
    self.init(kind: kind.rawValue, tag: tag, payload: payload)
  }

  public var bytes: [UInt8] {
    var out = [UInt8](repeating: 0, count: FrameHead.size)
    out.withUnsafeMutableBufferPointer { buffer in
      if let base = buffer.baseAddress {
        FrameHead(kind: kind, tag: tag, payloadCount: payload.count).write(base)
      }
    }
    return out + payload
  }

  /// Takes the first whole frame off the front of `bytes`; nil when it is not all there.
  public static func take(
    from bytes: inout [UInt8], maximumPayload: Int = 64 << 20
  ) throws(FrameHead.Fault) -> Frame? {
    var result: Result<FrameHead?, FrameHead.Fault> = .success(nil)
    bytes.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      do throws(FrameHead.Fault) {
        result = .success(try FrameHead.read(base, buffer.count, maximumPayload: maximumPayload))
      } catch { result = .failure(error) }
    }
    guard let head = try result.get(), bytes.count >= head.frameCount else { return nil }
    let payload = Array(bytes[FrameHead.size..<head.frameCount])
    bytes.removeFirst(head.frameCount)
    return Frame(kind: head.kind, tag: head.tag, payload: payload)
  }
}

/// The payload of an `execute` frame before its inputs: timeout and request id.
public enum ExecutePayload {
  /// A whole payload, for tests and probes.
  public static func bytes(timeoutMilliseconds: UInt32, requestID: String, input: [UInt8]) -> [UInt8] {
    let id = Array(requestID.utf8.prefix(255))
    var out = [UInt8](repeating: 0, count: 4)
    out.withUnsafeMutableBufferPointer { buffer in
      if let base = buffer.baseAddress { FrameHead.put(base, timeoutMilliseconds) }
    }
    out.append(UInt8(id.count))
    return out + id + input
  }
}
