/// Reads metrics from text, line by line. In linear time; nothing outside its bytes is looked at.
struct ExpositionReader {
  private let bytes: [UInt8]
  private let isOpenMetrics: Bool
  private let limits: ExpositionText.Limits
  private var at = 0
  private var line = 1
  private var families: [Open] = []
  private var places: [String: Int] = [:]
  private var seen: Set<Series> = []
  private var count = 0
  private var repeated = 0

  /// A family as its source wrote it: of the kinds that 0.0.4 does not have, too.
  private struct Open {
    var name: String
    var kind: String?
    var help = ""
    var samples: [MetricSample] = []
  }

  private struct Series: Hashable {
    var name: String
    var labels: Set<MetricLabel>
  }

  init(_ bytes: [UInt8], isOpenMetrics: Bool, limits: ExpositionText.Limits) {
    self.bytes = bytes
    self.isOpenMetrics = isOpenMetrics
    self.limits = limits
  }

  mutating func read() throws(ExpositionFault) -> ExpositionText.Reading {
    while at < bytes.count {
      skipBlanks()
      switch current {
      case nil, 0x0a: break
      case UInt8(ascii: "#"): if try readComment() { return finished() }
      default: try readSample()
      }
      try endLine()
    }
    return finished()
  }

  private mutating func finished() -> ExpositionText.Reading {
    var result: [MetricFamily] = []
    var names: Set<String> = []
    for family in families.flatMap({ Self.closed($0, isOpenMetrics) }) {
      // A histogram and a counter with the name of its _count, say: they could not be told apart.
      guard names.isDisjoint(with: family.sampleNames) else {
        repeated += family.samples.count
        continue
      }
      names.formUnion(family.sampleNames)
      result.append(family)
    }
    return ExpositionText.Reading(families: result, sampleCount: count, repeated: repeated)
  }

  // MARK: Comments

  /// `# HELP`, `# TYPE` and, of OpenMetrics, `# EOF`, at which it returns true. Others say nothing.
  private mutating func readComment() throws(ExpositionFault) -> Bool {
    at += 1
    skipBlanks()
    let word = takeWord()
    if isOpenMetrics, word == "EOF" { return true }
    guard word == "HELP" || word == "TYPE" else {
      skipLine()
      return false
    }
    skipBlanks()
    let name = try takeName(colons: true, "the name of a metric after # \(word)")
    skipBlanks()
    let place = try family(name)
    if word == "HELP" {
      families[place].help = try takeHelp()
      return false
    }
    let kind = takeWord().lowercased()
    guard Self.kinds.contains(kind) else {
      throw fault("'\(Self.short(kind))' is not a type of metric")
    }
    guard families[place].kind == nil else { throw fault("the type of \(name) is given twice") }
    guard families[place].samples.isEmpty else {
      throw fault("the type of \(name) comes after its first sample")
    }
    families[place].kind = kind
    return false
  }

  private static let kinds: Set<String> = [
    "counter", "gauge", "histogram", "summary", "untyped", "unknown", "info", "stateset", "gaugehistogram",
  ]

  private mutating func family(_ name: String) throws(ExpositionFault) -> Int {
    if let place = places[name] { return place }
    guard families.count < limits.samples else { throw fault("more than \(limits.samples) metrics") }
    places[name] = families.count
    families.append(Open(name: name))
    return families.count - 1
  }

  // MARK: Samples

  private mutating func readSample() throws(ExpositionFault) {
    let name = try takeName(colons: true, "the name of a metric")
    skipBlanks()
    var labels: [MetricLabel] = []
    if current == UInt8(ascii: "{") { labels = try takeLabels() }
    skipBlanks()
    let value = try takeNumber("the value of \(name)")
    skipBlanks()
    var milliseconds: Int64?
    if let next = current, next != 0x0a, next != UInt8(ascii: "#") { milliseconds = try takeTime(name) }
    skipBlanks()
    // An exemplar: nothing of it can be shown on.
    if isOpenMetrics, current == UInt8(ascii: "#") { skipLine() }
    count += 1
    guard count <= limits.samples else { throw fault("more than \(limits.samples) samples") }
    let place = try home(of: name)
    try check(families[place], name, labels)
    guard seen.insert(Series(name: name, labels: Set(labels))).inserted else {
      repeated += 1
      return
    }
    families[place].samples.append(
      MetricSample(name: name, labels: labels, value: value, milliseconds: milliseconds))
  }

  /// The family that a sample belongs to: the one of its name, or of its name without an ending that its type has.
  private mutating func home(of name: String) throws(ExpositionFault) -> Int {
    if let place = places[name], families[place].kind != nil { return place }
    for ending in ["_bucket", "_sum", "_count", "_total", "_created", "_info", "_gsum", "_gcount"]
    where name.hasSuffix(ending) {
      guard let place = places[String(name.dropLast(ending.count))], let kind = families[place].kind,
        endings(of: kind).contains(ending)
      else { continue }
      return place
    }
    return try family(name)
  }

