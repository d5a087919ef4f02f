import CLinux
import Testing

@Suite struct TokenCompareTests {
  @Test func `texts are equal only when every byte is`() {
    for count in 0...40 {
      let text = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 37) }
      #expect(scan_equal_constant_time(text, text, count) == 1)
      for place in 0..<count {
        for bit in 0..<8 {
          var other = text
          other[place] ^= 1 << UInt8(bit)
          #expect(scan_equal_constant_time(text, other, count) == 0)
        }
      }
    }
  }
}
