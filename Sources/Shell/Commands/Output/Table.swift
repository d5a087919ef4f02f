/// Rows under upper-case heads, in columns that are as wide as they must be.
struct Table {
  private var rows: [[String]]

  init(_ head: String..., rows: [[String]] = []) { self.rows = [head] + rows }

  mutating func add(_ cells: String...) { rows.append(cells) }

  /// The lines, each with its end.
  var text: String {
    let columns = rows.first?.count ?? 0
    let widths = (0..<columns).map { column in rows.map { $0[column].count }.max() ?? 0 }
    return rows.map { row in
      var line = ""
      for (index, cell) in row.enumerated() {
        line +=
          index == columns - 1 ? cell : cell + String(repeating: " ", count: widths[index] - cell.count + 2)
      }
      while line.hasSuffix(" ") { line.removeLast() }
      return line + "\n"
    }.joined()
  }

  /// One line of a text for a cell: no line breaks, at most `width` characters.
  static func oneLine(_ text: String, width: Int) -> String {
    let flat = text.split(whereSeparator: \.isNewline).joined(separator: "; ")
    return flat.count <= width ? flat : flat.prefix(width - 1) + "…"
  }
}

/// `Name:    value` lines of a description.
struct Facts {
  private var lines: [(String, String)] = []

  mutating func add(_ name: String, _ value: String?) {
    if let value, !value.isEmpty { lines.append((name + ":", value)) }
  }

  var text: String {
    let width = (lines.map(\.0.count).max() ?? 0) + 2
    return lines.map { $0.0 + String(repeating: " ", count: width - $0.0.count) + $0.1 + "\n" }.joined()
  }
}
