/// Wald's sequential probability ratio test of a rate: are the bad ones among all at most `good` or at least `bad`?
///
/// It may be asked after every request, and stops as soon as the answer is safe enough; its errors hold whenever one looks.
/// Source: A. Wald, Sequential Tests of Statistical Hypotheses (1945).
public struct SequentialTest: Sendable, Equatable {
  public enum Verdict: Sendable, Equatable {
    case good, bad
    /// Not safe enough yet; what there is speaks for `good`, or for `bad`.
    case leansGood, leansBad
  }

  /// The rate that is still all right, and one that is not; between them either answer may come.
  public var good: Double
  public var bad: Double
  /// Chances of calling what is all right bad, and of calling what is bad all right.
  public var falseAlarm: Double
  public var miss: Double

  public init(good: Double, bad: Double, falseAlarm: Double = 0.001, miss: Double = 0.01) {
    self.good = good
    self.bad = bad
    self.falseAlarm = falseAlarm
    self.miss = miss
  }

  public func verdict(bad count: Int, of total: Int) -> Verdict {
    let evidence = evidence(bad: count, of: total)
    if evidence >= alarm { return .bad }
    if evidence <= calm { return .good }
    return evidence <= 0 ? .leansGood : .leansBad
  }

  /// The logarithm of how many times more likely `bad` makes what was seen than `good` does.
  func evidence(bad count: Int, of total: Int) -> Double {
    let (low, high) = (max(good, 1e-6), min(max(bad, good + 1e-6), 1 - 1e-9))
    return Double(count) * Self.logarithm(high / low)
      + Double(total - count) * Self.logarithm((1 - high) / (1 - low))
  }

  /// Evidence that is enough for `bad`, and for `good`.
  var alarm: Double { Self.logarithm((1 - miss) / falseAlarm) }
  var calm: Double { Self.logarithm(miss / (1 - falseAlarm)) }

  /// The natural logarithm of a positive number, to about 15 digits (this layer has no mathematical library).
  static func logarithm(_ value: Double) -> Double {
    // value = significand * 2^exponent; ln by the series of artanh, which is short for 0.7...1.42.
    var significand = value.significand
    var exponent = Double(value.exponent)
    if significand > 1.4142135623730951 {
      significand /= 2
      exponent += 1
    }
    let ratio = (significand - 1) / (significand + 1)
    let square = ratio * ratio
    var (term, sum) = (ratio, 0.0)
    var divisor = 1.0
    while divisor < 27 {
      sum += term / divisor
      term *= square
      divisor += 2
    }
    return 2 * sum + exponent * 0.6931471805599453
  }
}
