internal import CLinux
internal import Contract
internal import Domain
internal import HTTPTransport
internal import Reactor
internal import Telemetry
internal import Wire

/// Execute requests for saved models: nested lists by name become an inference request of the Open Inference Protocol, which is
/// sent as proxied requests are, and its answer becomes nested lists again.
extension GatewayLoop {
  /// Sends a call to an instance of the node. It may be sent again when an instance goes away: an inference changes nothing.
  func execute(
    _ exchange: HTTPExchange, _ fields: UnsafeMutablePointer<HTTP1Field>, _ arrival: borrowing Arrival,
    _ node: LoopNode, _ execution: ModelExecution, _ choice: AliasChoice?, bodyCount: Int
  ) throws(Refusal) {
    if let refusal = node.entry.routed.refusal { throw Refusal(.unavailable, refusal, origin: .node) }
    let timeout = try callerTimeout(exchange, fields)
    let request = takeProxy()
    request.exchange = exchange.key
    request.arrived = arrival.at
    request.active = request.arrived
    request.identifier = arrival.identifier
    request.identifierCount = arrival.identifierCount
    request.trace = arrival.trace
    request.peer = exchange.peer
    request.route = .execute
    request.node = node
    request.choice = choice
    request.execution = execution
    request.received = bodyCount
    if execution.isCall {
      request.path = pathCounters(node, exchange)
      request.aliasPath = choice.flatMap { pathCounters($0.alias, exchange) }
    } else {
      request.path = node.shared.paths.execute
      request.aliasPath = choice?.alias.shared.paths.execute
    }
    limit(request, to: timeout, of: node)
    request.head.append("POST /v2/models/")
    request.head.append(execution.model.name)
    if let version = execution.call.version {
      request.head.append("/versions/")
      request.head.append(decimal: version)
    }
    request.head.append("/infer HTTP/1.1\r\nhost: node\r\ncontent-type: application/octet-stream\r\n")
    request.head.append("inference-header-content-length: ")
    request.head.append(decimal: execution.call.headCount)
    request.head.append("\r\n")
    writeIdentity(request)
    request.framing = .counted(execution.call.body.count)
    request.body.append(execution.call.body)
    request.requestEnded = true
    request.isIdempotent = true
    request.state = .queued
    exchange.ownerTag = request.tag
    if choice?.alias.isCopied == true {
      copy(request)
      execution.call.body.withUnsafeBufferPointer { bytes in
        if let base = bytes.baseAddress { request.capture?.add(body: base, bytes.count) }
      }
    }
    begin(request, node)
  }

  // MARK: What the instance says

  /// The longest answer that is kept: numbers of 8 bytes may be one digit and a comma in JSON.
  private var mostAnswerBytes: Int { 4 * shared.configuration.responseLimit + (64 << 10) }

  func executionHead(_ request: ProxyRequest, _ execution: ModelExecution, _ fields: ProxyFields) {
    if let capture = request.capture { copy(request, capture, answer: fields) }
    var headCount: Int?
    for index in 0..<fields.count where fields.isNamed(index, Self.headCountName) {
      headCount = Int(String(decoding: fields.value(index), as: UTF8.self))
    }
    execution.begin(headCount: headCount)
    arm(request)
  }

  private static let headCountName = Array("inference-header-content-length".utf8)

  func executionPart(
    _ request: ProxyRequest, _ execution: ModelExecution, _ bytes: UnsafePointer<UInt8>, _ count: Int
  ) {
    guard execution.body.count + count <= mostAnswerBytes else {
      dropUpstream(request)
      return refuse(request, tooLong(execution.body.count + count))
    }
    execution.add(bytes, count)
  }

  private func tooLong(_ count: Int) -> Refusal {
    var refusal = Refusal(
      .payloadTooLarge,
      "the outputs may have at most \(shared.configuration.responseLimit) bytes; they have at least \(count)")
    refusal.origin = .node
    return refusal
  }

  /// The instance's answer is complete.
  func executionEnded(_ request: ProxyRequest, _ execution: ModelExecution) {
    request.answered = loop.clock()
    guard request.status == 200 else {
      let refusal = Refusal(triton: execution.body, status: request.status, model: execution.model.name)
      if refusal.code == .unavailable, repeated(request) { return }
      return refuse(request, refusal)
    }
    do throws(Refusal) {
      let json = try inference { () throws(InferenceError) in
        try execution.contract.output(execution.call, execution.body, headCount: execution.headCount)
      }
      guard json.count <= shared.configuration.responseLimit else { throw tooLong(json.count) }
      if execution.isCall {
        try answerCall(request, execution, json)
      } else if let exchange = beginAnswer(request) {
        exchange.output.append("content-type: application/json\r\n")
        server.endHead(exchange, contentLength: json.count + 11)
        exchange.output.append("{\"output\":")
        exchange.output.append(json)
        exchange.output.append("}")
        request.sent = json.count + 11
        server.finish(exchange)
      }
    } catch { return refuse(request, error) }
    request.grpcStatus = 0
    finished(request)
  }

