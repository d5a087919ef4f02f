import Access
import Contract
import ControlPlane
import Domain
import HTTPModel
import Storage
import Wire

/// The services of gRPC that are no hot path: addresses, tokens and operations. Health, reflection and the execution of
/// nodes are answered by the gateway itself.
enum CallEndpoints {
  static func respond(
    to request: HTTPRequest, _ responder: APIResponder, _ api: APIWorld
  ) async -> HTTPResponse {
    do throws(PlatformError) {
      let message = try unary(request)
      let answer = try await answer(request, message, responder, api)
      return HTTPResponse(
        status: 200, headers: [(name: "content-type", value: "application/grpc")],
        body: GRPCFrameHead.framed(answer), trailers: [(name: "grpc-status", value: "0")])
    } catch {
      var status = RPCStatus(code: Int32(error.code.rpcCode), message: error.message)
      var info = ProtobufWriter()
      info.string(1, request.requestID)
      status.details = [ProtobufAny(message: "google.rpc.RequestInfo", value: info.bytes)]
      return HTTPResponse(
        status: 200, headers: [(name: "content-type", value: "application/grpc")] + RPCDetails.fields(status))
    }
  }

  private static func unary(_ request: HTTPRequest) throws(PlatformError) -> [UInt8] {
    do throws(GRPCFault) { return try GRPCMessageDecoder.unary(request.body, limit: 4 << 20) } catch {
      let code: PlatformError.Code =
        switch error.code {
        case .unimplemented: .unimplemented
        case .resourceExhausted: .payloadTooLarge
        default: .internal
        }
      throw PlatformError(code, error.description, origin: .caller)
    }
  }

  private static func answer(
    _ request: HTTPRequest, _ message: [UInt8], _ responder: APIResponder, _ api: APIWorld
  ) async throws(PlatformError) -> [UInt8] {
    switch request.target {
    case "/yandex.cloud.endpoint.ApiEndpointService/List": return Endpoints.listed(request)
    case "/yandex.cloud.endpoint.ApiEndpointService/Get":
      return Endpoints.message(try Endpoints.known(try text(1, message, "api_endpoint_id")), request)
    case "/yandex.cloud.iam.v1.IamTokenService/Create":
      let sent = try texts([1, 2], message)
      return issued(try await api.exchange.exchange(jwt: sent[2], oauthToken: sent[1]))
    case "/yandex.cloud.iam.v1.IamTokenService/CreateForServiceAccount":
      let call = try await responder.call(request, segments: [])
      let account = try text(1, message, "service_account_id")
      return issued(try await IamEndpoints.issue(for: account, call, api))
    case "/yandex.cloud.iam.v1.IamTokenService/Revoke":
      let token = try text(1, message, "iam_token")
      var writer = ProtobufWriter()
      writer.string(1, try await IamEndpoints.revoke(token, request, api))
      return writer.bytes
    case "/yandex.cloud.operation.OperationService/Get":
      let call = try await responder.call(request, segments: [])
      return try operation(
        try await OperationEndpoints.find(try text(1, message, "operation_id"), call, api))
    case "/yandex.cloud.operation.OperationService/Cancel":
      let call = try await responder.call(request, segments: [])
      return try operation(
        try await OperationEndpoints.cancelled(try text(1, message, "operation_id"), call, api))
    default:
      throw PlatformError(
        .unimplemented, "there is no method \(request.target.prefix(200)) here; list services by reflection",
        origin: .caller)
    }
  }

  // MARK: Messages

  /// Strings of a message by the numbers of their fields.
  private static func texts(_ numbers: Set<Int>, _ message: [UInt8]) throws(PlatformError) -> [Int: String] {
    do throws(ProtobufError) {
      return try ProtobufReader.reading(message) { (reader) throws(ProtobufError) in
        var found: [Int: String] = [:]
        while let field = try reader.next() {
          if numbers.contains(field.number) {
            found[field.number] = try reader.string(field)
          } else {
            try reader.skip(field)
          }
        }
        return found
      }
    } catch {
      throw PlatformError(
        .invalidArgument, "the message is not the one of this method: \(error)", origin: .caller)
    }
  }

  private static func text(_ number: Int, _ message: [UInt8], _ name: String) throws(PlatformError) -> String
  {
    guard let text = try texts([number], message)[number], !text.isEmpty else {
      throw .invalid(name, "\(name): missing")
    }
    return text
  }

  private static func issued(_ token: ExchangedTokenResource) -> [UInt8] {
    var writer = ProtobufWriter()
    writer.string(1, token.iamToken)
    writer.bytes(2, timestamp(token.expiresAt))
    return writer.bytes
  }

  private static func timestamp(_ time: Timestamp) -> [UInt8] {
    var writer = ProtobufWriter()
    writer.integer(1, time.microseconds / 1_000_000)
    writer.integer(2, time.microseconds % 1_000_000 * 1000)
    return writer.bytes
  }

  private static func operation(_ operation: OperationResource) throws(PlatformError) -> [UInt8] {
    var writer = ProtobufWriter()
    writer.string(1, operation.id.text)
    writer.nonEmpty(2, operation.description)
    writer.bytes(3, timestamp(operation.createdAt))
    writer.nonEmpty(4, operation.createdBy)
    writer.bytes(5, timestamp(operation.modifiedAt))
    if operation.done { writer.bool(6, true) }
    if let error = operation.error {
      writer.bytes(8, RPCStatus(code: Int32(error.code), message: error.message).bytes)
    } else if operation.done {
      writer.bytes(9, try response(operation).bytes)
    }
    return writer.bytes
  }

  /// The node as a Struct; an empty one for operations that leave nothing behind.
  private static func response(_ operation: OperationResource) throws(PlatformError) -> ProtobufAny {
    guard let node = operation.response else {
      return ProtobufAny(message: "google.protobuf.Struct", value: [])
    }
    let json = try Answer.json(node).body
    do throws(ProtobufError) {
      return ProtobufAny(
        message: "google.protobuf.Struct",
        value: try DynamicValue.encoded(.object, json: json, path: "response"))
    } catch { throw PlatformError(.internal, "the node can't be told: \(error)") }
  }
}

/// Where services are: every one of them at the address by which the caller has come.
enum Endpoints {
  static let ids = ["datasphere", "endpoint", "iam", "operation"]

  static func known(_ id: String) throws(PlatformError) -> String {
    guard ids.contains(id) else {
      throw PlatformError(
        .notFound, "api_endpoint_id: no service '\(id)'; there are \(ids.joined(separator: ", "))",
        origin: .caller, field: "api_endpoint_id")
    }
    return id
  }

  /// `host:port` of the request.
  static func address(_ request: HTTPRequest) -> String {
    let host = request.header("host") ?? "localhost"
    let end = host.lastIndex(of: "]") ?? host.startIndex
    return host[end...].contains(":") ? host : "\(host):\(request.isTLS ? 443 : 80)"
  }

  static func message(_ id: String, _ request: HTTPRequest) -> [UInt8] {
    var writer = ProtobufWriter()
    writer.string(1, id)
    writer.string(2, address(request))
    return writer.bytes
  }

  static func listed(_ request: HTTPRequest) -> [UInt8] {
    var writer = ProtobufWriter()
    for id in ids { writer.bytes(1, message(id, request)) }
    return writer.bytes
  }
}
