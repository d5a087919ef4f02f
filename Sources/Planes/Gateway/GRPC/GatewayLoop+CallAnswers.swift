internal import Contract
internal import Domain
internal import HTTPModel
internal import HTTPTransport
internal import Reactor
internal import Wire

/// How calls of gRPC are answered: status 200, messages in frames, the call's own status in trailers.
extension GatewayLoop {
  /// The cell's outputs as the message that the call's form has.
  func respondCall(_ request: ExecuteRequest, _ output: UnsafePointer<UInt8>, _ count: Int) {
    let message: [UInt8]
    do throws(ProtobufError) {
      if request.form == .typed, let contract = request.node?.entry.contract {
        message = try contract.outputMessage(Array(UnsafeBufferPointer(start: output, count: count)))
      } else if let call = request.inference, let contract = request.node?.entry.contract {
        do throws(InferenceError) {
          message = try contract.inferenceMessage(
            call, Array(UnsafeBufferPointer(start: output, count: count)))
        } catch { return respond(request, Refusal(error)) }
      } else {
        let encoded = try DynamicValue.encoded(
          .object, output, count, path: "output", maximumBytes: shared.configuration.responseLimit)
        var writer = ProtobufWriter()
        writer.bytes(1, encoded)
        message = writer.bytes
      }
    } catch {
      return respond(request, Refusal(.internal, "\(error)", origin: .node))
    }
    let now = loop.clock()
    logRequest(request, status: 200, code: 0, now: now, responseBytes: message.count)
    guard let exchange = server.exchange(request.connection), exchange.ownerTag == request.tag else { return }
    beginAnswer(request, exchange, status: 200, now: now)
    exchange.output.append("content-type: application/grpc\r\n")
    server.endHead(exchange)
    send(exchange, message)
    endCall(exchange)
  }

  /// Adds a message to an answer whose head has ended.
  func send(_ exchange: HTTPExchange, _ message: [UInt8]) {
    let head = GRPCFrameHead(count: message.count).bytes
    head.withUnsafeBufferPointer { bytes in
      if let base = bytes.baseAddress { server.send(exchange, base, bytes.count) }
    }
    message.withUnsafeBufferPointer { bytes in
      if let base = bytes.baseAddress, bytes.count > 0 { server.send(exchange, base, bytes.count) }
    }
  }

  /// Ends a call well.
  func endCall(_ exchange: HTTPExchange) {
    let status: StaticString = "grpc-status: 0\r\n"
    server.end(
      exchange, trailers: UnsafeBufferPointer(start: status.utf8Start, count: status.utf8CodeUnitCount))
  }

  /// Ends a call that has begun to answer with an error.
  func endCall(_ exchange: HTTPExchange, _ refusal: Refusal) {
    Array(refusal.callStatus.utf8).withUnsafeBufferPointer { server.end(exchange, trailers: $0) }
  }

  /// Ends an answer that is an error alone: its status stands in the head.
  func finishCall(_ exchange: HTTPExchange, _ refusal: Refusal) {
    exchange.output.append("content-type: application/grpc\r\ngrpc-accept-encoding: identity,gzip\r\n")
    exchange.output.append(refusal.callStatus)
    server.endHead(exchange)
    server.finish(exchange)
  }
}

extension Refusal {
  /// What is wrong with the messages of a call.
  init(_ fault: GRPCFault) {
    let code: PlatformError.Code =
      switch fault.code {
      case .unimplemented: .unimplemented
      case .resourceExhausted: .payloadTooLarge
      default: .internal
      }
    self.init(code, fault.description, origin: .caller)
  }

  /// The lines `grpc-status`, `grpc-message` and `grpc-status-details-bin`.
  var callStatus: String {
    var status = RPCStatus(code: Int32(code.rpcCode), message: message)
    if let details {
      let error = ExecutionErrorDetails(
        name: details.name, message: details.message, traceback: details.traceback)
      status.details.append(error.any)
    }
    if let retryAfter { status.details.append(RPCDetails.retry(afterSeconds: retryAfter)) }
    return RPCDetails.lines(status)
  }
}
