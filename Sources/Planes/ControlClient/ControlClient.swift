internal import Domain
internal import FoundationEssentials
internal import HTTPModel
internal import HTTPTransport

/// Typed client of the REST API. Blocks; made for tools, not for services.
public struct ControlClient: Sendable {
  public let url: String
  private let address: ServerAddress
  private let token: String?

  /// Throws when the address can't be used. Nothing is sent yet.
  public init(url: String, token: String?) throws(ClientError) {
    var text = url
    while text.hasSuffix("/") { text.removeLast() }
    self.url = text
    address = try ServerAddress(text)
    self.token = token
  }

  /// The line of a head that says who calls.
  var credentials: String { token.map { "authorization: Bearer \($0)\r\n" } ?? "" }

  // MARK: Calls

  /// Calls the server; the body of its good answer.
  public func call(
    _ method: String, _ path: String, query: [(String, String)] = [], body: [UInt8] = [],
    timeout: Duration = .seconds(60)
  ) throws(ClientError) -> [UInt8] {
    var headers: [(name: String, value: String)] = [("accept", "application/json")]
    if let token { headers.append(("authorization", "Bearer \(token)")) }
    if !body.isEmpty { headers.append(("content-type", "application/json")) }
    let target = path + Self.encoded(query)
    let client = HTTPClient(host: address.host, port: address.port, timeout: timeout)
    let response: HTTPResponse
    do throws(HTTPClientError) {
      response = try client.send(HTTPRequest(method: method, target: target, headers: headers, body: body))
    } catch {
      throw ClientError(Self.kind(of: error), "\(error.message) (\(url))")
    }
    guard (200..<300).contains(response.status) else {
      let id = response.headers.first { $0.name == "x-request-id" }?.value
      throw ClientError.parsed(status: response.status, body: response.body, requestID: id)
    }
    return response.body
  }

  func decode<Value: Decodable>(_ type: Value.Type = Value.self, _ bytes: [UInt8]) throws(ClientError)
    -> Value
  {
    do { return try JSONDecoder().decode(Value.self, from: Data(bytes)) } catch {
      throw ClientError(.malformed, "the answer of \(url) is not what this version expects: \(error)")
    }
  }

  func get<Value: Decodable>(
    _ path: String, query: [(String, String)] = [], timeout: Duration = .seconds(60)
  ) throws(ClientError) -> Value {
    try decode(Value.self, try call("GET", path, query: query, timeout: timeout))
  }

  func send<Value: Decodable>(
    _ method: String, _ path: String, query: [(String, String)] = [], _ body: some Encodable
  ) throws(ClientError) -> Value {
    try decode(Value.self, try call(method, path, query: query, body: try Self.encode(body)))
  }

  func send<Value: Decodable>(_ method: String, _ path: String) throws(ClientError) -> Value {
    try decode(Value.self, try call(method, path))
  }

  /// Every page of a listing, at most `limit` items.
  func all<Item: Listed>(
    _ path: String, query: [(String, String)] = [], limit: Int? = nil
  ) throws(ClientError) -> ListResource<Item> {
    var items: [Item] = []
    var token: String?
    repeat {
      var parameters = query
      if let limit { parameters.append(("page_size", String(min(max(limit - items.count, 1), 1000)))) }
      if let token { parameters.append(("page_token", token)) }
      let page: ListResource<Item> = try get(path, query: parameters)
      items += page.items
      token = page.nextPageToken
    } while token != nil && items.count < limit ?? Int.max
    return ListResource(items: Array(items.prefix(limit ?? Int.max)), nextPageToken: token)
  }

  // MARK: Text

  static func encode(_ value: some Encodable) throws(ClientError) -> [UInt8] {
    do { return Array(try JSONEncoder().encode(value)) } catch {
      throw ClientError(.malformed, "the request can't be written as JSON: \(error)")
    }
  }

  private static func kind(of error: HTTPClientError) -> ClientError.Kind {
    switch error.kind {
    case .timeout: .timeout
    case .malformed: .malformed
    case .unreachable, .broken, .stopped: .unreachable
    }
  }

  private static func encoded(_ query: [(String, String)]) -> String {
    query.isEmpty ? "" : "?" + query.map { "\($0.0)=\(escaped($0.1))" }.joined(separator: "&")
  }

  /// Percent-encodes what a path segment or a query value may not hold.
  static func escaped(_ text: String) -> String {
    var result = ""
    for byte in text.utf8 {
      let scalar = Unicode.Scalar(byte)
      if scalar.isASCII,
        scalar.properties.isAlphabetic || scalar.properties.numericType != nil
          || "-._~".unicodeScalars.contains(scalar)
      {
        result.unicodeScalars.append(scalar)
      } else {
        result += (byte < 16 ? "%0" : "%") + String(byte, radix: 16, uppercase: true)
      }
    }
    return result
  }
}
