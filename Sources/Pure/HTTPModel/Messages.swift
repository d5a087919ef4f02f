/// A whole request of the management API: head and body in memory.
public struct HTTPRequest: Sendable {
  public var method: String
  /// Origin form: path and query as sent.
  public var target: String
  /// In order of arrival; names in lower case.
  public var headers: [(name: String, value: String)]
  public var body: [UInt8]
  public var requestID: String
  /// `address:port` of the peer.
  public var peer: String

  public init(
    method: String, target: String, headers: [(name: String, value: String)] = [], body: [UInt8] = [],
    requestID: String = "", peer: String = ""
  ) {
    self.method = method
    self.target = target
    self.headers = headers
    self.body = body
    self.requestID = requestID
    self.peer = peer
  }

  /// The first header of this (lower case) name.
  public func header(_ name: String) -> String? { headers.first { $0.name == name }?.value }
}

/// A whole answer. `content-length`, `date`, `x-request-id` and `connection` are added by the transport.
public struct HTTPResponse: Sendable {
  public var status: Int
  public var headers: [(name: String, value: String)]
  public var body: [UInt8]

  public init(status: Int, headers: [(name: String, value: String)] = [], body: [UInt8] = []) {
    self.status = status
    self.headers = headers
    self.body = body
  }
}

/// Answers whole requests. Cancelled when the client goes away.
public protocol HTTPResponder: Sendable {
  func respond(to request: HTTPRequest) async -> HTTPResponse
}
