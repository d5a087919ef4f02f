/// Cuts a stream of bytes into lines; what has no end yet is kept for the next part.
struct LineReader: Sendable {
  private var pending: [UInt8] = []
  /// A line that is longer is given in pieces.
  private let limit: Int

  init(limit: Int = 1 << 20) { self.limit = limit }

  /// Whole lines without their ends; empty ones are left out.
  mutating func lines(_ bytes: ArraySlice<UInt8>) -> [[UInt8]] {
    var result: [[UInt8]] = []
    var rest = bytes
    while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
      pending.append(contentsOf: rest[rest.startIndex..<end])
      if pending.last == UInt8(ascii: "\r") { pending.removeLast() }
      if !pending.isEmpty { result.append(pending) }
      pending.removeAll(keepingCapacity: true)
      rest = rest[(end + 1)...]
    }
    pending.append(contentsOf: rest)
    if pending.count >= limit {
      result.append(pending)
      pending.removeAll()
    }
    return result
  }
}
