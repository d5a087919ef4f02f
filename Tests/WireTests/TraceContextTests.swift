import Testing
import Wire

@Suite struct TraceContextTests {
  private func parse(_ text: String) -> TraceContext? {
    var text = text
    return text.withUTF8 { bytes in bytes.baseAddress.flatMap { TraceContext($0, bytes.count) } }
  }

  private let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

  @Test func `a traceparent is read and the next hop gets our span as its parent`() throws {
    var trace = try #require(parse(good))
    #expect(trace.traceText == "0af7651916cd43dd8448eb211c80319c")
    #expect(trace.parentText == "b7ad6b7169203331" && trace.isSampled)
    trace.span = 0x0102_0304_0506_0708
    #expect(trace.spanText == "0102030405060708")
    var bytes = [UInt8](repeating: 0, count: TraceContext.byteCount)
    bytes.withUnsafeMutableBufferPointer { if let base = $0.baseAddress { trace.write(base) } }
    let next = String(decoding: bytes, as: UTF8.self)
    #expect(next == "00-0af7651916cd43dd8448eb211c80319c-0102030405060708-01")
    #expect(parse(next)?.parentText == "0102030405060708")
  }

  @Test(arguments: [
    ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", true, false),
    // Flags that this version doesn't know are not passed on.
    ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff", true, true),
    ("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future-brings", true, true),
    ("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true, true),
    ("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.x", false, false),
    ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x", false, false),
    ("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false, false),
    ("00-00000000000000000000000000000000-b7ad6b7169203331-01", false, false),
    ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false, false),
    ("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", false, false),
    ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0", false, false),
    ("00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01", false, false),
    ("", false, false),
  ]) func `what the recommendation calls invalid is no trace`(text: String, valid: Bool, sampled: Bool) {
    #expect((parse(text) != nil) == valid)
    #expect(parse(text)?.isSampled ?? false == sampled)
  }
}
