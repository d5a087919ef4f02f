/// Finds what somebody may have meant.
enum Suggestion {
  /// The nearest candidate, when it is near enough to be a slip.
  static func nearest(_ word: String, among candidates: [String]) -> String? {
    let ranked = candidates.map { (distance($0, word), $0) }.sorted { ($0.0, $0.1) < ($1.0, $1.1) }
    if let best = ranked.first, best.0 <= max(1, min(word.count, best.1.count) / 3) { return best.1 }
    return word.count >= 3 ? candidates.sorted().first { $0.hasPrefix(word) } : nil
  }

  /// Edits between two words; two neighbours changed over count as one.
  static func distance(_ left: String, _ right: String) -> Int {
    let left = Array(left)
    let right = Array(right)
    var rows = [Array(0...right.count)]
    for i in 0..<left.count {
      var row = [i + 1]
      for j in 0..<right.count {
        var best = min(row[j] + 1, rows[i][j + 1] + 1, rows[i][j] + (left[i] == right[j] ? 0 : 1))
        if i > 0, j > 0, left[i] == right[j - 1], left[i - 1] == right[j] {
          best = min(best, rows[i - 1][j - 1] + 1)
        }
        row.append(best)
      }
      rows.append(row)
    }
    return rows[left.count][right.count]
  }
}
