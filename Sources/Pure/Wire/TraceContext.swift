/// The place of a request in a distributed trace: W3C Trace Context, level 1, header `traceparent`. Trivial: it is copied
/// with requests and records.
public struct TraceContext: Sendable, Hashable {
  /// Bytes of a header value of version 00.
  public static let byteCount = 55

  /// The 16 bytes of the trace's id, big endian.
  public var traceHigh: UInt64 = 0
  public var traceLow: UInt64 = 0
  /// The caller's span; 0: the trace begins here.
  public var parent: UInt64 = 0
  /// The span of this hop: what the next hop sees as its parent.
  public var span: UInt64 = 0
  /// Somebody records the trace (flag `sampled`).
  public var isSampled = false

  public init() {}

  /// Reads a header's value; nil when it must be ignored and a new trace begun (sections 2.2.4 and 3.2). `span` is left 0.
  public init?(_ base: UnsafePointer<UInt8>, _ count: Int) {
    guard count >= Self.byteCount, base[2] == 0x2d, base[35] == 0x2d, base[52] == 0x2d,
      let version = Self.hex(base, 2), version != 0xff, let high = Self.hex(base + 3, 16),
      let low = Self.hex(base + 19, 16), let parent = Self.hex(base + 36, 16),
      let flags = Self.hex(base + 53, 2), high | low != 0, parent != 0
    else { return nil }
    // A later version may add to the end; this one has none.
    guard count == Self.byteCount || (version != 0 && base[Self.byteCount] == 0x2d) else { return nil }
    traceHigh = high
    traceLow = low
    self.parent = parent
    isSampled = flags & 1 != 0
  }

  /// Writes the header's value for the next hop: `byteCount` bytes.
  public func write(_ target: UnsafeMutablePointer<UInt8>) {
    target[0] = 0x30
    target[1] = 0x30
    target[2] = 0x2d
    writeTrace(target + 3)
    target[35] = 0x2d
    Self.put(span, target + 36)
    target[52] = 0x2d
    target[53] = 0x30
    target[54] = isSampled ? 0x31 : 0x30
  }

  /// Writes the 32 hex digits of the trace's id.
  public func writeTrace(_ target: UnsafeMutablePointer<UInt8>) {
    Self.put(traceHigh, target)
    Self.put(traceLow, target + 16)
  }

  /// Whether the next hop is told: the caller asked for it, or we record it. A trace that nobody records begins where
  /// somebody wants to.
  public var isPassedOn: Bool { parent != 0 || isSampled }

  public var traceText: String { Self.text(traceHigh) + Self.text(traceLow) }
  public var spanText: String { Self.text(span) }
  /// Nil when the trace begins here.
  public var parentText: String? { parent == 0 ? nil : Self.text(parent) }

  private static func text(_ value: UInt64) -> String {
    String(unsafeUninitializedCapacity: 16) { buffer in
      if let base = buffer.baseAddress { put(value, base) }
      return 16
    }
  }

  private static func put(_ value: UInt64, _ target: UnsafeMutablePointer<UInt8>) {
    var rest = value
    var at = 15
    while at >= 0 {
      let digit = UInt8(truncatingIfNeeded: rest & 15)
      target[at] = digit < 10 ? 0x30 + digit : 0x57 + digit
      rest >>= 4
      at &-= 1
    }
  }

  /// Lower-case digits only, as the recommendation has it.
  private static func hex(_ base: UnsafePointer<UInt8>, _ count: Int) -> UInt64? {
    var value: UInt64 = 0
    for index in 0..<count {
      switch base[index] {
      case 0x30...0x39: value = value << 4 | UInt64(base[index] &- 0x30)
      case 0x61...0x66: value = value << 4 | UInt64(base[index] &- 0x57)
      default: return nil
      }
    }
    return value
  }
}
