import Testing
import Wire

@Suite struct NetworkTests {
  private func parse(_ bytes: [UInt8]) throws(ProxyHeader.Fault) -> ProxyHeader {
    let result = bytes.withUnsafeBufferPointer { buffer -> Result<ProxyHeader, ProxyHeader.Fault> in
      guard let base = buffer.baseAddress, buffer.count >= 16 else { return .failure(.tooShort) }
      return Result { () throws(ProxyHeader.Fault) in
        let length = try ProxyHeader.length(base)
        guard length <= buffer.count else { throw .tooShort }
        return try ProxyHeader(base, length)
      }
    }
    return try result.get()
  }

  @Test(arguments: [
    ("tcp4", ProxyHeader.Source.address(NetworkAddress(v4: 0xc000_0207), port: 40001)),
    ("tcp6", .address(NetworkAddress(high: 0x2001_0db8_0000_0000, low: 7), port: 40001)),
    ("unix", .unix), ("local", .connection), ("local-junk", .connection), ("unspec", .connection),
    ("extras", .address(NetworkAddress(v4: 0xc000_0207), port: 40001)),
    ("checksum", .address(NetworkAddress(v4: 0xc000_0207), port: 40001)),
  ]) func `a header says who the connection is from`(_ name: String, _ source: ProxyHeader.Source) throws {
    #expect(try parse(contents("Fuzz/corpora/network/\(name)")).source == source)
  }

  @Test(arguments: [
    ("udp4", ProxyHeader.Fault.family), ("bad-checksum", .checksum), ("cut-extra", .extras),
    ("short", .tooShort),
    ("version-1", .signature), ("version-3", .version), ("command-2", .command), ("long", .tooLong),
  ]) func `what is not exactly a header is refused`(_ name: String, _ fault: ProxyHeader.Fault) throws {
    #expect(throws: fault) { try parse(contents("Fuzz/corpora/network/\(name)")) }
  }

  @Test(arguments: [
    ("10.0.0.0/8", "10.255.0.1", true), ("10.0.0.0/8", "11.0.0.0", false),
    ("192.0.2.7", "192.0.2.7", true), ("192.0.2.7", "192.0.2.6", false), ("0.0.0.0/0", "8.8.8.8", true),
    ("0.0.0.0/0", "2001:db8::1", false), ("10.0.0.0/8", "::ffff:10.1.2.3", true),
    ("2001:db8::/32", "2001:db8:ffff::1", true), ("2001:db8::/33", "2001:db8:ffff::1", false),
    ("::1", "::1", true), ("::/0", "10.0.0.1", true), ("fe80::/10", "febf::1", true),
  ]) func `ranges hold their addresses`(_ range: String, _ address: String, _ isIn: Bool) throws {
    let address = try #require(NetworkAddress(address))
    #expect(try #require(NetworkRange(range)).contains(address) == isIn)
  }

  @Test(arguments: [
    "", "10.0.0.1/8", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/", "10.0.0.0/+8", "010.0.0.0", "1.2.3.4::", ":::",
    "1::2::3", "2001:db8::/129", "::1%lo", "[::1]", "localhost", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9",
    "12345::",
    "+1::",
  ]) func `what is no range is refused`(_ text: String) {
    #expect(NetworkRange(text) == nil)
    #expect(throws: NetworkPeers.BadEntry.self) { try NetworkPeers(list: text) }
  }
}

@Suite struct WebSocketKeyTests {
  /// The example of RFC 6455, 1.3, and answers that Python's hashlib gave.
  @Test(
    arguments: [
      ("dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
      ("AAAAAAAAAAAAAAAAAAAAAA==", "ICX+Yqv66kxgM0FcWaLWlFLwTAI="),
      ("x3JJHMbDL1EzLkh9GBhXDw==", "HSmrc0sMlYUkAGmm5OPpG2HaGWk="),
    ] as [(String, String)]) func `a key is answered as the standard says`(key: String, answer: String)
  {
    #expect(WebSocketKey.answer(Array(key.utf8)) == Array(answer.utf8))
  }
}

@Suite struct ContentEncodingTests {
  /// `zlib.compress(b"a" * 5000)` and `gzip.compress(b"a" * 5000, mtime=0)` of Python.
  private static let packed: [ContentEncoding: [UInt8]] = [
    .deflate: [
      120, 156, 237, 193, 49, 1, 0, 0, 0, 194, 160, 172, 235, 95, 194, 20, 126, 64, 1, 0, 0, 0, 0, 111, 3, 75,
      111, 102, 242,
    ],
    .gzip: [
      31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 237, 193, 49, 1, 0, 0, 0, 194, 160, 172, 235, 95, 194, 20, 126, 64, 1,
      0, 0, 0, 0, 111, 3, 118, 89, 244, 76, 136, 19, 0, 0,
    ],
  ]

  private func unpack(_ encoding: ContentEncoding, _ bytes: [UInt8], limit: Int) throws -> [UInt8] {
    try bytes.withUnsafeBufferPointer {
      try encoding.unpacked(try #require($0.baseAddress), $0.count, limit: limit)
    }
  }

  @Test(arguments: [ContentEncoding.gzip, .deflate]) func `a packed body is unpacked up to its limit`(
    encoding: ContentEncoding
  ) throws {
    let bytes = try #require(Self.packed[encoding])
    #expect(try unpack(encoding, bytes, limit: 5000) == [UInt8](repeating: 0x61, count: 5000))
    #expect(try unpack(encoding, bytes, limit: 1 << 20).count == 5000)
    #expect(throws: ContentEncoding.Fault.tooLong) { try unpack(encoding, bytes, limit: 4999) }
    for count in 1..<bytes.count {
      #expect(throws: ContentEncoding.Fault.malformed) {
        try unpack(encoding, Array(bytes[..<count]), limit: 1 << 20)
      }
    }
    #expect(throws: ContentEncoding.Fault.malformed) { try unpack(encoding, bytes + [0], limit: 1 << 20) }
    let other = try #require(Self.packed[encoding == .gzip ? .deflate : .gzip])
    #expect(throws: ContentEncoding.Fault.malformed) { try unpack(encoding, other, limit: 1 << 20) }
  }

  @Test func `encodings are known by their names`() {
    #expect(ContentEncoding("GZIP") == .gzip && ContentEncoding("deflate") == .deflate)
    #expect(ContentEncoding("br") == nil && ContentEncoding("gzip, gzip") == nil)
  }
}
