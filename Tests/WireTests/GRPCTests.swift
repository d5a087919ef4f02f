import Testing
import Wire

@Suite struct GRPCTests {
  @Test func `messages come out the same at every cut of the body`() throws {
    let messages: [[UInt8]] = [[], [1, 2, 3], Array(repeating: 7, count: 300)]
    let body = messages.flatMap { GRPCFrameHead.framed($0) }
    for step in [1, 2, 3, 7, 308, body.count] {
      var decoder = GRPCMessageDecoder(limit: 300)
      var out: [[UInt8]] = []
      for start in stride(from: 0, to: body.count, by: step) {
        decoder.feed(body[start..<min(start + step, body.count)])
        while let message = try decoder.next() { out.append(message) }
      }
      try decoder.finish()
      #expect(out == messages)
    }
  }

  @Test func `what a unary call may not be is told apart`() {
    for (body, fault) in [
      ([], .notOne(0)), ([0, 0, 0, 0], .truncated), ([0, 0, 0, 0, 2, 1], .truncated),
      ([0, 0, 0, 0, 0, 0, 0, 0, 0, 0], .notOne(2)), ([1, 0, 0, 0, 0], .compressed), ([2], .badFlag(2)),
      ([0, 255, 255, 255, 255], .tooLong(count: 4_294_967_295, limit: 10)),
    ] as [([UInt8], GRPCFault)] {
      #expect(throws: fault) { try GRPCMessageDecoder.unary(body, limit: 10) }
    }
  }

  @Test func `timeouts of every unit are read`() {
    for (text, nanoseconds) in [
      ("1n", 1), ("2u", 2000), ("3m", 3_000_000), ("15S", 15_000_000_000), ("2M", 120_000_000_000),
      ("1H", 3_600_000_000_000), ("99999999H", UInt64.max), ("0S", 0), ("00000001n", 1),
    ] as [(String, UInt64)] {
      #expect(GRPCTimeout.nanoseconds(text.utf8) == nanoseconds, "\(text)")
    }
    for text in ["", "S", "1", "1s", "-1S", "1.5S", "123456789S", " 1S"] {
      #expect(GRPCTimeout.nanoseconds(text.utf8) == nil, "\(text)")
    }
    #expect(GRPCTimeout.milliseconds("1n".utf8) == 1)
    #expect(GRPCTimeout.milliseconds("0n".utf8) == 0)
    #expect(GRPCTimeout.text(nanoseconds: 15_000_000_000) == "15000000u")
    #expect(GRPCTimeout.text(nanoseconds: .max) == "5124095H")
  }

  @Test func `messages of a status survive the encoding of trailers`() {
    #expect(GRPCMessageText.encoded("100% é\n") == "100%25 %C3%A9%0A")
    for text in ["", "plain", "100%", "é😀\u{0}\r\n", "%41"] {
      #expect(GRPCMessageText.decoded(GRPCMessageText.encoded(text)) == text)
    }
    #expect(GRPCMessageText.decoded("50% off %4") == "50% off %4")
    let long = GRPCMessageText.encoded(String(repeating: "é", count: 5000))
    #expect(long.utf8.count <= GRPCMessageText.maximumBytes && long.hasSuffix("%C3%A9"))
  }

  @Test func `statuses map to HTTP by the table of compatible services`() {
    let table = [200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401]
    #expect(GRPCCode.allCases.map(\.httpStatus) == table)
    for code in GRPCCode.allCases where [1, 3, 4, 5, 7, 8, 12, 13, 14, 16].contains(code.rawValue) {
      #expect(GRPCCode(answer: code.httpStatus) == code)
    }
    #expect(GRPCCode(foreign: 404) == .unimplemented && GRPCCode(foreign: 502) == .unavailable)
  }
}