  private func answerCall(
    _ request: ProxyRequest, _ execution: ModelExecution, _ json: [UInt8]
  ) throws(Refusal) {
    let message: [UInt8]
    do throws(ProtobufError) {
      if execution.form == .typed {
        message = try execution.contract.message(model: execution.call.model, output: json)
      } else {
        let encoded = try json.withUnsafeBufferPointer { (bytes) throws(ProtobufError) in
          guard let base = bytes.baseAddress else { return [UInt8]() }
          return try DynamicValue.encoded(
            .object, base, bytes.count, path: "output", maximumBytes: shared.configuration.responseLimit)
        }
        var writer = ProtobufWriter()
        writer.bytes(1, encoded)
        message = writer.bytes
      }
    } catch { throw Refusal(.internal, "\(error)", origin: .node) }
    guard let exchange = beginAnswer(request) else { return }
    exchange.output.append("content-type: application/grpc\r\n")
    server.endHead(exchange)
    request.sent = message.count
    send(exchange, message)
    endCall(exchange)
  }

  /// Writes the lines that every answer of a node's request carries.
  private func beginAnswer(_ request: ProxyRequest) -> HTTPExchange? {
    guard let exchange = exchange(of: request) else { return nil }
    server.begin(exchange, status: 200)
    exchange.output.append("x-request-id: ")
    append(request.identifier, request.identifierCount, to: exchange)
    exchange.output.append("\r\nserver-timing: queue;dur=")
    append(milliseconds: request.dispatched - request.arrived, to: exchange)
    exchange.output.append(", upstream;dur=")
    append(milliseconds: request.answered - request.dispatched, to: exchange)
    exchange.output.append("\r\n")
    if let choice = request.choice { appendChoice(choice, to: exchange) }
    return exchange
  }

  // MARK: Calls

  /// The call of a model that a request for the typed service `service`, or `NodeService/Execute`, makes of its input.
  ///
  /// `input`: a message of a typed service, else JSON. `version`: what the metadata of a typed call names.
  func modelCall(
    _ node: LoopNode, _ models: ModelNodeContract, _ input: [UInt8], service: String?, _ choice: AliasChoice?,
    version: String? = nil
  ) throws(Refusal) -> ModelCall {
    try inference { () throws(InferenceError) in
      guard let service else { return try models.call(input: input) }
      func call(_ place: Int) throws(InferenceError) -> ModelCall {
        let number = try version.map { (text) throws(InferenceError) in try models.version(text, of: place) }
        var call = try models.call(model: place, message: input)
        call.version = number
        return call
      }
      if let place = models.model(service: service) { return try call(place) }
      // The service of another node of the alias: the model that has the same name here.
      var name: String?
      for share in choice?.alias.shares ?? [] where name == nil {
        let others = share.node.entry.models
        name = others?.model(service: service).flatMap { others?.models[$0].name }
      }
      let place = models.models.count == 1 ? 0 : models.models.firstIndex { $0.name == name }
      guard let place else {
        throw InferenceError("node '\(models.nodeName)' has no model '\(name ?? service)'", isNodes: true)
      }
      return try call(place)
    }
  }

  /// The version that a typed call names in its metadata: its messages have inputs only.
  func namedVersion(
    _ exchange: HTTPExchange, _ fields: UnsafeMutablePointer<HTTP1Field>
  ) throws(Refusal) -> String? {
    guard let base = exchange.base else { return nil }
    let name: StaticString = "model-version"
    var found: String?
    for index in 0..<Int(exchange.head.fieldCount) where fields[index].nameCount == 13 {
      let field = fields[index]
      guard scan_equals_lower(base + Int(field.nameStart), name.utf8Start, 13) != 0 else { continue }
      guard found == nil else {
        throw Refusal(.invalidArgument, "model-version: is given twice; give it once")
      }
      found = String(
        decoding: UnsafeBufferPointer(start: base + Int(field.valueStart), count: Int(field.valueCount)),
        as: UTF8.self)
    }
    return found
  }
}
