import Domain
import FoundationEssentials
import HTTPModel

/// Makes answers of values and errors.
enum Answer {
  static func json(_ value: some Encodable, status: Int = 200) throws(PlatformError) -> HTTPResponse {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    do {
      let body = try encoder.encode(value)
      return HTTPResponse(status: status, headers: [("content-type", "application/json")], body: Array(body))
    } catch { throw PlatformError(.internal, "the answer could not be encoded", cause: error) }
  }

  static func empty() -> HTTPResponse { HTTPResponse(status: 204) }

  static func text(_ text: String, type: String = "text/plain; charset=utf-8", status: Int = 200)
    -> HTTPResponse
  {
    HTTPResponse(status: status, headers: [("content-type", type)], body: Array(text.utf8))
  }

  /// RFC 9457 problem details.
  private struct Problem: Encodable {
    var type: String
    var title: String
    var status: Int
    var detail: String
    var instance: String
    var code: String
    var field: String?
    var requestId: String
  }

  /// - Parameter status: instead of that of the error's code.
  static func problem(
    _ error: PlatformError, for request: HTTPRequest, status wanted: Int? = nil
  ) -> HTTPResponse {
    let status = wanted ?? error.code.httpStatus
    let word = Self.word(error.code)
    let path = String(request.target.prefix { $0 != "?" })
    let problem = Problem(
      type: "about:blank", title: word.lowercased().split(separator: "_").joined(separator: " "),
      status: status,
      detail: error.message, instance: path, code: word, field: error.field, requestId: request.requestID)
    var headers = [("content-type", "application/problem+json"), ("x-roost-fault", error.origin.rawValue)]
    if status == 401 {
      // RFC 6750, 3.1: who showed no token is told of no error in it.
      let fault = request.header("authorization") == nil ? "" : ", error=\"invalid_token\""
      headers.append(("www-authenticate", "Bearer realm=\"roost\"\(fault)"))
    }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    let body = (try? encoder.encode(problem)).map { Array($0) } ?? []
    return HTTPResponse(status: status, headers: headers.map { (name: $0.0, value: $0.1) }, body: body)
  }

  /// `google.rpc.Status`, what the paths answer with that compatible clients know.
  static func status(_ error: PlatformError) -> HTTPResponse {
    let status = StatusResource(code: error.code.rpcCode, message: error.message)
    let body = (try? JSONEncoder().encode(status)).map { Array($0) } ?? []
    return HTTPResponse(
      status: error.code.httpStatus,
      headers: [
        (name: "content-type", value: "application/json"),
        (name: "x-roost-fault", value: error.origin.rawValue),
      ], body: body)
  }

  /// `invalidArgument` → `INVALID_ARGUMENT`.
  static func word(_ code: PlatformError.Code) -> String {
    var result = ""
    for character in code.rawValue {
      if character.isUppercase { result.append("_") }
      result += character.uppercased()
    }
    return result
  }
}
