import Testing
import Wire

@Suite struct JSONComparisonTests {
  private func compare(
    _ old: String, _ new: String, tolerance: Double = 0, ignore: [String] = [], unordered: [String] = [],
    onlyShape: Bool = false
  ) throws -> [String] {
    let comparison = JSONComparison(
      try JSONValue(parsing: old), try JSONValue(parsing: new),
      rules: JSONComparisonRules(
        tolerance: tolerance, ignored: ignore.compactMap { JSONPlace($0) },
        unordered: unordered.compactMap { JSONPlace($0) }, onlyShape: onlyShape))
    return comparison.differences.map {
      "\($0.path) \($0.kind.rawValue) \($0.expected ?? "-") \($0.found ?? "-")"
    }
  }

  @Test func `every kind of difference is named with its place`() throws {
    #expect(try compare(#"{"a":1,"b":[1,2]}"#, #"{"b":[1,2],"a":1.0}"#) == [])
    #expect(try compare(#"{"a":{"b":"x"}}"#, #"{"a":{"b":"y"}}"#) == [#"a.b value "x" "y""#])
    #expect(try compare(#"{"a":1}"#, #"{"b":1}"#) == ["a missing 1 -", "b added - 1"])
    #expect(try compare(#"{"a":1}"#, #"{"a":"1"}"#) == ["a kind integer string"])
    #expect(
      try compare(#"[1,2,3]"#, #"[1,5]"#) == ["$ length 3 items 2 items", "1 value 2 5"])
    #expect(try compare("true", "false") == ["$ value true false"])
  }

  @Test func `numbers may be apart by the tolerance`() throws {
    #expect(try compare("[100, 0.001]", "[100.9, 0.005]", tolerance: 0.01) == [])
    #expect(try compare("[100]", "[102]", tolerance: 0.01) == ["0 value 100 102"])
    #expect(
      try compare("9007199254740993", "9007199254740992") == ["$ value 9007199254740993 9007199254740992"])
    #expect(try compare("9007199254740993", "9007199254740993", tolerance: 1e-9) == [])
  }

