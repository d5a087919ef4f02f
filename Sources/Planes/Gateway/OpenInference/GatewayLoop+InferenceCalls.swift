internal import Contract
internal import Domain
internal import HTTPTransport
internal import Wire

/// Cell nodes as models of the Open Inference Protocol over gRPC.
extension GatewayLoop {
  static let inferenceService = "/inference.GRPCInferenceService/"

  /// Methods of `inference.GRPCInferenceService` that cell nodes have.
  enum InferenceMethod: String {
    case serverLive = "ServerLive"
    case serverReady = "ServerReady"
    case modelReady = "ModelReady"
    case serverMetadata = "ServerMetadata"
    case modelMetadata = "ModelMetadata"
    case modelInfer = "ModelInfer"
  }

  func inferenceCall(
    _ exchange: HTTPExchange, _ fields: UnsafeMutablePointer<HTTP1Field>, _ method: InferenceMethod,
    _ body: UnsafePointer<UInt8>, _ count: Int
  ) {
    begin(exchange, fields) { (known, verdict) throws(Refusal) in
      let message = Array(try unary(body, count))
      let place = try inferencePlace(exchange, fields, nil)
      func find(_ name: String, _ version: String) throws(Refusal) -> InferenceNode {
        let found = try inferenceNode(try verdict(), name, version, place, exchange, fields)
        known = found.node
        return found
      }
      var writer = ProtobufWriter()
      switch method {
      case .serverLive: writer.bool(1, true)
      case .serverReady:
        let node = place.isAny ? nil : try find("", "").node
        if node?.entry.routed.refusal == nil { writer.bool(1, true) }
      case .serverMetadata:
        writer.string(1, "roost")
        writer.string(2, "2")
        for name in Self.inferenceExtensions { writer.string(3, name) }
      case .modelReady:
        let (name, version) = try model(message)
        if try find(name, version).node.entry.routed.refusal == nil { writer.bool(1, true) }
      case .modelMetadata:
        let (name, version) = try model(message)
        let node = try find(name, version).node
        do throws(OpenInferenceMisfit) {
          return .answer(try node.entry.contract?.openInferenceMessage() ?? [])
        } catch { throw Refusal(error, node) }
      case .modelInfer:
        let call = try inference { () throws(InferenceError) in try InferenceCall(message: message) }
        let found = try find(call.model, call.version)
        try refuseUnready(found.node)
        return .run(found, call, .inferenceCall)
      }
      return .answer(writer.bytes)
    }
  }

  /// Name and version in a request for a model.
  private func model(_ message: [UInt8]) throws(Refusal) -> (name: String, version: String) {
    do throws(ProtobufError) {
      return try ProtobufReader.reading(message) { (reader) throws(ProtobufError) in
        var found = (name: "", version: "")
        while let field = try reader.next() {
          switch field.number {
          case 1: found.name = try reader.string(field)
          case 2: found.version = try reader.string(field)
          default: try reader.skip(field)
          }
        }
        return found
      }
    } catch { throw Refusal(.invalidArgument, "\(error)") }
  }
}
