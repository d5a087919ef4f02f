/// What can be wrong with the messages of a gRPC call. Each says which status to answer with.
public enum GRPCFault: Error, Sendable, Equatable, CustomStringConvertible {
  /// The flag byte is neither 0 nor 1.
  case badFlag(UInt8)
  /// A compressed message where no encoding was agreed on.
  case compressed
  /// The header `grpc-encoding` names one that is not understood.
  case encoding(String)
  /// What is said to be compressed is not, or not as agreed.
  case badCompression
  case tooLong(count: Int, limit: Int)
  /// The call ended inside a message.
  case truncated
  /// A unary call without a message, or with more than one.
  case notOne(Int)

  public var code: GRPCCode {
    switch self {
    case .badFlag, .truncated, .badCompression: .internal
    case .compressed, .encoding, .notOne: .unimplemented
    case .tooLong: .resourceExhausted
    }
  }

  public var description: String {
    switch self {
    case .badFlag(let flag): "a message begins with the byte \(flag); it must be 0, or 1 for a compressed one"
    case .compressed:
      "the message is compressed, but the header grpc-encoding does not say how; send it with gzip"
    case .encoding(let name): "grpc-encoding: '\(name)' is not understood; use \(GRPCEncoding.accepted)"
    case .badCompression: "the compressed message is not one member of gzip"
    case .tooLong(let count, let limit): "the message has \(count) bytes, the limit is \(limit)"
    case .truncated: "the call ended inside a message"
    case .notOne(0): "the call ended without a message; send one"
    case .notOne(let count): "the call has \(count) messages; send one"
    }
  }
}

/// The five bytes before each message of a call: whether it is compressed, and its length.
public struct GRPCFrameHead: Sendable, Equatable {
  public static let size = 5

  public var isCompressed: Bool
  public var count: Int

  public init(isCompressed: Bool = false, count: Int) {
    self.isCompressed = isCompressed
    self.count = count
  }

  /// Reads a head; nil when fewer than five bytes are there.
  public static func read(_ base: UnsafePointer<UInt8>, _ available: Int) throws(GRPCFault) -> GRPCFrameHead?
  {
    guard available >= 1 else { return nil }
    guard base[0] <= 1 else { throw .badFlag(base[0]) }
    guard available >= size else { return nil }
    let count = UInt32(base[1]) << 24 | UInt32(base[2]) << 16 | UInt32(base[3]) << 8 | UInt32(base[4])
    return GRPCFrameHead(isCompressed: base[0] == 1, count: Int(count))
  }

  public var bytes: [UInt8] {
    let length = UInt32(truncatingIfNeeded: count)
    return [
      isCompressed ? 1 : 0, UInt8(length >> 24), UInt8(length >> 16 & 255), UInt8(length >> 8 & 255),
      UInt8(length & 255),
    ]
  }

  /// A message with its head.
  public static func framed(_ message: [UInt8]) -> [UInt8] {
    GRPCFrameHead(count: message.count).bytes + message
  }
}

/// Takes messages out of the body of a call as its bytes come, in pieces of any size.
///
/// Compressed messages come unpacked.
public struct GRPCMessageDecoder: Sendable {
  private let limit: Int
  private let encoding: GRPCEncoding
  private var buffer: [UInt8] = []
  /// Bytes of `buffer` that were taken already.
  private var start = 0

  /// `limit`: most bytes of one message, before and after unpacking.
  public init(limit: Int, encoding: GRPCEncoding = .identity) {
    self.limit = limit
    self.encoding = encoding
  }

  /// Adds bytes of the body.
  public mutating func feed(_ bytes: some Collection<UInt8>) {
    if start > 0, start == buffer.count || start > 65536 {
      buffer.removeFirst(start)
      start = 0
    }
    buffer.append(contentsOf: bytes)
  }

  /// The next whole message; nil until more bytes are fed. A length beyond the limit is refused before its bytes come.
  public mutating func next() throws(GRPCFault) -> [UInt8]? {
    let from = start
    let head = try buffer.withUnsafeBufferPointer { (bytes) throws(GRPCFault) -> GRPCFrameHead? in
      guard let base = bytes.baseAddress else { return nil }
      return try GRPCFrameHead.read(base + from, bytes.count - from)
    }
    guard let head else { return nil }
    guard !head.isCompressed || encoding != .identity else { throw .compressed }
    guard head.count <= limit else { throw .tooLong(count: head.count, limit: limit) }
    let end = start + GRPCFrameHead.size + head.count
    guard buffer.count >= end else { return nil }
    let range = (start + GRPCFrameHead.size)..<end
    start = end
    guard head.isCompressed else { return Array(buffer[range]) }
    return try buffer.withUnsafeBufferPointer { (bytes) throws(GRPCFault) -> [UInt8] in
      guard let base = bytes.baseAddress else { return [] }
      return try encoding.unpacked(base + range.lowerBound, range.count, limit: limit)
    }
  }

  /// To be called when the body has ended; throws when it ended inside a message.
  public func finish() throws(GRPCFault) { guard start == buffer.count else { throw .truncated } }

  /// The one message of a whole unary body.
  public static func unary(_ body: some Collection<UInt8>, limit: Int) throws(GRPCFault) -> [UInt8] {
    var decoder = GRPCMessageDecoder(limit: limit)
    decoder.feed(body)
    var messages: [[UInt8]] = []
    while let message = try decoder.next() { messages.append(message) }
    try decoder.finish()
    guard messages.count == 1 else { throw .notOne(messages.count) }
    return messages[0]
  }
}