  private func endings(of kind: String) -> [String] {
    switch kind {
    case "histogram":
      isOpenMetrics ? ["_bucket", "_sum", "_count", "_created"] : ["_bucket", "_sum", "_count"]
    case "summary": isOpenMetrics ? ["_sum", "_count", "_created"] : ["_sum", "_count"]
    case "counter": isOpenMetrics ? ["_total", "_created"] : []
    case "info": ["_info"]
    case "gaugehistogram": ["_bucket", "_gsum", "_gcount"]
    default: []
    }
  }

  private func check(_ family: Open, _ name: String, _ labels: [MetricLabel]) throws(ExpositionFault) {
    func number(_ label: String) throws(ExpositionFault) {
      guard let text = labels.first(where: { $0.name == label })?.value,
        Self.number(Array(text.utf8)[...]) != nil
      else {
        throw fault("\(name) needs a label \(label) with a number: its metric is a \(family.kind ?? "")")
      }
    }
    switch family.kind {
    case "histogram", "gaugehistogram":
      guard name != family.name else {
        throw fault("\(name) is a histogram: its samples end with _bucket, _sum or _count")
      }
      if name.hasSuffix("_bucket") { try number("le") }
    case "summary" where name == family.name: try number("quantile")
    case "counter" where isOpenMetrics && name == family.name:
      throw fault("\(name) is a counter of OpenMetrics: its samples end with _total")
    case "info" where name == family.name:
      throw fault("\(name) is an info: its samples end with _info")
    default: break
    }
  }

  private mutating func takeLabels() throws(ExpositionFault) -> [MetricLabel] {
    at += 1
    var labels: [MetricLabel] = []
    var names: Set<String> = []
    while true {
      skipBlanks()
      if current == UInt8(ascii: "}") { break }
      let name = try takeName(colons: false, "the name of a label")
      guard name != "__name__" else { throw fault("a label can't be called __name__") }
      guard names.insert(name).inserted else { throw fault("label \(name) is there twice") }
      guard names.count <= limits.labels else { throw fault("more than \(limits.labels) labels") }
      skipBlanks()
      guard current == UInt8(ascii: "=") else { throw fault("a = is missing after label \(name)") }
      at += 1
      skipBlanks()
      let value = try takeQuoted(name)
      // A label without a value is one that is not there.
      if !value.isEmpty { labels.append(MetricLabel(name, value)) }
      skipBlanks()
      if current == UInt8(ascii: ",") {
        at += 1
      } else if current != UInt8(ascii: "}") {
        throw fault("a , or } is missing after label \(name)")
      }
    }
    at += 1
    return labels
  }

  private mutating func takeQuoted(_ label: String) throws(ExpositionFault) -> String {
    guard current == UInt8(ascii: "\"") else { throw fault("the value of label \(label) is not in quotes") }
    at += 1
    var value: [UInt8] = []
    while let byte = current, byte != UInt8(ascii: "\"") {
      guard byte != 0x0a else { break }
      at += 1
      value.append(byte == UInt8(ascii: "\\") ? try takeEscaped(quotes: true) : byte)
    }
    guard current == UInt8(ascii: "\"") else { throw fault("the value of label \(label) does not end") }
    at += 1
    guard let text = String(validating: value, as: UTF8.self) else {
      throw fault("the value of label \(label) is not UTF-8")
    }
    return text
  }

  private mutating func takeHelp() throws(ExpositionFault) -> String {
    var text: [UInt8] = []
    while let byte = current, byte != 0x0a {
      at += 1
      text.append(byte == UInt8(ascii: "\\") ? try takeEscaped(quotes: isOpenMetrics) : byte)
    }
    while text.last == 0x0d || text.last == 0x20 { text.removeLast() }
    guard let help = String(validating: text, as: UTF8.self) else { throw fault("the help is not UTF-8") }
    return help
  }

  private mutating func takeEscaped(quotes: Bool) throws(ExpositionFault) -> UInt8 {
    defer { at += 1 }
    switch current {
    case UInt8(ascii: "\\"): return UInt8(ascii: "\\")
    case UInt8(ascii: "n"): return 0x0a
    case UInt8(ascii: "\"") where quotes: return UInt8(ascii: "\"")
    default: throw fault("a \\ is followed by something that can't be")
    }
  }

  private mutating func takeNumber(_ what: String) throws(ExpositionFault) -> Double {
    let from = at
    skipWord()
    guard let number = Self.number(bytes[from..<at]) else {
      throw fault("\(what) is not a number: '\(Self.short(bytes[from..<at]))'")
    }
    return number
  }

