/// Why a message is refused: whatever two parsers could read differently, and whatever is too large.
public enum HTTP1Fault: UInt8, Error, Sendable, CaseIterable {
  case method, target, targetTooLong, absoluteTarget, version, lineEnd, statusLine
  case fieldName, spaceBeforeColon, fieldValue, foldedField, tooManyFields, headTooLarge
  case missingHost, duplicateHost, badHost
  case contentLength, duplicateContentLength, bothLengths
  case transferEncoding, unknownTransferEncoding, transferEncodingInOldVersion
  case chunkSize, chunkExtension, chunkEnd, trailer
  case expectation

  /// The answer that this fault deserves.
  public var status: Int {
    switch self {
    case .version: 505
    case .unknownTransferEncoding: 501
    case .tooManyFields, .headTooLarge: 431
    case .targetTooLong: 414
    case .expectation: 417
    default: 400
    }
  }

  /// What is wrong and how it should be.
  public var message: String {
    switch self {
    case .method: "the method is not a token followed by one space"
    case .target: "the request target must start with '/' and hold visible ASCII, without '#' or a space"
    case .targetTooLong: "the request target is longer than \(HTTP1Head.maximumTarget) bytes"
    case .absoluteTarget: "the request target must be a path; absolute URIs and CONNECT are for proxies"
    case .version: "the version must be HTTP/1.1 or HTTP/1.0"
    case .lineEnd: "every line must end with CR LF; a bare CR or LF is refused"
    case .statusLine: "the status line is not 'HTTP/1.x NNN reason'"
    case .fieldName: "a header's name must be a token"
    case .spaceBeforeColon: "no space may stand between a header's name and the colon"
    case .fieldValue: "a header's value holds a control byte"
    case .foldedField: "a header may not go on on a second line"
    case .tooManyFields: "more than \(HTTP1Head.maximumFields) headers"
    case .headTooLarge: "the head is larger than \(HTTP1Head.maximumBytes) bytes"
    case .missingHost: "HTTP/1.1 needs a Host header"
    case .duplicateHost: "the Host header is given twice"
    case .badHost: "the Host header is not host or host:port with a port of at most 65535"
    case .contentLength: "Content-Length must be one decimal number, its name spelled with '-'"
    case .duplicateContentLength: "Content-Length is given twice"
    case .bothLengths: "Content-Length and Transfer-Encoding exclude each other"
    case .transferEncoding:
      "Transfer-Encoding must be given once, as the one word 'chunked', its name spelled with '-'"
    case .unknownTransferEncoding: "the only Transfer-Encoding is 'chunked'"
    case .transferEncodingInOldVersion: "Transfer-Encoding needs HTTP/1.1"
    case .chunkSize: "a chunk's size is not a hexadecimal number followed by CR LF"
    case .chunkExtension:
      "a chunk's extension is malformed or longer than 256 bytes, or extensions outweigh the body by 16 KiB"
    case .chunkEnd: "a chunk does not end with CR LF"
    case .trailer: "a trailer is malformed or larger than 8 KiB"
    case .expectation: "the only expectation is '100-continue'"
    }
  }

  /// The same with the actual size, where a limit was exceeded by a head (as far as it came) of `count` bytes at `base`.
  public func message(_ base: UnsafePointer<UInt8>, _ count: Int) -> String {
    switch self {
    case .headTooLarge: return message + "; \(count) bytes have arrived and it goes on"
    case .tooManyFields:
      var lines = 0
      for index in 0..<count where base[index] == 0x0a { lines += 1 }
      return message + "; it has \(max(0, lines - 2))"
    case .targetTooLong:
      var start = 0
      while start < count, base[start] != 0x20 { start += 1 }
      var end = start + 1
      while end < count, base[end] > 0x20 { end += 1 }
      let length = max(0, end - start - 1)
      return message + (end < count ? "; it has \(length)" : "; \(length) have arrived and it goes on")
    default: return message
    }
  }
}
