internal import CLinux

/// Where a header stands in the bytes of its head.
public struct HTTP1Field: Equatable, Sendable {
  public var nameStart: Int32 = 0
  public var nameCount: Int32 = 0
  public var valueStart: Int32 = 0
  public var valueCount: Int32 = 0

  public init() {}
}

/// A parsed head of a request or an answer: places in the bytes that it was parsed from, and what frames the body. Holds
/// no bytes itself.
///
/// The fields go to a table of `maximumFields` that the caller owns, one per event loop, so that a head costs no memory.
public struct HTTP1Head: Equatable, Sendable {
  public static let maximumFields = 100
  public static let maximumBytes = 65536
  /// Bytes of a request target.
  public static let maximumTarget = 16384

  /// Of an answer; 0 in a request.
  public var status: Int32 = 0
  public var methodCount: Int32 = 0
  public var targetStart: Int32 = 0
  public var targetCount: Int32 = 0
  public var minorVersion: UInt8 = 1
  public var fieldCount: Int32 = 0
  /// Bytes of the head with the empty line.
  public var length: Int32 = 0
  /// Bytes of the body; -1 when there is no Content-Length.
  public var contentLength = -1
  public var isChunked = false
  /// The method is HEAD: its answer has no body.
  public var isHEAD = false
  public var keepsAlive = true
  public var expectsContinue = false
  /// Places in the table of fields, -1 when absent.
  public var host: Int32 = -1
  public var authorization: Int32 = -1
  public var requestID: Int32 = -1
  public var grpcTimeout: Int32 = -1
  /// -2 when it is given twice: no trace is better than the wrong one.
  public var traceparent: Int32 = -1
  var sawClose = false
  var sawKeepAlive = false

  public init() {}

  /// Whether a body follows the head.
  public var hasBody: Bool { isChunked || contentLength > 0 }

  /// Offset behind the empty line that ends a head, looking from `from` on; nil when it has not arrived.
  ///
  /// A bare LF counts as a line's end here, so that a malformed head is refused at once and not waited for.
  public static func end(_ base: UnsafePointer<UInt8>, _ count: Int, from: Int) -> Int? {
    var at = from > 3 ? from - 3 : 0
    while at < count {
      at += scan_byte(base + at, count - at, 0x0a)
      if at + 1 < count, base[at + 1] == 0x0a { return at + 2 }
      if at + 2 < count, base[at + 1] == 0x0d, base[at + 2] == 0x0a { return at + 3 }
      at += 1
    }
    return nil
  }

  /// Why a head without an end is refused after `maximumBytes`: its first line may be what is too long.
  public static func endless(_ base: UnsafePointer<UInt8>, _ count: Int) -> HTTP1Fault {
    for index in 0..<min(count, maximumTarget) where base[index] == 0x0a { return .headTooLarge }
    return .targetTooLong
  }

  /// Parses a whole request head that ends at `count`.
  public static func parseRequest(
    _ base: UnsafePointer<UInt8>, _ count: Int, _ fields: UnsafeMutablePointer<HTTP1Field>
  ) throws(HTTP1Fault) -> HTTP1Head {
    var head = HTTP1Head()
    let from = try head.parseRequestLine(base, count)
    try head.parseFields(base, count, from: from, fields, isRequest: true)
    guard head.minorVersion == 0 || head.host >= 0 else { throw .missingHost }
    return head
  }

  /// The same of a head that was put together of checked parts: its first `known` fields, which are all, are in the table.
  ///
  /// Says what `parseRequest` says if each name is a token, each value without control bytes and without a space or a tab
  /// at its ends, and each line `name: value` with CR LF.
  public static func parseRequest(
    _ base: UnsafePointer<UInt8>, _ count: Int, _ fields: UnsafeMutablePointer<HTTP1Field>, known: Int
  ) throws(HTTP1Fault) -> HTTP1Head {
    var head = HTTP1Head()
    _ = try head.parseRequestLine(base, count)
    for index in 0..<known {
      try head.note(base, fields[index], true)
      head.fieldCount += 1
    }
    try head.endFields(count)
    guard head.minorVersion == 0 || head.host >= 0 else { throw .missingHost }
    return head
  }

  /// Returns where the fields begin.
  private mutating func parseRequestLine(
    _ base: UnsafePointer<UInt8>, _ count: Int
  ) throws(HTTP1Fault) -> Int {
    let method = scan_token(base, count)
    guard method > 0, method <= 32, method < count, base[method] == 0x20 else { throw .method }
    methodCount = Int32(truncatingIfNeeded: method)
    isHEAD = method == 4 && Self.equals(base, "HEAD")
    let start = method + 1
    let target = scan_until(base + start, count - start, 0x20)
    let end = start + target
    guard end < count, base[end] == 0x20 else {
      throw end < count && (base[end] == 0x0a || base[end] == 0x0d) ? .version : .target
    }
    try Self.checkTarget(base, method, start, target)
    targetStart = Int32(truncatingIfNeeded: start)
    targetCount = Int32(truncatingIfNeeded: target)
    let version = end + 1
    guard count - version >= 10, Self.equals(base + version, "HTTP/1.") else {
      // Where no version follows, a space stood within the target.
      throw count - version < 5 || Self.equalsLower(base + version, 5, "http/") ? .version : .target
    }
    guard base[version + 7] == 0x31 || base[version + 7] == 0x30 else { throw .version }
    minorVersion = base[version + 7] - 0x30
    guard base[version + 8] == 0x0d, base[version + 9] == 0x0a else { throw .lineEnd }
    return version + 10
  }

