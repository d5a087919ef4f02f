internal import Glibc

/// How much a line matters. `debug`: nothing to do. `info`: did work. `warning`: found something wrong. `error`: failed.
public enum LogLevel: Int, Sendable, Comparable, CaseIterable {
  case debug, info, warning, error

  public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

  /// The word of the log's `level` field.
  public var name: String {
    switch self {
    case .debug: "debug"
    case .info: "info"
    case .warning: "warning"
    case .error: "error"
    }
  }
}

/// A value of a line's metadata.
public enum LogValue: Sendable, ExpressibleByStringLiteral, ExpressibleByStringInterpolation,
  ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral
{
  case text(String)
  case integer(Int)
  case flag(Bool)

  public init(stringLiteral value: String) { self = .text(value) }
  public init(integerLiteral value: Int) { self = .integer(value) }
  public init(booleanLiteral value: Bool) { self = .flag(value) }
}

/// Writes JSON lines to standard error: `time`, `level`, `label`, `message`, then the metadata.
///
/// Messages are constant, so that they can be counted and searched; what varies goes into the metadata, with keys in
/// snake_case. One line is one `write`.
public struct Logger: Sendable {
  public var label: String
  /// Lines below are dropped.
  public var level: LogLevel
  /// Stands in every line.
  public var metadata: [String: LogValue]
  private let descriptor: Int32

  public init(
    label: String, level: LogLevel = .info, metadata: [String: LogValue] = [:], descriptor: Int32 = 2
  ) {
    self.label = label
    self.level = level
    self.metadata = metadata
    self.descriptor = descriptor
  }

  /// The same logger with one more fact in every line.
  public func with(_ key: String, _ value: LogValue) -> Logger {
    var copy = self
    copy.metadata[key] = value
    return copy
  }

  public func debug(_ message: StaticString, _ facts: KeyValuePairs<String, LogValue> = [:]) {
    log(.debug, message, facts)
  }
  public func info(_ message: StaticString, _ facts: KeyValuePairs<String, LogValue> = [:]) {
    log(.info, message, facts)
  }
  public func warning(_ message: StaticString, _ facts: KeyValuePairs<String, LogValue> = [:]) {
    log(.warning, message, facts)
  }
  public func error(_ message: StaticString, _ facts: KeyValuePairs<String, LogValue> = [:]) {
    log(.error, message, facts)
  }

  public func log(
    _ level: LogLevel, _ message: StaticString, _ facts: KeyValuePairs<String, LogValue> = [:]
  ) {
    guard level >= self.level else { return }
    var line: [UInt8] = []
    line.reserveCapacity(256)
    line.append(contentsOf: "{\"time\":\"".utf8)
    line.append(contentsOf: WallClock.text(microseconds: WallClock.microseconds()).utf8)
    line.append(contentsOf: "\",\"level\":\"\(level.name)\"".utf8)
    Self.member("label", .text(label), &line)
    Self.member("message", .text("\(message)"), &line)
    for (key, value) in metadata.sorted(by: { $0.key < $1.key }) { Self.member(key, value, &line) }
    for (key, value) in facts { Self.member(key, value, &line) }
    line.append(contentsOf: "}\n".utf8)
    line.withUnsafeBytes { raw in _ = Glibc.write(descriptor, raw.baseAddress, raw.count) }
  }

  private static func member(_ key: String, _ value: LogValue, _ line: inout [UInt8]) {
    line.append(0x2c)
    JSONText.quote(key, &line)
    line.append(0x3a)
    switch value {
    case .text(let text): JSONText.quote(text, &line)
    case .integer(let number): line.append(contentsOf: String(number).utf8)
    case .flag(let flag): line.append(contentsOf: (flag ? "true" : "false").utf8)
    }
  }
}

/// Quotes strings for JSON. Telemetry stands below `Wire` and so has its own few lines of it.
public enum JSONText {
  public static func quote(_ text: String, _ line: inout [UInt8]) {
    line.append(0x22)
    for byte in text.utf8 {
      switch byte {
      case 0x22, 0x5c:
        line.append(0x5c)
        line.append(byte)
      case 0x0a: line.append(contentsOf: "\\n".utf8)
      case 0x00...0x1f:
        let digits = Array("0123456789abcdef".utf8)
        line.append(contentsOf: "\\u00".utf8)
        line.append(digits[Int(byte >> 4)])
        line.append(digits[Int(byte & 15)])
      default: line.append(byte)
      }
    }
    line.append(0x22)
  }
}

/// The wall clock as text.
public enum WallClock {
  /// Microseconds since 1970.
  public static func microseconds() -> Int64 {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    return Int64(now.tv_sec) * 1_000_000 + Int64(now.tv_nsec) / 1000
  }

  /// RFC 3339 with microseconds, in UTC.
  public static func text(microseconds: Int64) -> String {
    var seconds = time_t(microseconds / 1_000_000)
    var parts = tm()
    gmtime_r(&seconds, &parts)
    func pad(_ value: Int, _ width: Int) -> String {
      let text = String(value)
      return String(repeating: "0", count: max(0, width - text.utf8.count)) + text
    }
    return
      "\(pad(Int(parts.tm_year) + 1900, 4))-\(pad(Int(parts.tm_mon) + 1, 2))-\(pad(Int(parts.tm_mday), 2))T"
      + "\(pad(Int(parts.tm_hour), 2)):\(pad(Int(parts.tm_min), 2)):\(pad(Int(parts.tm_sec), 2))."
      + "\(pad(Int(microseconds % 1_000_000), 6))Z"
  }

  /// The form of HTTP's `date` header.
  public static func httpDate(microseconds: Int64) -> String {
    var seconds = time_t(microseconds / 1_000_000)
    var parts = tm()
    gmtime_r(&seconds, &parts)
    let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    func two(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }
    return "\(days[Int(parts.tm_wday)]), \(two(parts.tm_mday)) \(months[Int(parts.tm_mon)]) "
      + "\(Int(parts.tm_year) + 1900) \(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec)) GMT"
  }
}
