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
  /// The peer's connection is encrypted.
  public var isTLS: Bool
  /// A call of gRPC: the body has messages in frames, and the answer's status stands in trailers.
  public var isGRPC: Bool

  public init(
    method: String, target: String, headers: [(name: String, value: String)] = [], body: [UInt8] = [],
    requestID: String = "", peer: String = "", isTLS: Bool = false, isGRPC: Bool = false
  ) {
    self.isTLS = isTLS
    self.isGRPC = isGRPC
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
  /// What follows the body of a call of gRPC; not sent with other answers.
  public var trailers: [(name: String, value: String)]
  /// Its body is kept for all who ask for it: one more answer takes no memory for it.
  public var isShared = false

  public init(
    status: Int, headers: [(name: String, value: String)] = [], body: [UInt8] = [],
    trailers: [(name: String, value: String)] = []
  ) {
    self.status = status
    self.headers = headers
    self.body = body
    self.trailers = trailers
  }
}

/// Answers whole requests. Cancelled when the client goes away.
public protocol HTTPResponder: Sendable {
  func respond(to request: HTTPRequest) async -> HTTPResponse
}