  private static func checkTarget(
    _ base: UnsafePointer<UInt8>, _ method: Int, _ start: Int, _ count: Int
  ) throws(HTTP1Fault) {
    guard count > 0 else { throw .target }
    guard count <= maximumTarget else { throw .targetTooLong }
    if base[start] != 0x2f {
      if count == 1, base[start] == 0x2a, method == 7, equals(base, "OPTIONS") { return }
      let first = base[start]
      let isLetter = (0x41...0x5a).contains(first) || (0x61...0x7a).contains(first)
      throw isLetter || (0x30...0x39).contains(first) ? .absoluteTarget : .target
    }
    for index in start..<(start + count)
    where base[index] == 0x23 || base[index] == 0x09 || base[index] > 0x7e {
      throw .target
    }
  }

  /// Parses the fields and their empty line, which must end at `count`.
  mutating func parseFields(
    _ base: UnsafePointer<UInt8>, _ count: Int, from: Int, _ fields: UnsafeMutablePointer<HTTP1Field>,
    isRequest: Bool
  ) throws(HTTP1Fault) {
    var at = from
    while true {
      guard at + 1 < count else { throw .lineEnd }
      if base[at] == 0x0d {
        guard base[at + 1] == 0x0a else { throw .lineEnd }
        at += 2
        break
      }
      guard fieldCount < Self.maximumFields else { throw .tooManyFields }
      guard base[at] != 0x20, base[at] != 0x09 else { throw .foldedField }
      let name = scan_token(base + at, count - at)
      let colon = at + name
      guard colon < count, base[colon] == 0x3a, name > 0 else {
        if colon < count, base[colon] == 0x0a || base[colon] == 0x0d { throw .lineEnd }
        let space = colon < count && (base[colon] == 0x20 || base[colon] == 0x09)
        throw name > 0 && space ? .spaceBeforeColon : .fieldName
      }
      var value = colon + 1
      while value < count, base[value] == 0x20 || base[value] == 0x09 { value += 1 }
      var end = value + scan_until(base + value, count - value, 0x0d)
      guard end + 1 < count else { throw .lineEnd }
      guard base[end] == 0x0d else { throw base[end] == 0x0a ? .lineEnd : .fieldValue }
      guard base[end + 1] == 0x0a else { throw .lineEnd }
      let next = end + 2
      while end > value, base[end - 1] == 0x20 || base[end - 1] == 0x09 { end -= 1 }
      var field = HTTP1Field()
      field.nameStart = Int32(truncatingIfNeeded: at)
      field.nameCount = Int32(truncatingIfNeeded: name)
      field.valueStart = Int32(truncatingIfNeeded: value)
      field.valueCount = Int32(truncatingIfNeeded: end - value)
      fields[Int(fieldCount)] = field
      try note(base, field, isRequest)
      fieldCount += 1
      at = next
    }
    guard at == count else { throw .lineEnd }
    try endFields(at)
  }

  /// What only all fields together tell.
  private mutating func endFields(_ at: Int) throws(HTTP1Fault) {
    guard !isChunked || contentLength < 0 else { throw .bothLengths }
    guard !isChunked || minorVersion == 1 else { throw .transferEncodingInOldVersion }
    keepsAlive = minorVersion == 1 ? !sawClose : sawKeepAlive && !sawClose
    length = Int32(truncatingIfNeeded: at)
  }

  /// Looks at the headers that frame the message or that the gateway needs.
  private mutating func note(
    _ base: UnsafePointer<UInt8>, _ field: HTTP1Field, _ isRequest: Bool
  ) throws(HTTP1Fault) {
    let name = base + Int(field.nameStart)
    let value = base + Int(field.valueStart)
    let count = Int(field.valueCount)
    func named(_ text: StaticString) -> Bool {
      scan_equals_lower(name, text.utf8Start, text.utf8CodeUnitCount) != 0
    }
    // The length first, and alone: so it becomes one jump.
    switch field.nameCount {
    case 4:
      guard isRequest, named("host") else { return }
      guard host < 0 else { throw .duplicateHost }
      try Self.checkHost(value, count)
      host = fieldCount
    case 6:
      guard isRequest, named("expect") else { return }
      guard count == 12, Self.equalsLower(value, count, "100-continue") else { throw .expectation }
      expectsContinue = true
    case 10: if named("connection") { noteConnection(value, count) }
    case 11: if isRequest, named("traceparent") { traceparent = traceparent == -1 ? fieldCount : -2 }
    case 12:
      guard isRequest else { return }
      if requestID < 0, named("x-request-id") { requestID = fieldCount }
      if grpcTimeout < 0, named("grpc-timeout") { grpcTimeout = fieldCount }
    case 13:
      guard isRequest, named("authorization") else { return }
      // Two different credentials are as ambiguous as two lengths: the second one makes both void.
      authorization = authorization == -1 ? fieldCount : -2
    // Behind us the spellings with '_' may be taken for the real ones (CGI makes '_' of '-').
    case 14:
      guard !named("content_length") else { throw .contentLength }
      guard named("content-length") else { return }
      guard contentLength < 0 else { throw .duplicateContentLength }
      contentLength = try Self.decimal(value, count)
    case 17:
      guard !named("transfer_encoding") else { throw .transferEncoding }
      guard named("transfer-encoding") else { return }
      guard !isChunked, count > 0 else { throw .transferEncoding }
      guard Self.equalsLower(value, count, "chunked") else { throw Self.otherEncoding(value, count) }
      isChunked = true
    default: break
    }
  }