  /// Milliseconds; OpenMetrics gives seconds with a fraction.
  private mutating func takeTime(_ name: String) throws(ExpositionFault) -> Int64 {
    let from = at
    skipWord()
    let text = bytes[from..<at]
    if !isOpenMetrics, let whole = Int64(String(decoding: text, as: UTF8.self)) { return whole }
    guard isOpenMetrics, let seconds = Self.number(text), abs(seconds) < 1e15 else {
      throw fault("the time of \(name) is not a number: '\(Self.short(text))'")
    }
    return Int64((seconds * 1000).rounded())
  }

  // MARK: Bytes

  private var current: UInt8? { at < bytes.count ? bytes[at] : nil }

  private mutating func skipBlanks() { while current == 0x20 || current == 0x09 { at += 1 } }
  private mutating func skipLine() { while let byte = current, byte != 0x0a { at += 1 } }
  private mutating func skipWord() {
    while let byte = current, byte != 0x0a, byte != 0x20, byte != 0x09, byte != 0x0d { at += 1 }
  }

  private mutating func takeWord() -> String {
    let from = at
    skipWord()
    return String(decoding: bytes[from..<at], as: UTF8.self)
  }

  private mutating func endLine() throws(ExpositionFault) {
    skipBlanks()
    if current == 0x0d { at += 1 }
    guard let byte = current else { return }
    guard byte == 0x0a else { throw fault("there is more on the line than a sample has") }
    at += 1
    line += 1
  }

  private mutating func takeName(colons: Bool, _ what: String) throws(ExpositionFault) -> String {
    let from = at
    while let byte = current {
      let isLetter = (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte) || byte == 0x5f
      let isLater = at > from && (0x30...0x39).contains(byte)
      guard isLetter || isLater || colons && byte == 0x3a else { break }
      at += 1
    }
    guard at > from else {
      var end = at
      while end < bytes.count, bytes[end] != 0x0a { end += 1 }
      throw fault("\(what) is missing: '\(Self.short(bytes[at..<end]))'")
    }
    return String(decoding: bytes[from..<at], as: UTF8.self)
  }

  private func fault(_ reason: String) -> ExpositionFault { ExpositionFault(line: line, reason) }

  private static func short(_ bytes: ArraySlice<UInt8>) -> String {
    short(String(decoding: bytes.prefix(200), as: UTF8.self))
  }

  private static func short(_ text: String) -> String {
    text.count > 40 ? "\(text.prefix(40))..." : text
  }

  /// Decimal numbers, `NaN` and infinities, as the format has them: nothing else that a library would also read.
  static func number(_ text: ArraySlice<UInt8>) -> Double? {
    var rest = text
    if rest.first == UInt8(ascii: "+") || rest.first == UInt8(ascii: "-") { rest = rest.dropFirst() }
    if let first = rest.first, first >= 0x41 {
      let word = String(decoding: rest.prefix(9), as: UTF8.self).lowercased()
      if word == "nan" { return .nan }
      guard word == "inf" || word == "infinity" else { return nil }
      return text.first == UInt8(ascii: "-") ? -.infinity : .infinity
    }
    var digits = 0
    func takeDigits() {
      while let byte = rest.first, (0x30...0x39).contains(byte) {
        rest = rest.dropFirst()
        digits += 1
      }
    }
    takeDigits()
    if rest.first == UInt8(ascii: ".") {
      rest = rest.dropFirst()
      takeDigits()
    }
    guard digits > 0 else { return nil }
    if rest.first == UInt8(ascii: "e") || rest.first == UInt8(ascii: "E") {
      rest = rest.dropFirst()
      if rest.first == UInt8(ascii: "+") || rest.first == UInt8(ascii: "-") { rest = rest.dropFirst() }
      digits = 0
      takeDigits()
      guard digits > 0 else { return nil }
    }
    guard rest.isEmpty else { return nil }
    guard let value = Double(String(decoding: text, as: UTF8.self)), value.isFinite else { return nil }
    return value
  }

  // MARK: What 0.0.4 can say

  private static func closed(_ family: Open, _ isOpenMetrics: Bool) -> [MetricFamily] {
    func one(_ name: String, _ kind: MetricFamily.Kind, _ samples: [MetricSample]) -> [MetricFamily] {
      samples.isEmpty ? [] : [MetricFamily(name: name, kind: kind, help: family.help, samples: samples)]
    }
    let all = family.samples
    switch family.kind ?? "untyped" {
    case "counter" where isOpenMetrics:
      return one(family.name + "_total", .counter, all.filter { $0.name == family.name + "_total" })
    case "info": return one(family.name + "_info", .gauge, all)
    case "stateset": return one(family.name, .gauge, all)
    case "gaugehistogram":
      return ["_bucket", "_gsum", "_gcount"].flatMap { ending in
        one(family.name + ending, .gauge, all.filter { $0.name == family.name + ending })
      }
    case let kind:
      let known = MetricFamily.Kind(rawValue: kind) ?? .untyped
      return one(family.name, known, all.filter { $0.name != family.name + "_created" })
    }
  }
}
