import CHTTPParser
import Testing
import Wire

/// Parses a head as the server does: nil when it is not complete.
func parseHead(_ text: [UInt8]) throws(HTTP1Fault) -> HTTP1Head? {
  let fields = UnsafeMutablePointer<HTTP1Field>.allocate(capacity: HTTP1Head.maximumFields)
  defer { fields.deallocate() }
  var result: Result<HTTP1Head?, HTTP1Fault> = .success(nil)
  (text + [0]).withUnsafeBufferPointer { buffer in
    guard let base = buffer.baseAddress, let end = HTTP1Head.end(base, text.count, from: 0) else { return }
    do throws(HTTP1Fault) { result = .success(try HTTP1Head.parseRequest(base, end, fields)) } catch {
      result = .failure(error)
    }
  }
  return try result.get()
}

/// Decodes a chunked body given in pieces of `step` bytes; nil when it is not complete.
func dechunk(_ bytes: [UInt8], step: Int) throws -> [UInt8]? {
  var decoder = ChunkedDecoder()
  var out: [UInt8] = []
  var start = 0
  while start < bytes.count {
    let piece = Array(bytes[start..<min(start + step, bytes.count)])
    start += step
    var at = 0
    scan: while true {
      var event = ChunkedDecoder.Event.needMore
      var fault: HTTP1Fault?
      piece.withUnsafeBufferPointer { buffer in
        guard let base = buffer.baseAddress else { return }
        do throws(HTTP1Fault) { event = try decoder.next(base, buffer.count, at: &at) } catch {
          fault = error
        }
      }
      if let fault { throw fault }
      switch event {
      case .data(let range): out += piece[range]
      case .end: return out
      case .needMore: break scan
      }
    }
  }
  return nil
}

/// What http_parser of Debian makes of a head: whether it takes it, in its strict mode.
func oracleAccepts(_ bytes: [UInt8]) -> Bool {
  var parser = http_parser()
  var settings = http_parser_settings()
  http_parser_init(&parser, HTTP_REQUEST)
  http_parser_settings_init(&settings)
  let parsed = bytes.withUnsafeBytes { raw in
    http_parser_execute(&parser, &settings, raw.baseAddress?.assumingMemoryBound(to: CChar.self), raw.count)
  }
  return parser.http_errno == 0 && parsed == bytes.count
}

@Suite struct HTTP1Tests {
  static let rest = "\r\nhost: a\r\n\r\n"

  @Test(arguments: [
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.0\r\n\r\n", "OPTIONS * HTTP/1.1\r\nhost:a\r\n\r\n",
    "GET /a?b=c%20d HTTP/1.1\r\nHOST: [::1]:80\r\nx: \t y \t\r\nEmpty:\r\n\r\n",
    "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
    "POST / HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: Chunked\r\n\r\n",
    "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-Continue\r\ncontent-length: 5\r\n\r\n",
  ])
  func `good heads are accepted, here and by http_parser`(text: String) throws {
    #expect(try parseHead(Array(text.utf8))?.length == Int32(text.utf8.count))
    #expect(oracleAccepts(Array(text.utf8)))
  }

