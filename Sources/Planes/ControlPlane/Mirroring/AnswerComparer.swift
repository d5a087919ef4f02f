import Domain
import Wire

/// An answer as it is compared.
struct ComparedAnswer {
  var status: Int
  var contentType: String
  var body: [UInt8]
  var microseconds: Int
}

/// Says where two answers to the same request differ. Statuses always count; bodies where both are of the class 2xx.
struct AnswerComparer: Sendable {
  let rules: JSONComparisonRules
  let slower: Double?
  /// An answer that is later by less than this is not slower: milliseconds are noise.
  static let noise = 5000

  init(_ rules: AnswerRules, slower: Double? = nil) {
    self.rules = JSONComparisonRules(
      tolerance: rules.tolerance, ignored: rules.ignore.compactMap { JSONPlace($0) },
      unordered: rules.unordered.compactMap { JSONPlace($0) })
    self.slower = slower
  }

  /// Throws for a place that is none, a tolerance that is no part, a factor below 1.
  static func check(_ rules: AnswerRules, slower: Double?) throws(PlatformError) {
    guard rules.tolerance >= 0, rules.tolerance < 1 else {
      throw .invalid(
        "tolerance", "tolerance: \(rules.tolerance) must be at least 0 and below 1, like 0.01 for 1 %")
    }
    if let slower, !(slower >= 1) {
      throw .invalid(
        "slower", "slower: \(slower) must be at least 1, like 1.5 for half as long again")
    }
    for (field, places) in [("ignore", rules.ignore), ("unordered", rules.unordered)] {
      guard places.count <= 50 else {
        throw .invalid(field, "\(field): \(places.count) places are too many; use at most 50")
      }
      for (index, place) in places.enumerated() where JSONPlace(place) == nil {
        throw .invalid(
          "\(field)[\(index)]",
          "\(field)[\(index)]: '\(place.prefix(64))' is no place in JSON; write output.at, items.*.id, **.time or /a.b/0"
        )
      }
    }
  }

  /// The places at which they differ, and how many there are.
  func compare(
    _ expected: ComparedAnswer, _ found: ComparedAnswer, onlyShape: Bool = false
  ) -> (count: Int, places: [AnswerPlaceDifference]) {
    var places: [AnswerPlaceDifference] = []
    var count = 0
    if expected.status != found.status {
      count = 1
      places = [
        AnswerPlaceDifference(
          path: "status", kind: "status", expected: "\(expected.status)", found: Self.failure(found))
      ]
    } else if (200..<300).contains(expected.status) {
      (count, places) = bodies(expected, found, onlyShape: onlyShape)
    }
    if let slower, Double(found.microseconds) > Double(expected.microseconds) * slower,
      found.microseconds - expected.microseconds > Self.noise
    {
      count += 1
      places.append(
        AnswerPlaceDifference(
          path: "latency", kind: "slower", expected: Self.time(expected.microseconds),
          found: Self.time(found.microseconds)))
    }
    return (count, places)
  }

  private func bodies(
    _ expected: ComparedAnswer, _ found: ComparedAnswer, onlyShape: Bool
  ) -> (Int, [AnswerPlaceDifference]) {
    if let old = Self.json(expected), let new = Self.json(found) {
      var rules = self.rules
      rules.onlyShape = onlyShape
      let comparison = JSONComparison(old, new, rules: rules)
      let places = comparison.differences.map {
        AnswerPlaceDifference(path: $0.path, kind: $0.kind.rawValue, expected: $0.expected, found: $0.found)
      }
      return (comparison.count, places)
    }
    let (old, new) = (Self.bare(expected.contentType), Self.bare(found.contentType))
    if old != new {
      return (
        1, [AnswerPlaceDifference(path: "content-type", kind: "contentType", expected: old, found: new)]
      )
    }
    guard !onlyShape, expected.body != found.body else { return (0, []) }
    let at = zip(expected.body, found.body).enumerated().first { $0.element.0 != $0.element.1 }?.offset
    return (
      1,
      [
        AnswerPlaceDifference(
          path: "byte \(at ?? min(expected.body.count, found.body.count))", kind: "bytes",
          expected: "\(expected.body.count) bytes", found: "\(found.body.count) bytes")
      ]
    )
  }

  static func json(_ answer: ComparedAnswer) -> Wire.JSONValue? {
    guard bare(answer.contentType).hasSuffix("json") else { return nil }
    return try? Wire.JSONValue(parsing: answer.body)
  }

  static func bare(_ contentType: String) -> String {
    let bare = contentType.prefix { $0 != ";" && $0 != " " }.lowercased()
    return bare
  }

  /// The status, with what a failed cell said.
  private static func failure(_ answer: ComparedAnswer) -> String {
    guard let json = json(answer), let message = json["message"]?.stringValue else {
      return "\(answer.status)"
    }
    return "\(answer.status): \(message.prefix(120))"
  }

  static func time(_ microseconds: Int) -> String {
    "\(microseconds / 1000).\(microseconds % 1000 / 100) ms"
  }
}
