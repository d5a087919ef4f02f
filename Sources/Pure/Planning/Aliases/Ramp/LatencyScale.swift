/// Times in buckets that are 4.4 % wide each: fine enough to see a slowdown of some percent.
///
/// Bucket `i` holds times up to `2^(i/16)` microseconds, the last one all that are longer (above 100 seconds).
public enum LatencyScale {
  public static let bucketCount = 428
  private static let perDoubling = 16

  /// Upper ends of the buckets in microseconds.
  public static let bounds: [Int] = {
    var found: [Int] = []
    // 2^(1/16), multiplied up: no mathematical functions are needed, and the error stays far below a bucket.
    let step = 1.044273782427413840321966478739929
    var bound = 1.0
    for index in 0..<bucketCount {
      if index % perDoubling == 0 { bound = Double(1 << (index / perDoubling)) }
      found.append(Int(bound.rounded(.up)))
      bound *= step
    }
    return found
  }()

  public static func bucket(microseconds: Int) -> Int {
    guard microseconds > 1 else { return 0 }
    // The highest bit finds the doubling, a short search the part of it.
    let doubling = Int.bitWidth - 1 - microseconds.leadingZeroBitCount
    var index = min(doubling * perDoubling, bucketCount - 1)
    while index < bucketCount - 1, bounds[index] < microseconds { index += 1 }
    return index
  }
}

/// How many requests took how long, by the buckets of `LatencyScale`.
public struct LatencyCounts: Sendable, Equatable, Codable {
  public var counts: [Int]

  /// Written as pairs of a bucket and its count, of those that have one.
  public init(from decoder: any Decoder) throws {
    var pairs = try decoder.unkeyedContainer()
    self.init()
    while !pairs.isAtEnd {
      let bucket = try pairs.decode(Int.self)
      let count = try pairs.decode(Int.self)
      guard counts.indices.contains(bucket) else { continue }
      counts[bucket] = count
    }
  }

  public func encode(to encoder: any Encoder) throws {
    var pairs = encoder.unkeyedContainer()
    for (bucket, count) in counts.enumerated() where count > 0 {
      try pairs.encode(bucket)
      try pairs.encode(count)
    }
  }

  public init(_ counts: [Int] = Array(repeating: 0, count: LatencyScale.bucketCount)) { self.counts = counts }

  public var total: Int { counts.reduce(0, +) }

  private static func lower(_ bucket: Int) -> Int { bucket == 0 ? 0 : LatencyScale.bounds[bucket - 1] }

  /// Microseconds within which `part` of all was done (0...1), as if a bucket's times were spread evenly; nil of nothing.
  public func quantile(_ part: Double) -> Int? {
    let all = total
    guard all > 0 else { return nil }
    let wanted = part * Double(all)
    var seen = 0.0
    for (index, count) in counts.enumerated() where count > 0 {
      if seen + Double(count) >= wanted {
        let width = Double(LatencyScale.bounds[index] - Self.lower(index))
        return Self.lower(index) + Int((width * (wanted - seen) / Double(count)).rounded())
      }
      seen += Double(count)
    }
    return LatencyScale.bounds.last
  }

  /// Those that took longer, as if a bucket's times were spread evenly.
  public func above(microseconds: Int) -> Int {
    let bucket = LatencyScale.bucket(microseconds: microseconds)
    let (low, high) = (Self.lower(bucket), LatencyScale.bounds[bucket])
    let part = high > low ? Double(max(high - microseconds, 0)) / Double(high - low) : 0
    return counts[(bucket + 1)...].reduce(0, +) + Int((Double(counts[bucket]) * part).rounded())
  }

  public mutating func note(microseconds: Int) {
    counts[LatencyScale.bucket(microseconds: microseconds)] += 1
  }

  /// What came since an earlier count.
  public static func - (left: LatencyCounts, right: LatencyCounts) -> LatencyCounts {
    LatencyCounts(zip(left.counts, right.counts).map { max($0 - $1, 0) })
  }

  public static func + (left: LatencyCounts, right: LatencyCounts) -> LatencyCounts {
    LatencyCounts(zip(left.counts, right.counts).map { $0 + $1 })
  }
}