  @Test(
    arguments: [
      ("GET  / HTTP/1.1" + rest, .target), ("G@T / HTTP/1.1" + rest, .method),
      (" GET / HTTP/1.1" + rest, .method),
      ("\r\nGET / HTTP/1.1" + rest, .method), ("GET /\u{7f} HTTP/1.1" + rest, .target),
      ("GET /é HTTP/1.1" + rest, .target), ("GET /#f HTTP/1.1" + rest, .target),
      ("GET / HTTP/1.1 " + rest, .lineEnd),
      ("GET / HTTP/1.2" + rest, .version), ("GET / HTTP/2.0" + rest, .version), ("GET /" + rest, .version),
      ("GET / http/1.1" + rest, .version), ("GET /a b HTTP/1.1" + rest, .target),
      ("GET http://a/ HTTP/1.1" + rest, .absoluteTarget),
      ("CONNECT a:80 HTTP/1.1" + rest, .absoluteTarget), ("GET / HTTP/1.1\nhost: a\n\n", .lineEnd),
      ("GET / HTTP/1.1\r\nhost: a\n\r\n", .lineEnd), ("GET / HTTP/1.1\r\nhost: a\rb: c\r\n\r\n", .lineEnd),
      ("GET / HTTP/1.1\r\nhost: a\r\nx: b\0c\r\n\r\n", .fieldValue),
      ("GET / HTTP/1.1\r\nhost: a\r\nx: b\r\n c\r\n\r\n", .foldedField),
      ("GET / HTTP/1.1\r\nhost : a\r\n\r\n", .spaceBeforeColon),
      ("GET / HTTP/1.1\r\nhost: a\r\n: b\r\n\r\n", .fieldName),
      ("GET / HTTP/1.1\r\nhost: a\r\nx(y): b\r\n\r\n", .fieldName),
      ("GET / HTTP/1.1\r\nhost: a\r\nxy\r\n\r\n", .lineEnd),
      ("GET / HTTP/1.1\r\n\r\n", .missingHost),
      ("GET / HTTP/1.1\r\nhost: a\r\nHost: a\r\n\r\n", .duplicateHost),
      ("GET / HTTP/1.1\r\nhost: a b\r\n\r\n", .badHost), ("GET / HTTP/1.1\r\nhost: a@b\r\n\r\n", .badHost),
      ("GET / HTTP/1.1\r\nhost: a\r\ncontent-length: +1\r\n\r\n", .contentLength),
      ("GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1, 1\r\n\r\n", .contentLength),
      ("GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 0x1\r\n\r\n", .contentLength),
      ("GET / HTTP/1.1\r\nhost: a\r\ncontent-length:\r\n\r\n", .contentLength),
      ("GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999999999\r\n\r\n", .contentLength),
      (
        "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n", .duplicateContentLength
      ),
      ("GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", .bothLengths),
      ("GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n", .transferEncoding),
      ("GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, chunked\r\n\r\n", .transferEncoding),
      ("GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, identity\r\n\r\n", .transferEncoding),
      ("GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked;q=1\r\n\r\n", .transferEncoding),
      ("GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: \"chunked\"\r\n\r\n", .transferEncoding),
      ("GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: ,chunked\r\n\r\n", .transferEncoding),
      ("GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n", .unknownTransferEncoding),
      ("GET / HTTP/1.1\r\nhost: a\r\ntransfer_encoding: chunked\r\n\r\n", .transferEncoding),
      ("GET / HTTP/1.1\r\nhost: a\r\ncontent_length: 1\r\n\r\n", .contentLength),
      ("GET / HTTP/1.1\r\nhost: a:b\r\n\r\n", .badHost), ("GET / HTTP/1.1\r\nhost: [::1\r\n\r\n", .badHost),
      ("GET / HTTP/1.1\r\nhost: a:65536\r\n\r\n", .badHost),
      ("GET / HTTP/1.1\r\nhost: a:1:2\r\n\r\n", .badHost), ("GET / HTTP/1.1\r\nhost: :80\r\n\r\n", .badHost),
      ("GET / HTTP/1.1\r\nhost: a%2\r\n\r\n", .badHost), ("GET / HTTP/1.1\r\nhost: a,b\r\n\r\n", .badHost),
      ("GET /" + String(repeating: "a", count: HTTP1Head.maximumTarget) + " HTTP/1.1" + rest, .targetTooLong),
      ("GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n", .unknownTransferEncoding),
      (
        "GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
        .transferEncoding
      ),
      ("GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding:\u{b}chunked\r\n\r\n", .fieldValue),
      ("GET / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n", .transferEncodingInOldVersion),
      ("GET / HTTP/1.1\r\nhost: a\r\nexpect: tea\r\n\r\n", .expectation),
      ("GET / HTTP/1.1\r\nhost: a\r\n" + String(repeating: "x: y\r\n", count: 100) + "\r\n", .tooManyFields),
    ] as [(String, HTTP1Fault)])
  func `what two parsers could read differently is refused`(text: String, fault: HTTP1Fault) {
    #expect(throws: fault) { try parseHead(Array(text.utf8)) }
  }

