/// Why a message is refused: whatever two parsers could read differently, and whatever is too large.
public enum HTTP1Fault: UInt8, Error, Sendable, CaseIterable {
  case method, target, absoluteTarget, version, lineEnd, statusLine
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
    case .expectation: 417
    default: 400
    }
  }

  /// What is wrong and how it should be.
  public var message: String {
    switch self {
    case .method: "the method is not a token followed by one space"
    case .target: "the request target must start with '/' and hold visible ASCII without '#'"
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
    case .badHost: "the Host header is not host or host:port"
    case .contentLength: "Content-Length must be one decimal number"
    case .duplicateContentLength: "Content-Length is given twice"
    case .bothLengths: "Content-Length and Transfer-Encoding exclude each other"
    case .transferEncoding: "Transfer-Encoding is given twice or is empty"
    case .unknownTransferEncoding: "the only Transfer-Encoding is 'chunked'"
    case .transferEncodingInOldVersion: "Transfer-Encoding needs HTTP/1.1"
    case .chunkSize: "a chunk's size is not a hexadecimal number followed by CR LF"
    case .chunkExtension: "a chunk's extension is malformed or longer than 256 bytes"
    case .chunkEnd: "a chunk does not end with CR LF"
    case .trailer: "a trailer is malformed or larger than 8 KiB"
    case .expectation: "the only expectation is '100-continue'"
    }
  }
}
