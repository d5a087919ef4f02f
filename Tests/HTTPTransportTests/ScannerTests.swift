import CLinux
import Reactor
import Testing

/// The scanners look at many bytes at once: each must find what a look at one byte after the other finds.
@Suite struct ScannerTests {
  /// Texts of every length up to three vectors, of bytes that names have, with any byte at any place.
  private func eachText(_ visit: ([UInt8], UInt8) -> Void) {
    let letters = Array("content-Type_0z9A!~".utf8)
    for length in 0...50 {
      let text = (0..<length).map { letters[$0 % letters.count] }
      visit(text, 0)
      for place in Set([0, 1, 7, 8, 15, 16, 17, 31, 32, length - 1]) where (0..<length).contains(place) {
        for byte in UInt8.min...UInt8.max {
          var other = text
          other[place] = byte
          visit(other, byte)
        }
      }
    }
  }

  @Test func `a token ends at the first byte that is none of a token`() {
    let others = Set(" \t\"(),/:;<=>?@[\\]{}".utf8)
    var wrong: [[UInt8]] = []
    eachText { text, _ in
      let end = text.firstIndex { $0 <= 0x20 || $0 >= 0x7f || others.contains($0) } ?? text.count
      if scan_token(text, text.count) != end { wrong.append(text) }
    }
    #expect(wrong.isEmpty)
  }

  @Test func `the first of a byte is found`() {
    var wrong: [[UInt8]] = []
    eachText { text, byte in
      let end = text.firstIndex(of: byte) ?? text.count
      if scan_byte(text, text.count, byte) != end { wrong.append(text) }
    }
    #expect(wrong.isEmpty)
  }

  @Test func `a name equals in any case of its letters, and only of them`() {
    func lower(_ byte: UInt8) -> UInt8 { (0x41...0x5a).contains(byte) ? byte | 0x20 : byte }
    var wrong: [[UInt8]] = []
    eachText { text, byte in
      let plain = text.map(lower)
      if scan_equals_lower(text, plain, text.count) == 0 { wrong.append(text) }
      for place in Set([0, 7, 8, text.count - 1]) where text.indices.contains(place) {
        var other = plain
        other[place] = lower(byte)
        if (scan_equals_lower(text, other, text.count) != 0) != (plain == other) { wrong.append(text) }
      }
    }
    #expect(wrong.isEmpty)
  }

  @Test func `a queue writes numbers as Swift does`() {
    var numbers = [0, -1, Int.min, Int.max, Int.max - 1]
    var power = 1
    while true {
      numbers += [power - 1, power, power + 1, -power]
      let (next, isOver) = power.multipliedReportingOverflow(by: 10)
      if isOver { break }
      power = next
    }
    for number in numbers {
      let queue = ByteQueue()
      queue.append(decimal: number)
      #expect(String(decoding: queue.bytes, as: UTF8.self) == String(number))
    }
  }

  @Test func `an emptied queue keeps its memory and nothing else`() {
    let queue = ByteQueue()
    queue.append([UInt8](repeating: 0x61, count: 100_000))
    let memory = queue.base
    queue.drop(10)
    queue.empty()
    #expect(queue.isEmpty && queue.base == memory)
    queue.append("short")
    #expect(String(decoding: queue.bytes, as: UTF8.self) == "short" && queue.base == memory)
  }
}