  @Test func `what exceeds a limit is told with the limit and its size`() {
    func message(_ text: String, isWhole: Bool = true) -> String {
      let bytes = Array(text.utf8)
      return bytes.withUnsafeBufferPointer { buffer in
        guard let base = buffer.baseAddress else { return "" }
        guard isWhole else { return HTTP1Head.endless(base, buffer.count).message(base, buffer.count) }
        do throws(HTTP1Fault) {
          _ = try parseHead(bytes)
          return "accepted"
        } catch { return error.message(base, buffer.count) }
      }
    }
    let many = "GET / HTTP/1.1\r\nhost: a\r\n" + String(repeating: "x: y\r\n", count: 149) + "\r\n"
    #expect(message(many) == "more than 100 headers; it has 150")
    let long = "GET /" + String(repeating: "a", count: 20000) + " HTTP/1.1" + Self.rest
    #expect(message(long) == "the request target is longer than 16384 bytes; it has 20001")
    let endless = "GET / HTTP/1.1\r\nx: " + String(repeating: "a", count: 70000)
    let size = endless.utf8.count
    #expect(
      message(endless, isWhole: false)
        == "the head is larger than 65536 bytes; \(size) bytes have arrived and it goes on")
    let line = "GET /" + String(repeating: "a", count: 70000)
    #expect(
      message(line, isWhole: false)
        == "the request target is longer than 16384 bytes; 70001 have arrived and it goes on")
  }

  @Test func `extensions of chunks must not outweigh the body`() throws {
    let name = String(repeating: "x", count: 200)
    let small = Array((String(repeating: "1;\(name)\r\na\r\n", count: 200) + "0\r\n\r\n").utf8)
    #expect(throws: HTTP1Fault.chunkExtension) { try dechunk(small, step: 4096) }
    let part = String(repeating: "a", count: 0x200)
    let large = Array((String(repeating: "200;\(name)\r\n\(part)\r\n", count: 200) + "0\r\n\r\n").utf8)
    #expect(try dechunk(large, step: 4096)?.count == 200 * 0x200)
    let tiny = Array((String(repeating: "1\r\na\r\n", count: 50_000) + "0\r\n\r\n").utf8)
    #expect(try dechunk(tiny, step: 4096)?.count == 50_000)
  }

  @Test(arguments: 1...7) func `a chunked body is the same at any cut`(step: Int) throws {
    let text = "5;a=b\r\nhello\r\n00C\r\n big\r\n world\r\n0\r\nx-t: 1\r\n\r\n"
    let body = try dechunk(Array(text.utf8), step: step)
    #expect(body.map { String(decoding: $0, as: UTF8.self) } == "hello big\r\n world")
  }

  @Test(
    arguments: [
      ("x\r\n", .chunkSize), ("\r\n", .chunkSize), ("-1\r\n", .chunkSize), ("1 \r\nx\r\n", .chunkSize),
      ("0x1\r\n", .chunkSize), ("1\nx\n", .chunkSize), ("fffffffffffffffff\r\n", .chunkSize),
      ("1\r\nxy\r\n", .chunkEnd), ("1\r\nx\n", .chunkEnd), ("1;a\nb\r\n", .chunkExtension),
      ("0\r\n\n", .trailer),
      ("0\r\n x: y\r\n\r\n", .trailer), ("0\r\nx y\r\n\r\n", .trailer), ("0\r\nx: \0\r\n\r\n", .trailer),
    ] as [(String, HTTP1Fault)])
  func `bad chunks are refused`(text: String, fault: HTTP1Fault) {
    #expect(throws: fault) { try dechunk(Array(text.utf8), step: 100) }
    #expect(throws: fault) { try dechunk(Array(text.utf8), step: 1) }
  }

  @Test func `a response head is parsed`() throws {
    let text = "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\nX: y\r\nconnection: close\r\n\r\n"
    let head = try HTTP1ResponseHead.parse(Array(text.utf8)[...])
    #expect(head.status == 404 && head.contentLength == 3 && !head.keepsAlive && head.headers[1].name == "x")
    #expect(throws: HTTP1Fault.self) {
      try HTTP1ResponseHead.parse(Array("HTTP/2 200\r\n\r\n      ".utf8)[...])
    }
  }
}

@Suite struct FrameTests {
  @Test func `frames are taken one by one and broken lengths are refused`() throws {
    let frames = [Frame(.ping, tag: 7), Frame(.output, tag: .max, payload: [1, 2, 3, 4, 5])]
    var bytes = frames.flatMap(\.bytes) + [9]
    #expect(try Frame.take(from: &bytes) == frames[0])
    #expect(try Frame.take(from: &bytes) == frames[1])
    #expect(try Frame.take(from: &bytes) == nil && bytes == [9])
    var short: [UInt8] = [8, 0, 0, 0]
    #expect(throws: FrameHead.Fault.tooShort) { try Frame.take(from: &short) }
    var long: [UInt8] = [255, 255, 255, 255]
    #expect(throws: FrameHead.Fault.self) { try Frame.take(from: &long) }
  }
}