  @Test func `ignored places are not looked at`() throws {
    let (old, new) = (#"{"at":1,"items":[{"id":1,"v":2}],"only":0}"#, #"{"at":9,"items":[{"id":7,"v":2}]}"#)
    #expect(try compare(old, new, ignore: ["at", "items.*.id", "only"]) == [])
    #expect(try compare(old, new, ignore: ["**.id", "$.at", "/only"]) == [])
    #expect(try compare(old, new, ignore: ["**"]) == [])
    #expect(try compare(old, new, ignore: ["items.1.id"]).count == 3)
  }

  @Test func `unordered lists are equal in any order`() throws {
    #expect(try compare("[1,2,2,3]", "[3,2,1,2]", unordered: ["**"]) == [])
    #expect(try compare("[1,2,2,3]", "[3,2,1,1]", unordered: ["**"]) == ["2 value 2 1"])
    // Only the best pairing sees that both fit: 1.0 is near to 1.1 and 0.9, 1.1 only to 1.0 and itself.
    #expect(try compare("[1.0, 0.92]", "[1.0, 1.08]", tolerance: 0.1, unordered: ["**"]) == [])
    let (old, new) = (#"{"a":[{"k":1,"n":5},{"k":2,"n":6}]}"#, #"{"a":[{"k":2,"n":0},{"k":1,"n":0}]}"#)
    #expect(try compare(old, new, ignore: ["a.*.n"], unordered: ["a"]) == [])
  }

  @Test func `shapes are compared without values`() throws {
    #expect(try compare(#"{"a":[1,2],"b":"x"}"#, #"{"a":[7.5],"b":"y"}"#, onlyShape: true) == [])
    #expect(try compare(#"{"a":[1]}"#, #"{"a":["1"]}"#, onlyShape: true) == ["a.0 kind integer string"])
  }

  @Test func `a text is equal to itself and to its shuffled self where order does not count`() throws {
    for seed in 0..<300 {
      var random = Generator(state: UInt64(seed))
      let value = random.value(depth: 4)
      #expect(JSONComparison(value, value).isEqual)
      let shuffled = random.shuffled(value)
      let rules = JSONComparisonRules(unordered: [try #require(JSONPlace("**"))])
      #expect(JSONComparison(value, shuffled, rules: rules).isEqual, "seed \(seed)")
      #expect(JSONComparison(shuffled, value, rules: rules).isEqual, "seed \(seed)")
    }
  }

  @Test func `a changed leaf is found at its place, and nowhere else`() throws {
    for seed in 0..<300 {
      var random = Generator(state: UInt64(seed) &+ 1000)
      let value = random.value(depth: 4)
      var path: [String] = []
      guard let changed = random.changed(value, &path) else { continue }
      let comparison = JSONComparison(value, changed)
      #expect(comparison.count == 1, "seed \(seed)")
      #expect(comparison.differences.first?.path == JSONPlace.text(path), "seed \(seed)")
      let place =
        "/" + path.map { $0.replacing("~", with: "~0").replacing("/", with: "~1") }.joined(separator: "/")
      guard !path.isEmpty else { continue }
      let ignoring = JSONComparisonRules(ignored: [try #require(JSONPlace(place))])
      #expect(JSONComparison(value, changed, rules: ignoring).isEqual, "seed \(seed)")
    }
  }

  @Test func `redaction keeps kinds and leaves nothing of the value`() throws {
    let value = try JSONValue(
      parsing:
        #"{"user":{"name":"Ann","age":7,"tags":["a"],"more":{"x":1}},"list":[{"pin":"1234"}],"k":true}"#)
    let places = ["user.*", "**.pin", "k"].compactMap { JSONPlace($0) }
    let (redacted, count) = value.redacted(places)
    #expect(count == 6)
    #expect(
      String(decoding: redacted.bytes, as: UTF8.self)
        == #"{"user":{"name":"[redacted]","age":0,"tags":[],"more":{}},"list":[{"pin":"[redacted]"}],"k":false}"#
    )
    #expect(JSONComparison(value, redacted, rules: JSONComparisonRules(ignored: places)).isEqual)
  }

  @Test func `places that mean nothing are refused`() {
    for text in ["", "a..b", "$", "/", "a.", String(repeating: "a.", count: 40) + "a"] {
      #expect(JSONPlace(text) == nil, "\(text)")
    }
    #expect(JSONPlace("/a~1b/c~0d")?.fits(["a/b", "c~d"]) == true)
    #expect(JSONPlace("a.**.b")?.fits(["a", "b"]) == true)
    #expect(JSONPlace("a.**.b")?.fits(["a", "x", "y", "b"]) == true)
    #expect(JSONPlace("a.**.b")?.fits(["a", "x"]) == false)
  }
}

/// Values by a seed.
private struct Generator {
  var state: UInt64

  mutating func next(_ count: Int) -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int((state >> 33) % UInt64(count))
  }

  mutating func value(depth: Int) -> JSONValue {
    switch next(depth > 0 ? 7 : 5) {
    case 0: return .null
    case 1: return .bool(next(2) == 0)
    case 2: return .integer(Int64(next(5)))
    case 3: return .double(Double(next(100)) / 8 + 0.0625)
    case 4: return .string(["", "a", "b/c", "x~y", "ü"][next(5)])
    case 5:
      var items: [JSONValue] = []
      for _ in 0..<next(5) { items.append(value(depth: depth - 1)) }
      return .array(items)
    default:
      var object = JSONObject()
      for _ in 0..<next(5) { _ = object.add(["a", "b", "c/d", "e~", "7"][next(5)], value(depth: depth - 1)) }
      return .object(object)
    }
  }

  /// The same items in another order, all the way down.
  mutating func shuffled(_ value: JSONValue) -> JSONValue {
    switch value {
    case .array(let items):
      var rest: [JSONValue] = []
      for item in items { rest.insert(shuffled(item), at: next(rest.count + 1)) }
      return .array(rest)
    case .object(let object):
      var members: [(key: String, value: JSONValue)] = []
      for member in object.members {
        members.insert((member.key, shuffled(member.value)), at: next(members.count + 1))
      }
      return .object(JSONObject(members))
    default: return value
    }
  }

  /// The same with one leaf changed; nil when the way that was taken ends in an empty list or object.
  mutating func changed(_ value: JSONValue, _ path: inout [String]) -> JSONValue? {
    switch value {
    case .null: return .bool(true)
    case .bool(let flag): return .bool(!flag)
    case .integer(let number): return .integer(number + 1)
    case .double(let number): return .double(number + 1)
    case .string(let text): return .string(text + "!")
    case .array(var items):
      guard !items.isEmpty else { return nil }
      let at = next(items.count)
      path.append(String(at))
      guard let new = changed(items[at], &path) else { return nil }
      items[at] = new
      return .array(items)
    case .object(let object):
      guard !object.members.isEmpty else { return nil }
      var members = object.members
      let at = next(members.count)
      path.append(members[at].key)
      guard let new = changed(members[at].value, &path) else { return nil }
      members[at].value = new
      return .object(JSONObject(members))
    }
  }
}
