/// The proof in the opening handshake of a WebSocket that the server has understood it (RFC 6455, 4.2.2).
public enum WebSocketKey {
  /// Digits of a key: 16 bytes in base64.
  public static let count = 24
  /// Digits of the answer to a key.
  public static let answerCount = 28

  /// Whether the bytes are 16 bytes in base64.
  public static func isKey(_ key: UnsafeBufferPointer<UInt8>) -> Bool {
    key.count == count && Base64.decoded(key)?.count == 16
  }

  /// `Sec-WebSocket-Accept` for `Sec-WebSocket-Key`.
  public static func answer(_ key: some Collection<UInt8>) -> [UInt8] {
    let suffix: StaticString = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    let message = Array(key) + UnsafeBufferPointer(start: suffix.utf8Start, count: suffix.utf8CodeUnitCount)
    var answer: [UInt8] = []
    Base64.append(sha1(message), to: &answer)
    return answer
  }

  /// SHA-1 (FIPS 180-4): good for this and nothing else.
  private static func sha1(_ message: [UInt8]) -> [UInt8] {
    var state: [UInt32] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0]
    var padded = message + [0x80]
    while padded.count % 64 != 56 { padded.append(0) }
    let bits = UInt64(message.count) * 8
    for shift in stride(from: UInt64(56), through: 0, by: -8) {
      padded.append(UInt8(truncatingIfNeeded: bits >> shift))
    }
    var words = [UInt32](repeating: 0, count: 80)
    for block in stride(from: 0, to: padded.count, by: 64) {
      for index in 0..<80 {
        if index < 16 {
          words[index] = (0..<4).reduce(0) { $0 << 8 | UInt32(padded[block + 4 * index + $1]) }
        } else {
          words[index] = rotated(
            words[index - 3] ^ words[index - 8] ^ words[index - 14] ^ words[index - 16], 1)
        }
      }
      mix(words, into: &state)
    }
    return state.flatMap { word in
      [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: word >> UInt32($0)) }
    }
  }

  private static func mix(_ words: [UInt32], into state: inout [UInt32]) {
    var (a, b, c, d, e) = (state[0], state[1], state[2], state[3], state[4])
    for (index, word) in words.enumerated() {
      let (choice, constant): (UInt32, UInt32) =
        switch index / 20 {
        case 0: (b & c | ~b & d, 0x5a82_7999)
        case 1: (b ^ c ^ d, 0x6ed9_eba1)
        case 2: (b & c | b & d | c & d, 0x8f1b_bcdc)
        default: (b ^ c ^ d, 0xca62_c1d6)
        }
      let next = rotated(a, 5) &+ choice &+ e &+ constant &+ word
      (a, b, c, d, e) = (next, a, rotated(b, 30), c, d)
    }
    for (index, value) in [a, b, c, d, e].enumerated() { state[index] &+= value }
  }

  private static func rotated(_ word: UInt32, _ count: UInt32) -> UInt32 {
    word << count | word >> (32 - count)
  }
}
