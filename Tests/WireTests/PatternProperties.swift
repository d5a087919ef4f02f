@testable import Wire

extension FuzzProperties {
  /// The first line is a pattern, the rest a text: it is refused in words, or found where a matcher that goes over what
  /// the pattern says, part by part, finds it; and a text is found by what it is quoted as.
  static func pattern(_ bytes: [UInt8]) {
    let end = bytes.firstIndex(of: 10) ?? bytes.count
    let words = String(decoding: bytes[..<end], as: UTF8.self)
    let text = Array(String(decoding: bytes[min(end + 1, bytes.count)...].prefix(200), as: UTF8.self).utf8)
    do throws(PatternFault) {
      var pattern = try TextPattern(words)
      let found = matches(&pattern, text)
      precondition(matches(&pattern, text) == found, "what it has learned changes nothing")
      var parser = PatternParser(words)
      let tree = try parser.parse()
      let slow = SlowMatcher(text: text, ignoresCase: parser.ignoresCase)
      precondition(slow.finds(tree) == found, "it is found where it is")
      if parser.ignoresCase {
        precondition(matches(&pattern, text.map(turned)) == found, "letters of either case are alike")
      }
    } catch { precondition(!error.reason.isEmpty) }
    quoted(words, in: text)
  }

  private static func quoted(_ words: String, in text: [UInt8]) {
    let literal = Array(words.unicodeScalars.prefix(50))
    let quoted = literal.map { scalar in
      let isPlain = !scalar.isASCII || scalar.properties.isAlphabetic || ("0"..."9").contains(scalar)
      return isPlain ? "\(scalar)" : "\\\(scalar)"
    }.joined()
    guard var exact = try? TextPattern(quoted), var loose = try? TextPattern("(?i)" + quoted) else {
      preconditionFailure("a quoted text is a pattern")
    }
    let bytes = literal.flatMap { Array(String($0).utf8) }
    precondition(matches(&exact, text + bytes + text), "a text is found by itself")
    precondition(matches(&loose, text + bytes.map(turned) + text))
  }

  private static func matches(_ pattern: inout TextPattern, _ text: [UInt8]) -> Bool {
    text.withUnsafeBufferPointer { pattern.matches($0) }
  }
}

/// The other case of an ASCII letter.
private func turned(_ byte: UInt8) -> UInt8 {
  (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte) ? byte ^ 0x20 : byte
}

/// Follows what a pattern says from every place at once, without a machine of states.
private struct SlowMatcher {
  let text: [UInt8]
  let ignoresCase: Bool

  func finds(_ tree: PatternTree) -> Bool { !ends(tree, from: Set(0...text.count)).isEmpty }

  /// The places behind the tree when it begins at one of these.
  private func ends(_ tree: PatternTree, from places: Set<Int>) -> Set<Int> {
    switch tree {
    case .start: return places.intersection([0])
    case .end: return places.intersection([text.count])
    case .all(let parts): return parts.reduce(places) { $0.isEmpty ? $0 : ends($1, from: $0) }
    case .any(let parts): return parts.reduce(into: Set()) { $0.formUnion(ends($1, from: places)) }
    case .one(let ranges, let sequences):
      var result = Set<Int>()
      for place in places {
        if place < text.count, ranges.contains(where: { holds($0, text[place]) }) { result.insert(place + 1) }
        for sequence in sequences where place + sequence.count <= text.count {
          if zip(sequence, text[place...]).allSatisfy({ $0.contains($1) }) {
            result.insert(place + sequence.count)
          }
        }
      }
      return result
    case .repeated(let part, let least, let most):
      var places = places
      for _ in 0..<least {
        let next = ends(part, from: places)
        // Once nothing changes, nothing ever does.
        if next == places { break }
        places = next
      }
      var all = places
      for _ in 0..<(most.map { $0 - least } ?? .max) {
        places = ends(part, from: places).subtracting(all)
        if places.isEmpty { break }
        all.formUnion(places)
      }
      return all
    }
  }

  private func holds(_ range: ClosedRange<UInt8>, _ byte: UInt8) -> Bool {
    range.contains(byte) || (ignoresCase && range.contains(turned(byte)))
  }
}
