public import Domain

/// The worst of all differences that were seen, and no more than `most` of them.
public struct WorstDifferences: Sendable, Equatable {
  private let most: Int
  /// The worst first; of equally bad ones the newest.
  public private(set) var all: [AnswerDifference] = []

  public init(most: Int = 20) { self.most = most }

  public mutating func add(_ difference: AnswerDifference) {
    let place = all.firstIndex { !Self.isWorse($0, difference) } ?? all.count
    guard place < most else { return }
    all.insert(difference, at: place)
    if all.count > most { all.removeLast() }
  }

  private static func isWorse(_ left: AnswerDifference, _ right: AnswerDifference) -> Bool {
    let (mine, other) = (gravity(left), gravity(right))
    guard mine == other else { return mine > other }
    guard left.count == right.count else { return left.count > right.count }
    return false
  }

  /// No answer or a failure where there was none; another status; another body; only slower.
  static func gravity(_ difference: AnswerDifference) -> Int {
    guard let found = difference.foundStatus else { return 4 }
    if found / 100 != difference.expectedStatus / 100 { return found >= 500 ? 4 : 3 }
    if found != difference.expectedStatus { return 3 }
    return difference.places.contains { $0.kind != "slower" } ? 2 : 1
  }
}

/// Times that two nodes took for the same requests: the last so many pairs.
public struct LatencyPairs: Sendable, Equatable {
  private let most: Int
  private var expected: [Int] = []
  private var found: [Int] = []
  private var next = 0

  public init(most: Int = 1000) { self.most = most }

  public mutating func add(expectedMicroseconds: Int, foundMicroseconds: Int) {
    if expected.count < most {
      expected.append(expectedMicroseconds)
      found.append(foundMicroseconds)
    } else {
      expected[next] = expectedMicroseconds
      found[next] = foundMicroseconds
      next = (next + 1) % most
    }
  }

  /// Nil before the first pair.
  public var comparison: LatencyComparison? {
    guard !expected.isEmpty else { return nil }
    let (old, new) = (expected.sorted(), found.sorted())
    func within(_ part: Double, _ all: [Int]) -> Double {
      Double(all[min(Int(part * Double(all.count)), all.count - 1)]) / 1000
    }
    func ratio(_ part: Double) -> Double { within(part, new) / max(within(part, old), 0.001) }
    return LatencyComparison(
      requests: old.count, expectedP50Milliseconds: within(0.5, old),
      expectedP95Milliseconds: within(0.95, old),
      foundP50Milliseconds: within(0.5, new), foundP95Milliseconds: within(0.95, new), ratioP50: ratio(0.5),
      ratioP95: ratio(0.95))
  }
}
