/// What makes two JSON texts the same.
public struct JSONComparisonRules: Sendable {
  /// How far numbers may be apart: as a part of the larger one, or of 1 where both are smaller.
  public var tolerance: Double
  /// What stands there is not looked at.
  public var ignored: [JSONPlace]
  /// Lists there are equal in any order.
  public var unordered: [JSONPlace]
  /// Only kinds and names are compared, not values.
  public var onlyShape: Bool

  public init(
    tolerance: Double = 0, ignored: [JSONPlace] = [], unordered: [JSONPlace] = [], onlyShape: Bool = false
  ) {
    self.tolerance = tolerance
    self.ignored = ignored
    self.unordered = unordered
    self.onlyShape = onlyShape
  }
}

/// One place at which two JSON texts differ.
public struct JSONDifference: Sendable, Equatable {
  public enum Kind: String, Sendable { case kind, value, missing, added, length }
  public var path: String
  public var kind: Kind
  /// Shortened; nil where there is none.
  public var expected: String?
  public var found: String?
}

/// Where two JSON texts differ. Pure.
public struct JSONComparison: Sendable, Equatable {
  /// The first of them.
  public private(set) var differences: [JSONDifference] = []
  public private(set) var count = 0

  /// Items of unordered lists up to which the best pairing is looked for; of longer ones the first that fits is taken.
  static let mostPaired = 200

  private let rules: JSONComparisonRules
  private let limit: Int
  /// Also says whether a place is looked for at all.
  private var path: [String] = []

  /// - Parameter limit: differences that are kept; all are counted.
  public init(
    _ expected: JSONValue, _ found: JSONValue, rules: JSONComparisonRules = JSONComparisonRules(),
    limit: Int = 10
  ) {
    self.rules = rules
    self.limit = limit
    compare(expected, found)
  }

  private init(_ rules: JSONComparisonRules, path: [String]) {
    self.rules = rules
    limit = 0
    self.path = path
  }

  public var isEqual: Bool { count == 0 }

  public static func == (left: Self, right: Self) -> Bool {
    left.count == right.count && left.differences == right.differences
  }

  private mutating func compare(_ expected: JSONValue, _ found: JSONValue) {
    if !rules.ignored.isEmpty, rules.ignored.contains(where: { $0.fits(path) }) { return }
    switch (expected, found) {
    case (.object(let old), .object(let new)): compare(old, new)
    case (.array(let old), .array(let new)):
      if rules.onlyShape {
        compareShapes(old, new)
      } else if !rules.unordered.isEmpty, rules.unordered.contains(where: { $0.fits(path) }) {
        compareUnordered(old, new)
      } else {
        compare(old, new)
      }
    default:
      guard let old = expected.doubleValue, let new = found.doubleValue else {
        if expected.kind != found.kind {
          note(.kind, expected.kind, found.kind)
        } else if !rules.onlyShape, expected != found {
          note(.value, Self.short(expected), Self.short(found))
        }
        return
      }
      if !rules.onlyShape, !isClose(expected, found, old, new) {
        note(.value, Self.short(expected), Self.short(found))
      }
    }
  }

  private func isClose(_ expected: JSONValue, _ found: JSONValue, _ old: Double, _ new: Double) -> Bool {
    // Whole numbers beyond 2^53 are not told apart as doubles.
    if case .integer(let old) = expected, case .integer(let new) = found, old == new { return true }
    guard rules.tolerance > 0 else { return expected == found || (expected.kind != found.kind && old == new) }
    return abs(old - new) <= rules.tolerance * max(abs(old), abs(new), 1)
  }

  private mutating func compare(_ old: JSONObject, _ new: JSONObject) {
    for member in old.members {
      inside(member.key) { comparison in
        if let value = new[member.key] {
          comparison.compare(member.value, value)
        } else {
          comparison.noteUnlessIgnored(.missing, Self.short(member.value), nil)
        }
      }
    }
    for member in new.members where old[member.key] == nil {
      inside(member.key) { $0.noteUnlessIgnored(.added, nil, Self.short(member.value)) }
    }
  }

  private mutating func compare(_ old: [JSONValue], _ new: [JSONValue]) {
    if old.count != new.count { note(.length, "\(old.count) items", "\(new.count) items") }
    for index in 0..<min(old.count, new.count) {
      inside(String(index)) { $0.compare(old[index], new[index]) }
    }
  }

  private mutating func compareShapes(_ old: [JSONValue], _ new: [JSONValue]) {
    for index in 0..<min(old.count, new.count, 1) {
      inside(String(index)) { $0.compare(old[index], new[index]) }
    }
  }

  /// Every item of one list has one of its own in the other.
  private mutating func compareUnordered(_ old: [JSONValue], _ new: [JSONValue]) {
    if old.count != new.count { note(.length, "\(old.count) items", "\(new.count) items") }
    var partner = [Int?](repeating: nil, count: new.count)
    var unpaired: [Int] = []
    let isSmall = max(old.count, new.count) <= Self.mostPaired
    var fits: [[Int]] = []
    if isSmall {
      fits = old.indices.map { index in new.indices.filter { areEqual(old[index], new[$0], index) } }
    }
    for index in old.indices {
      if isSmall {
        var seen = [Bool](repeating: false, count: new.count)
        if !Self.pair(index, fits, &partner, &seen) { unpaired.append(index) }
      } else if let free = new.indices.first(where: {
        partner[$0] == nil && areEqual(old[index], new[$0], index)
      }) {
        partner[free] = index
      } else {
        unpaired.append(index)
      }
    }
    let left = new.indices.filter { partner[$0] == nil }
    // What found no partner is compared with what is left over, so that the difference itself is shown.
    for (index, other) in zip(unpaired, left) {
      inside(String(index)) { $0.compare(old[index], new[other]) }
    }
  }

  private func areEqual(_ old: JSONValue, _ new: JSONValue, _ index: Int) -> Bool {
    var inner = JSONComparison(rules, path: path + [String(index)])
    inner.compare(old, new)
    return inner.isEqual
  }

  /// An augmenting path of Kuhn's algorithm.
  private static func pair(
    _ index: Int, _ fits: [[Int]], _ partner: inout [Int?], _ seen: inout [Bool]
  ) -> Bool {
    for place in fits[index] where !seen[place] {
      seen[place] = true
      if let other = partner[place], !pair(other, fits, &partner, &seen) { continue }
      partner[place] = index
      return true
    }
    return false
  }

  // MARK: Notes

  private mutating func inside(_ name: String, _ body: (inout JSONComparison) -> Void) {
    path.append(name)
    body(&self)
    path.removeLast()
  }

  private mutating func noteUnlessIgnored(_ kind: JSONDifference.Kind, _ expected: String?, _ found: String?)
  {
    if rules.ignored.contains(where: { $0.fits(path) }) { return }
    note(kind, expected, found)
  }

  private mutating func note(_ kind: JSONDifference.Kind, _ expected: String?, _ found: String?) {
    count += 1
    guard differences.count < limit else { return }
    differences.append(
      JSONDifference(path: JSONPlace.text(path), kind: kind, expected: expected, found: found))
  }

  private static func short(_ value: JSONValue) -> String {
    let text = String(decoding: value.bytes.prefix(512), as: UTF8.self)
    return text.count > 120 ? text.prefix(117) + "..." : text
  }
}
