internal import Synchronization

/// A number that only grows.
public final class Counter: Sendable {
  private let value = Atomic<Int>(0)

  public init() {}

  public func add(_ amount: Int = 1) { value.wrappingAdd(amount, ordering: .relaxed) }
  public var current: Int { value.load(ordering: .relaxed) }
}

/// A number that goes up and down.
public final class Gauge: Sendable {
  private let value = Atomic<Int>(0)

  public init() {}

  public func add(_ amount: Int) { value.wrappingAdd(amount, ordering: .relaxed) }
  public func set(_ amount: Int) { value.store(amount, ordering: .relaxed) }
  public var current: Int { value.load(ordering: .relaxed) }
}

/// Durations in buckets from 100 us to 60 s.
public final class Histogram: Sendable {
  /// Upper ends of the buckets in microseconds; the last bucket has none.
  public static let bounds: [Int] = [
    100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000, 60_000_000,
  ]

  private let buckets: InlineArray<19, Atomic<Int>> = .init { _ in Atomic<Int>(0) }
  private let sum = Atomic<Int>(0)

  public init() {}

  public func observe(microseconds: Int) {
    var index = 0
    while index < 18, microseconds > Self.bounds[index] { index += 1 }
    buckets[index].wrappingAdd(1, ordering: .relaxed)
    sum.wrappingAdd(microseconds, ordering: .relaxed)
  }

  /// Counts of the buckets (not cumulative) and the sum in microseconds.
  public var current: (counts: [Int], sumMicroseconds: Int) {
    ((0..<19).map { buckets[$0].load(ordering: .relaxed) }, sum.load(ordering: .relaxed))
  }
}

/// Builds the Prometheus text format, one family after the other.
public struct PrometheusText: Sendable {
  public enum Kind: String, Sendable { case counter, gauge, histogram }

  public private(set) var bytes: [UInt8] = []

  public init() {}

  /// Begins a family: its `# HELP` and `# TYPE` lines. All its samples follow.
  public mutating func family(_ name: String, _ kind: Kind, _ help: String) {
    line("# HELP \(name) \(help)")
    line("# TYPE \(name) \(kind.rawValue)")
  }

  public mutating func sample(_ name: String, _ labels: [(String, String)] = [], _ value: Int) {
    line("\(name)\(Self.text(labels)) \(value)")
  }

  public mutating func sample(_ name: String, _ labels: [(String, String)] = [], _ value: Double) {
    line("\(name)\(Self.text(labels)) \(value)")
  }

  /// The unit in which a histogram is shown; its raw value is its length in microseconds.
  public enum Unit: Double, Sendable {
    case seconds = 1e6
    case milliseconds = 1e3
  }

  /// The samples of one histogram.
  public mutating func histogram(
    _ name: String, _ labels: [(String, String)] = [], _ histogram: Histogram, unit: Unit = .seconds
  ) {
    self.histogram(name, labels, sumOf: [histogram], unit: unit)
  }

  /// The samples of several histograms as one.
  public mutating func histogram(
    _ name: String, _ labels: [(String, String)] = [], sumOf parts: [Histogram], unit: Unit = .seconds
  ) {
    var counts = [Int](repeating: 0, count: Histogram.bounds.count + 1)
    var sum = 0
    for part in parts.map(\.current) {
      for (index, count) in part.counts.enumerated() { counts[index] += count }
      sum += part.sumMicroseconds
    }
    var total = 0
    for (index, count) in counts.enumerated() {
      total += count
      let bound =
        index < Histogram.bounds.count ? "\(Double(Histogram.bounds[index]) / unit.rawValue)" : "+Inf"
      sample(name + "_bucket", labels + [("le", bound)], total)
    }
    sample(name + "_sum", labels, Double(sum) / unit.rawValue)
    sample(name + "_count", labels, total)
  }

  private mutating func line(_ text: String) {
    bytes.append(contentsOf: text.utf8)
    bytes.append(0x0a)
  }

  private static func text(_ labels: [(String, String)]) -> String {
    guard !labels.isEmpty else { return "" }
    func escaped(_ text: String) -> String {
      var out = ""
      for character in text.unicodeScalars {
        switch character {
        case "\\": out += "\\\\"
        case "\"": out += "\\\""
        case "\n": out += "\\n"
        default: out.unicodeScalars.append(character)
        }
      }
      return out
    }
    return "{" + labels.map { "\($0.0)=\"\(escaped($0.1))\"" }.joined(separator: ",") + "}"
  }
}

/// All that `/metrics` shows. Every part adds a collector that writes its families when asked.
public final class MetricsRegistry: Sendable {
  public typealias Collector = @Sendable (inout PrometheusText) -> Void

  private let collectors = Mutex<[Collector]>([])

  public init() {}

  /// Adds a part's families; collectors run in the order in which they were added.
  public func add(_ collector: @escaping Collector) { collectors.withLock { $0.append(collector) } }

  /// Makes a counter and shows it.
  public func counter(_ name: String, _ help: String, labels: [(String, String)] = []) -> Counter {
    let counter = Counter()
    add { text in
      text.family(name, .counter, help)
      text.sample(name, labels, counter.current)
    }
    return counter
  }

  /// Makes a gauge and shows it.
  public func gauge(_ name: String, _ help: String, labels: [(String, String)] = []) -> Gauge {
    let gauge = Gauge()
    add { text in
      text.family(name, .gauge, help)
      text.sample(name, labels, gauge.current)
    }
    return gauge
  }

  /// Makes a histogram of seconds and shows it.
  public func histogram(_ name: String, _ help: String, labels: [(String, String)] = []) -> Histogram {
    let histogram = Histogram()
    add { text in
      text.family(name, .histogram, help)
      text.histogram(name, labels, histogram)
    }
    return histogram
  }

  /// The answer of `/metrics`, content type `text/plain; version=0.0.4`.
  public func text() -> [UInt8] {
    let all = collectors.withLock { $0 }
    var text = PrometheusText()
    for collector in all { collector(&text) }
    return text.bytes
  }
}