  private static func decimal(_ value: UnsafePointer<UInt8>, _ count: Int) throws(HTTP1Fault) -> Int {
    guard (1...18).contains(count) else { throw .contentLength }
    var number = 0
    for index in 0..<count {
      guard (0x30...0x39).contains(value[index]) else { throw .contentLength }
      number = number * 10 + Int(value[index] - 0x30)
    }
    return number
  }

  /// Codings that exist and that nobody here undoes are refused as such; what may hide "chunked" is malformed.
  private static func otherEncoding(_ value: UnsafePointer<UInt8>, _ count: Int) -> HTTP1Fault {
    var start = 0
    while start < count {
      let name = scan_token(value + start, count - start)
      let known =
        equalsLower(value + start, name, "gzip") || equalsLower(value + start, name, "deflate")
        || equalsLower(value + start, name, "compress") || equalsLower(value + start, name, "x-gzip")
      start += name
      // At the end of a list "chunked" is right, but what it frames would still be encoded.
      if !known {
        return equalsLower(value + start - name, name, "chunked") && start == count && name < count
          ? .unknownTransferEncoding : .transferEncoding
      }
      if start == count { return .unknownTransferEncoding }
      guard value[start] == 0x2c else { return .transferEncoding }
      start += 1
      while start < count, value[start] == 0x20 { start += 1 }
    }
    return .transferEncoding
  }

  /// `host`, `host:port` or `[address]:port`; may be empty (RFC 9110 7.2).
  private static func checkHost(_ value: UnsafePointer<UInt8>, _ count: Int) throws(HTTP1Fault) {
    var at = 0
    if count > 0, value[0] == 0x5b {
      at = 1
      while at < count, value[at] != 0x5d {
        guard isHexadecimal(value[at]) || value[at] == 0x3a || value[at] == 0x2e else { throw .badHost }
        at += 1
      }
      guard at > 2, at < count else { throw .badHost }
      at += 1
    } else {
      while at < count, value[at] != 0x3a {
        switch value[at] {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x7e: break
        case 0x21, 0x24, 0x26...0x2b, 0x3b, 0x3d: break
        case 0x25:
          guard at + 2 < count, isHexadecimal(value[at + 1]), isHexadecimal(value[at + 2]) else {
            throw .badHost
          }
        default: throw .badHost
        }
        at += 1
      }
      guard at > 0 || count == 0 else { throw .badHost }
    }
    guard at < count else { return }
    guard value[at] == 0x3a, count - at <= 6 else { throw .badHost }
    var port = 0
    for index in (at + 1)..<count {
      guard (0x30...0x39).contains(value[index]) else { throw .badHost }
      port = port * 10 + Int(value[index] - 0x30)
    }
    guard port <= 65535 else { throw .badHost }
  }

  private static func isHexadecimal(_ byte: UInt8) -> Bool {
    (0x30...0x39).contains(byte) || (0x41...0x46).contains(byte) || (0x61...0x66).contains(byte)
  }

  private mutating func noteConnection(_ value: UnsafePointer<UInt8>, _ count: Int) {
    var start = 0
    while start < count {
      var end = start
      while end < count, value[end] != 0x2c { end += 1 }
      var first = start
      var last = end
      while first < last, value[first] == 0x20 || value[first] == 0x09 { first += 1 }
      while last > first, value[last - 1] == 0x20 || value[last - 1] == 0x09 { last -= 1 }
      if Self.equalsLower(value + first, last - first, "close") { sawClose = true }
      if Self.equalsLower(value + first, last - first, "keep-alive") { sawKeepAlive = true }
      start = end + 1
    }
  }

  static func equals(_ base: UnsafePointer<UInt8>, _ text: StaticString) -> Bool {
    for index in 0..<text.utf8CodeUnitCount where base[index] != text.utf8Start[index] { return false }
    return true
  }

  static func equalsLower(_ base: UnsafePointer<UInt8>, _ count: Int, _ text: StaticString) -> Bool {
    count == text.utf8CodeUnitCount && scan_equals_lower(base, text.utf8Start, count) != 0
  }
}
