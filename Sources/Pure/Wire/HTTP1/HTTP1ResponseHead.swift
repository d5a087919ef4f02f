/// A parsed response head, for clients.
public struct HTTP1ResponseHead: Sendable {
  public var status: Int
  public var headers: [(name: String, value: String)]
  /// Bytes of the body; nil when there is no Content-Length.
  public var contentLength: Int?
  public var isChunked: Bool
  public var keepsAlive: Bool
  /// Bytes of the head with the empty line.
  public var length: Int

  /// Parses a whole head, empty line included; `bytes` ends there.
  public static func parse(_ bytes: ArraySlice<UInt8>) throws(HTTP1Fault) -> HTTP1ResponseHead {
    var result: Result<HTTP1ResponseHead, HTTP1Fault> = .failure(.statusLine)
    bytes.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      withUnsafeTemporaryAllocation(of: HTTP1Field.self, capacity: HTTP1Head.maximumFields) { fields in
        guard let table = fields.baseAddress else { return }
        do throws(HTTP1Fault) { result = .success(try parse(base, buffer.count, table)) } catch {
          result = .failure(error)
        }
      }
    }
    return try result.get()
  }

  private static func parse(
    _ base: UnsafePointer<UInt8>, _ count: Int, _ fields: UnsafeMutablePointer<HTTP1Field>
  ) throws(HTTP1Fault) -> HTTP1ResponseHead {
    let head = try HTTP1Head.parseResponse(base, count, fields)
    func text(_ start: Int32, _ count: Int32) -> String {
      String(decoding: UnsafeBufferPointer(start: base + Int(start), count: Int(count)), as: UTF8.self)
    }
    let headers = (0..<Int(head.fieldCount)).map { index in
      (
        name: text(fields[index].nameStart, fields[index].nameCount).lowercased(),
        value: text(fields[index].valueStart, fields[index].valueCount)
      )
    }
    return HTTP1ResponseHead(
      status: Int(head.status), headers: headers,
      contentLength: head.contentLength < 0 ? nil : head.contentLength,
      isChunked: head.isChunked, keepsAlive: head.keepsAlive, length: Int(head.length))
  }
}

extension HTTP1Head {
  /// Parses a whole head of an answer that ends at `count`; `fields` holds `maximumFields`.
  public static func parseResponse(
    _ base: UnsafePointer<UInt8>, _ count: Int, _ fields: UnsafeMutablePointer<HTTP1Field>
  ) throws(HTTP1Fault) -> HTTP1Head {
    guard count >= 15, equals(base, "HTTP/1."), base[7] == 0x30 || base[7] == 0x31, base[8] == 0x20
    else { throw .statusLine }
    var head = HTTP1Head()
    for index in 9..<12 {
      guard (0x30...0x39).contains(base[index]) else { throw .statusLine }
      head.status = head.status * 10 + Int32(base[index] - 0x30)
    }
    guard (100...599).contains(head.status), base[12] == 0x20 || base[12] == 0x0d else { throw .statusLine }
    var at = 12
    while at < count, base[at] != 0x0d {
      guard base[at] >= 0x20 || base[at] == 0x09, base[at] != 0x7f else { throw .statusLine }
      at += 1
    }
    guard at + 1 < count, base[at + 1] == 0x0a else { throw .lineEnd }
    head.minorVersion = base[7] - 0x30
    try head.parseFields(base, count, from: at + 2, fields, isRequest: false)
    return head
  }
}
