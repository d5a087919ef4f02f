import Testing
import Wire

/// A head whose fields were put into the table while it was written says what the parser says of its bytes.
@Suite struct HeadTableTests {
  private struct Line {
    var name: String
    var value: String
  }

  private func result(_ read: () throws(HTTP1Fault) -> HTTP1Head) -> Result<HTTP1Head, HTTP1Fault> {
    do throws(HTTP1Fault) { return .success(try read()) } catch { return .failure(error) }
  }

  /// Reads one head both ways; returns the parser's verdict.
  private func compare(_ first: String, _ lines: [Line]) -> Result<HTTP1Head, HTTP1Fault> {
    var bytes = Array(first.utf8)
    let table = UnsafeMutablePointer<HTTP1Field>.allocate(capacity: HTTP1Head.maximumFields)
    let other = UnsafeMutablePointer<HTTP1Field>.allocate(capacity: HTTP1Head.maximumFields)
    table.initialize(repeating: HTTP1Field(), count: HTTP1Head.maximumFields)
    other.initialize(repeating: HTTP1Field(), count: HTTP1Head.maximumFields)
    defer {
      table.deallocate()
      other.deallocate()
    }
    for (index, line) in lines.enumerated() {
      table[index].nameStart = Int32(bytes.count)
      table[index].nameCount = Int32(line.name.utf8.count)
      table[index].valueStart = Int32(bytes.count + line.name.utf8.count + 2)
      table[index].valueCount = Int32(line.value.utf8.count)
      bytes += Array("\(line.name): \(line.value)\r\n".utf8)
    }
    bytes += [0x0d, 0x0a]
    let parsed = result { () throws(HTTP1Fault) in
      try HTTP1Head.parseRequest(bytes, bytes.count, other)
    }
    let filled = result { () throws(HTTP1Fault) in
      try HTTP1Head.parseRequest(bytes, bytes.count, table, known: lines.count)
    }
    #expect(parsed == filled, "\(first)\(lines)")
    if case .success(let head) = parsed {
      #expect((0..<Int(head.fieldCount)).allSatisfy { table[$0] == other[$0] }, "\(first)\(lines)")
    }
    return parsed
  }

  @Test func `heads of any lines are read alike both ways`() {
    let firsts = [
      "GET / HTTP/1.1\r\n", "POST /a?b=%20 HTTP/1.1\r\n", "HEAD /x HTTP/1.1\r\n", "OPTIONS * HTTP/1.1\r\n",
      "CONNECT /w HTTP/1.1\r\n", "GET http://a/ HTTP/1.1\r\n", "GET /a b HTTP/1.1\r\n", "GET  HTTP/1.1\r\n",
      " / HTTP/1.1\r\n", "GET /\u{e9} HTTP/1.1\r\n", "GET /#a HTTP/1.1\r\n",
      "GET /\(String(repeating: "a", count: HTTP1Head.maximumTarget)) HTTP/1.1\r\n",
      "\(String(repeating: "M", count: 33)) / HTTP/1.1\r\n",
    ]
    let names = [
      "host", "host", "content-length", "transfer-encoding", "expect", "connection", "te", "upgrade",
      "cookie",
      "authorization", "x-request-id", "grpc-timeout", "traceparent", "content_length", "transfer_encoding",
      "content-type", "accept", "x-node-id", "user-agent", "a", "!#$%&'*+-.^_`|~0z", "x-forwarded-for",
      "keep-alive", "proxy-connection", "abcdefghijklmno", "abcdefghijklmnop", "abcdefghijklmnopq",
    ]
    let values = [
      "", "0", "5", "05", "5, 5", "-1", "999999999999999999", "9999999999999999999", "chunked", "Chunked",
      "gzip, chunked", "gzip", "x", "100-continue", "100-Continue", "close", "keep-alive, x", "Close , a\tb",
      "a.test", "a.test:80", "a.test:99999", "[::1]:8080", "[::1", "a/b", "h\u{f6}st", "%41", "%4", ":",
      "a b",
      "trailers", "\u{80}\u{ff}", String(repeating: "v", count: 500), "; a", "=",
    ]
    let framing = [
      Line(name: "content-length", value: "5"), Line(name: "transfer-encoding", value: "chunked"),
      Line(name: "expect", value: "100-continue"), Line(name: "connection", value: "close"),
    ]
    var state: UInt64 = 7
    func next(_ count: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % count
    }
    var faults: Set<HTTP1Fault> = []
    var good = 0
    for _ in 0..<20_000 {
      let first = next(3) > 0 ? firsts[next(3)] : firsts[next(firsts.count)]
      var lines = next(4) > 0 ? [Line(name: "host", value: "a.test")] : []
      for _ in 0..<next(6) {
        lines.append(
          next(3) > 0
            ? Line(name: names[next(names.count)], value: values[next(values.count)])
            : framing[next(framing.count)])
      }
      switch compare(first, lines) {
      case .success: good += 1
      case .failure(let fault): faults.insert(fault)
      }
    }
    #expect(good > 2000)
    let wanted: Set<HTTP1Fault> = [
      .method, .target, .targetTooLong, .absoluteTarget, .missingHost, .duplicateHost, .badHost,
      .contentLength,
      .duplicateContentLength, .bothLengths, .transferEncoding, .unknownTransferEncoding, .expectation,
    ]
    #expect(wanted.isSubset(of: faults))
  }

  @Test func `a full table is read alike both ways`() throws {
    var lines = [Line(name: "host", value: "a.test")]
    while lines.count < HTTP1Head.maximumFields { lines.append(Line(name: "x\(lines.count)", value: "v")) }
    #expect(try compare("GET / HTTP/1.1\r\n", lines).get().fieldCount == Int32(HTTP1Head.maximumFields))
  }
}
