/// Why a call has no good answer.
public struct ClientError: Error, Sendable {
  public enum Kind: Sendable, Equatable {
    /// The server answered with an error; the word of its code, like `NOT_FOUND`.
    case refused(String)
    /// Nobody answers there.
    case unreachable
    case timeout
    /// What answers is not this server, or another version.
    case malformed
    /// The address can't be used.
    case address
  }

  public var kind: Kind
  public var message: String
  /// The field of the request that is wrong.
  public var field: String?
  public var requestID: String?
  /// Exception class of a cell's code.
  public var errorName: String?
  /// Traceback of a cell's code.
  public var traceback: [String]

  public init(
    _ kind: Kind, _ message: String, field: String? = nil, requestID: String? = nil,
    errorName: String? = nil, traceback: [String] = []
  ) {
    self.kind = kind
    self.message = message
    self.field = field
    self.requestID = requestID
    self.errorName = errorName
    self.traceback = traceback
  }

  /// Whether the code of a cell failed, not the platform.
  public var isUserCode: Bool { errorName != nil || !traceback.isEmpty }

  /// Reads an error answer: problem details of the management API or `google.rpc.Status` of an execute.
  static func parsed(status: Int, body: [UInt8], requestID: String?) -> ClientError {
    guard let tree = try? JSONTree(parsing: body), tree.isObject else {
      let text = String(decoding: body.prefix(300), as: UTF8.self)
      return ClientError(
        .refused(word(forStatus: status)), text.isEmpty ? "the server answered with status \(status)" : text,
        requestID: requestID)
    }
    if let detail = tree["detail"]?.stringValue {
      return ClientError(
        .refused(tree["code"]?.stringValue ?? word(forStatus: status)), detail,
        field: tree["field"]?.stringValue,
        requestID: tree["requestId"]?.stringValue ?? requestID)
    }
    var error = ClientError(
      .refused(tree["code"]?.integerValue.flatMap(word(forCode:)) ?? word(forStatus: status)),
      tree["message"]?.stringValue ?? "the server answered with status \(status)", requestID: requestID)
    for detail in tree["details"]?.arrayValue ?? [] {
      error.errorName = error.errorName ?? detail["error_name"]?.stringValue
      if let lines = detail["traceback"]?.arrayValue { error.traceback = lines.compactMap(\.stringValue) }
    }
    return error
  }

  /// The word of a number of `google.rpc.Code`.
  public static func word(forCode code: Int) -> String? {
    let words = [
      "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
      "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
      "UNIMPLEMENTED",
      "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
    ]
    return words.indices.contains(code) ? words[code] : nil
  }

  private static func word(forStatus status: Int) -> String {
    switch status {
    case 400: "INVALID_ARGUMENT"
    case 401: "UNAUTHENTICATED"
    case 403: "PERMISSION_DENIED"
    case 404: "NOT_FOUND"
    case 409: "ALREADY_EXISTS"
    case 413, 429: "RESOURCE_EXHAUSTED"
    case 502, 503: "UNAVAILABLE"
    case 504: "DEADLINE_EXCEEDED"
    default: "INTERNAL"
    }
  }
}
