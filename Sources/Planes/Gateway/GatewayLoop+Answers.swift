internal import CLinux
internal import Domain
internal import HTTPTransport
internal import Reactor
internal import Telemetry
internal import Wire

/// An error answer in the form of `google.rpc.Status`.
struct Refusal: Error {
  var code: PlatformError.Code
  var message: String
  var status: Int
  var origin: PlatformError.Origin
  var retryAfter: Int?
  /// Where a person goes on, with a status of 303.
  var location: String?
  /// `NodeExecutionErrorDetails`, where user code failed.
  var details: (name: String, message: String, traceback: [String])?
  /// Answered in the form of the Open Inference Protocol: `{"error": "..."}`.
  var isOpenInference = false
  /// Not refused: it waits for the end of the hold of this alias.
  var holder: AliasID?

  init(holding alias: AliasID) {
    self.init(.unavailable, "")
    holder = alias
  }

  init(
    _ code: PlatformError.Code, _ message: String, status: Int? = nil, origin: PlatformError.Origin = .caller,
    retryAfter: Int? = nil
  ) {
    self.code = code
    self.message = message
    self.status = status ?? code.httpStatus
    self.origin = origin
    self.retryAfter = retryAfter
  }

  var body: [UInt8] {
    var writer = JSONWriter()
    writer.beginObject()
    if isOpenInference {
      writer.member("error", message)
      writer.endObject()
      return writer.bytes
    }
    writer.member("code", code.rpcCode)
    writer.member("message", message)
    writer.key("details")
    writer.beginArray()
    if let details {
      writer.beginObject()
      writer.member("@type", "type.googleapis.com/yandex.cloud.datasphere.v1.NodeExecutionErrorDetails")
      writer.member("error_name", details.name)
      writer.member("error_message", details.message)
      writer.key("traceback")
      writer.beginArray()
      for line in details.traceback { writer.string(line) }
      writer.endArray()
      writer.endObject()
    }
    writer.endArray()
    writer.endObject()
    return writer.bytes
  }
}

extension GatewayLoop {
  /// Answers a connection whose request never became one of a node.
  func answer(
    _ connection: HTTPExchange, _ refusal: Refusal, requestID: String? = nil, trace: TraceContext? = nil
  ) {
    let body = refusal.body
    server.begin(connection, status: connection.isGRPC ? 200 : refusal.status)
    connection.output.append("x-request-id: ")
    if let requestID {
      connection.output.append(requestID)
    } else {
      var identifier: InlineArray<64, UInt8> = .init(repeating: 0)
      let count = makeIdentifier(&identifier)
      append(identifier, count, to: connection)
    }
    connection.output.append("\r\n")
    if let trace { appendTrace(trace, to: connection) }
    finishRefusal(connection, refusal, body)
  }

  private func finishRefusal(_ connection: HTTPExchange, _ refusal: Refusal, _ body: [UInt8]) {
    if connection.isGRPC { return finishCall(connection, refusal) }
    connection.output.append("content-type: application/json\r\nx-roost-fault: ")
    switch refusal.origin {
    case .caller: connection.output.append("caller\r\n")
    case .node: connection.output.append("node\r\n")
    case .platform: connection.output.append("platform\r\n")
    }
    if refusal.status == 401 { connection.output.append("www-authenticate: Bearer realm=\"roost\"\r\n") }
    if let location = refusal.location {
      connection.output.append("cache-control: no-store\r\nlocation: ")
      connection.output.append(location)
      connection.output.append("\r\n")
    }
    if let seconds = refusal.retryAfter {
      connection.output.append("retry-after: ")
      connection.output.append(decimal: seconds)
      connection.output.append("\r\n")
    }
    server.endHead(connection, contentLength: body.count)
    connection.output.append(body)
    server.finish(connection)
  }

  /// Writes the lines that every answer of a node's request carries.
  func beginAnswer(_ request: ExecuteRequest, _ connection: HTTPExchange, status: Int, now: Int64) {
    server.begin(connection, status: status)
    connection.output.append("x-request-id: ")
    append(request.identifier, request.identifierCount, to: connection)
    let handed = request.dispatched == 0 ? now : request.dispatched
    connection.output.append("\r\nserver-timing: queue;dur=")
    append(milliseconds: handed - request.arrived, to: connection)
    connection.output.append(", upstream;dur=")
    append(milliseconds: now - handed, to: connection)
    connection.output.append("\r\n")
    if let choice = request.choice { appendChoice(choice, to: connection) }
  }

  func append(_ identifier: InlineArray<64, UInt8>, _ count: Int, to connection: HTTPExchange) {
    let target = connection.output.room(count)
    for index in 0..<count { target[index] = identifier[index] }
    connection.output.wrote(count)
  }

  func append(milliseconds nanoseconds: Int64, to connection: HTTPExchange) {
    let microseconds = Int(max(nanoseconds, 0) / 1000)
    connection.output.append(decimal: microseconds / 1000)
    let rest = microseconds % 1000
    let target = connection.output.room(4)
    target[0] = 0x2e
    target[1] = UInt8(0x30 + rest / 100)
    target[2] = UInt8(0x30 + rest / 10 % 10)
    target[3] = UInt8(0x30 + rest % 10)
    connection.output.wrote(4)
  }

  /// Answers a node's request with an error. Its place at an instance, if it has one, stays taken.
  func respond(_ request: ExecuteRequest, _ refusal: Refusal) {
    let now = loop.clock()
    logRequest(request, status: refusal.status, code: refusal.code.rpcCode, now: now)
    if let witness = request.witness { witness.refused(request, refusal, now: now) }
    guard let connection = server.exchange(request.connection), connection.ownerTag == request.tag else {
      return
    }
    var refusal = refusal
    refusal.isOpenInference = request.form == .inference
    let body = refusal.body
    beginAnswer(request, connection, status: connection.isGRPC ? 200 : refusal.status, now: now)
    appendTrace(request.trace, to: connection)
    finishRefusal(connection, refusal, body)
  }

  /// Counts the answer and keeps what there is to know of the request. `code` is the one of `google.rpc.Code`.
  func logRequest(
    _ request: ExecuteRequest, status: Int, code: Int, now: Int64? = nil, responseBytes: Int = 0
  ) {
    let now = now ?? loop.clock()
    let microseconds = Int((now - request.arrived) / 1000)
    if let path = request.path {
      path.answered(status: status, microseconds: microseconds)
      if request.form != .inference { path.answered(grpcStatus: code) }
    } else {
      request.node?.shared.answered(status: status, microseconds: microseconds)
    }
    if let choice = request.choice {
      count(choice, request.aliasPath, status: status, microseconds: microseconds)
      if request.path != nil, request.form != .inference { request.aliasPath?.answered(grpcStatus: code) }
    }
    note(request, status: status, now: now, responseBytes: responseBytes)
  }
}
