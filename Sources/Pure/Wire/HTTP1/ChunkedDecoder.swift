internal import CLinux

/// Takes a chunked body apart, strictly and at any cut of the input. Holds no bytes.
///
/// Who wants the trailers looks at `trailers` after each event and puts the parts together.
public struct ChunkedDecoder: Sendable {
  public enum Event: Equatable, Sendable {
    /// Bytes of the body lie in this range of the input.
    case data(Range<Int>)
    /// All input is used up; the body goes on.
    case needMore
    /// The body and its trailers have ended; `at` stands behind them.
    case end
  }

  private enum State: UInt8 {
    case size, sizeDigits, extensions, sizeLineFeed, data, dataReturn, dataLineFeed
    case lineStart, trailerName, trailerValue, trailerLineFeed, endLineFeed, done
  }

  private static let maximumSize = 1 << 46

  private var state = State.size
  private var remaining = 0
  private var extra = 0
  /// Bytes of extensions that the body has not yet paid for: many small chunks with long ones are an attack.
  private var debt = 0
  /// Where bytes of trailer lines (CR LF included) lie that the last `next` used up; empty when it met none.
  public private(set) var trailers = 0..<0

  public init() {}

  /// Goes on from `at` to the next event.
  public mutating func next(
    _ base: UnsafePointer<UInt8>, _ count: Int, at: inout Int
  ) throws(HTTP1Fault) -> Event {
    trailers = at..<at
    while at < count, state != .done {
      if state == .data {
        let length = min(remaining, count - at)
        let range = at..<(at + length)
        at += length
        remaining -= length
        if remaining == 0 { state = .dataReturn }
        return .data(range)
      }
      let byte = base[at]
      at += 1
      let before = state
      try take(byte)
      switch before {
      case .trailerName, .trailerValue, .trailerLineFeed: trailers = trailers.lowerBound..<at
      case .lineStart where state == .trailerName:
        trailers = (trailers.isEmpty ? at - 1 : trailers.lowerBound)..<at
      default: if trailers.isEmpty { trailers = at..<at }
      }
    }
    return state == .done ? .end : .needMore
  }

  private mutating func take(_ byte: UInt8) throws(HTTP1Fault) {
    switch state {
    case .size:
      remaining = try Self.digit(byte)
      extra = 0
      state = .sizeDigits
    case .sizeDigits: try takeSize(byte)
    case .extensions:
      if byte == 0x0d {
        state = .sizeLineFeed
      } else {
        extra += 1
        debt += 1
        guard extra <= 256, debt <= 16384, byte == 0x09 || (0x20...0x7e).contains(byte) else {
          throw .chunkExtension
        }
      }
    case .sizeLineFeed:
      guard byte == 0x0a else { throw .chunkSize }
      debt = max(0, debt - 16 - remaining)
      extra = 0
      state = remaining == 0 ? .lineStart : .data
    case .dataReturn:
      guard byte == 0x0d else { throw .chunkEnd }
      state = .dataLineFeed
    case .dataLineFeed:
      guard byte == 0x0a else { throw .chunkEnd }
      state = .size
    case .lineStart, .trailerName, .trailerValue, .trailerLineFeed: try takeTrailer(byte)
    case .endLineFeed:
      guard byte == 0x0a else { throw .trailer }
      state = .done
    case .data, .done: break
    }
  }

  private mutating func takeSize(_ byte: UInt8) throws(HTTP1Fault) {
    switch byte {
    case 0x0d: state = .sizeLineFeed
    case 0x3b:
      extra = 0
      state = .extensions
    default:
      extra += 1
      remaining = remaining << 4 | (try Self.digit(byte))
      guard extra < 16, remaining < Self.maximumSize else { throw .chunkSize }
    }
  }

  private mutating func takeTrailer(_ byte: UInt8) throws(HTTP1Fault) {
    extra += 1
    guard extra <= 8192 else { throw .trailer }
    switch state {
    case .lineStart where byte == 0x0d: state = .endLineFeed
    case .lineStart:
      guard scan_is_token(byte) != 0 else { throw .trailer }
      state = .trailerName
    case .trailerName where byte == 0x3a: state = .trailerValue
    case .trailerName: guard scan_is_token(byte) != 0 else { throw .trailer }
    case .trailerValue where byte == 0x0d: state = .trailerLineFeed
    case .trailerValue: guard byte == 0x09 || (byte >= 0x20 && byte != 0x7f) else { throw .trailer }
    default:
      guard byte == 0x0a else { throw .trailer }
      state = .lineStart
    }
  }

  private static func digit(_ byte: UInt8) throws(HTTP1Fault) -> Int {
    switch byte {
    case 0x30...0x39: Int(byte) - 0x30
    case 0x41...0x46: Int(byte) - 0x41 + 10
    case 0x61...0x66: Int(byte) - 0x61 + 10
    default: throw .chunkSize
    }
  }
}
