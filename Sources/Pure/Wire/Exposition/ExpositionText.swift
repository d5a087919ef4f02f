/// The text in which programs expose their metrics.
///
/// Read are the Prometheus text format 0.0.4 and OpenMetrics 1.0, which is turned into the former: counters are called by
/// their `_total`, information and state sets become gauges, what 0.0.4 can't say (`_created`, exemplars, units) is left out.
public enum ExpositionText {
  /// What is refused beyond, so that one source can't fill the memory.
  public struct Limits: Sendable, Equatable {
    public var samples: Int
    public var labels: Int

    public init(samples: Int = 20_000, labels: Int = 64) {
      self.samples = samples
      self.labels = labels
    }
  }

  /// What was read.
  public struct Reading: Sendable, Equatable {
    /// In the order of their first line; none without samples.
    public var families: [MetricFamily]
    public var sampleCount: Int
    /// Samples that were there already with the same labels: the first one counts.
    public var repeated: Int
  }

  /// Reads a whole text. OpenMetrics is known by its content type or its `# EOF`.
  public static func read(
    _ bytes: [UInt8], isOpenMetrics: Bool = false, limits: Limits = Limits()
  ) throws(ExpositionFault) -> Reading {
    var reader = ExpositionReader(
      bytes, isOpenMetrics: isOpenMetrics || endsWithMark(bytes), limits: limits)
    return try reader.read()
  }

  private static func endsWithMark(_ bytes: [UInt8]) -> Bool {
    let end = bytes.last == 0x0a ? bytes.dropLast() : bytes[...]
    return end.suffix(5).elementsEqual("# EOF".utf8) && (end.count == 5 || end.dropLast(5).last == 0x0a)
  }

  static func escape(_ text: String, quotes: Bool, to bytes: inout [UInt8]) {
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\\"): bytes += [0x5c, 0x5c]
      case 0x0a: bytes += [0x5c, UInt8(ascii: "n")]
      case UInt8(ascii: "\"") where quotes: bytes += [0x5c, byte]
      default: bytes.append(byte)
      }
    }
  }

  static func text(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
    if value == value.rounded(), abs(value) < 1e15 { return "\(Int64(value))" }
    return "\(value)"
  }
}

/// What is wrong with a text, and where.
public struct ExpositionFault: Error, Sendable, Equatable, CustomStringConvertible {
  /// From 1.
  public var line: Int
  public var reason: String

  public init(line: Int, _ reason: String) {
    self.line = line
    self.reason = reason
  }

  public var description: String { "line \(line): \(reason)" }
}
