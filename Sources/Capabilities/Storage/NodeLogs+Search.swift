public import Domain
import Glibc

extension NodeLogs {
  /// Longest time for one look; what is older is then not looked at, and that is said.
  private static let searchTime = Duration.seconds(8)
  private static let chunkBytes = 1 << 20

  /// Lines that a query asks for, behind its cursor or the newest of them. A page without lines says no more than that there are
  /// none up to its cursor.
  public func read(_ node: NodeID, _ query: LogQuery) throws(PlatformError) -> LogPage {
    if query.isPlain { return try read(node, after: query.after, tail: query.tail) }
    let accept = query.predicate()
    guard var cursor = query.after else { return search(node, query, accept) }
    let deadline = ContinuousClock.now + Self.searchTime
    while true {
      let page = try read(node, after: cursor, tail: 0)
      let found = page.lines.filter { accept($0) || Self.isNotice($0) }
      if !found.isEmpty || page.lines.isEmpty || ContinuousClock.now > deadline {
        return LogPage(lines: found, cursor: page.cursor)
      }
      cursor = page.cursor
    }
  }

  private static func isNotice(_ line: LogLine) -> Bool {
    line.stream == "system" && line.instance == nil && line.release == nil
  }

  /// The newest lines that are accepted, file by file backward.
  private func search(_ node: NodeID, _ query: LogQuery, _ accept: (LogLine) -> Bool) -> LogPage {
    // Where to go on: lines that come while files are looked at are read from here.
    let cursor = (try? read(node, after: nil, tail: 0))?.cursor ?? "0-0"
    let sides = cursor.split(separator: "-").compactMap { Int($0) }
    guard sides.count == 2 else { return LogPage(lines: [], cursor: cursor) }
    let deadline = ContinuousClock.now + Self.searchTime
    var lines: [LogLine] = []
    var number = sides[0]
    var limit: Int? = sides[1]
    while number > 0 {
      guard let file = openLog(node, number) else {
        number -= 1
        limit = nil
        continue
      }
      defer { close(file.descriptor) }
      if let since = query.since, file.writtenAt + .seconds(60) < since { break }
      let (found, isWhole) = Self.scan(
        file.descriptor, upTo: limit ?? file.size, query.tail - lines.count, accept, deadline)
      lines = found + lines
      if !isWhole {
        lines.insert(Self.cut(before: lines.first), at: 0)
        break
      }
      if lines.count >= query.tail { break }
      number -= 1
      limit = nil
    }
    return LogPage(lines: lines, cursor: cursor)
  }

  /// Accepted lines of one file, the newest `most` of them, from its beginning; false when there was no time for all of it.
  private static func scan(
    _ file: Int32, upTo limit: Int, _ most: Int, _ accept: (LogLine) -> Bool,
    _ deadline: ContinuousClock.Instant
  ) -> (lines: [LogLine], isWhole: Bool) {
    var lines: [LogLine] = []
    // Backward by chunks, so that what is found when time runs out is the newest.
    var end = limit
    var tailOfChunk: [UInt8] = []
    while end > 0, lines.count < most {
      guard ContinuousClock.now < deadline else { return (lines, false) }
      let from = max(0, end - chunkBytes)
      var chunk = read(file, from: from, count: end - from)
      guard chunk.count == end - from else { return (lines, true) }
      chunk += tailOfChunk
      var begin = 0
      if from > 0 {
        guard let newline = chunk.firstIndex(of: 0x0a) else {
          tailOfChunk = chunk
          end = from
          continue
        }
        begin = newline + 1
      }
      tailOfChunk = Array(chunk[..<begin])
      var found: [LogLine] = []
      while let newline = chunk[begin...].firstIndex(of: 0x0a) {
        if let line = LogLineReader.line(chunk[begin..<newline]), accept(line) { found.append(line) }
        begin = newline + 1
      }
      lines = found.suffix(most - lines.count) + lines
      end = from
    }
    return (lines, true)
  }

  private static func cut(before next: LogLine?) -> LogLine {
    LogLine(
      time: next?.time ?? "", stream: "system",
      message:
        "older lines were not looked at: it took more than \(searchTime.components.seconds) s; narrow it with --since"
    )
  }

  private static func read(_ file: Int32, from: Int, count: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count) { buffer, size in
      size = max(0, pread(file, buffer.baseAddress, count, from))
    }
  }
}
