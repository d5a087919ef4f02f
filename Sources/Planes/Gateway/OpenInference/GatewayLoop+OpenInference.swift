internal import Access
internal import Contract
internal import Domain
internal import HTTPTransport
internal import Reactor
internal import Telemetry
internal import Wire

/// Cell nodes as models of the Open Inference Protocol over HTTP.
extension GatewayLoop {
  /// A request below `/v2` for this server, or for a cell node by header, host or path.
  struct OpenInferenceTarget {
    /// The node or the alias that host or path name.
    var route: ProxyRoute?
    /// Where `/v2` begins.
    var start: Int
  }

  /// The target of a request that is one of the protocol; called for what is not proxied.
  func openInferenceTarget(
    _ exchange: HTTPExchange, _ fields: UnsafeMutablePointer<HTTP1Field>
  ) -> OpenInferenceTarget? {
    guard let base = exchange.base else { return nil }
    let start = Int(exchange.head.targetStart)
    let end = start + Int(exchange.head.targetCount)
    if isOpenInference(base, start, end) {
      let route = implicitRoute(exchange, base, fields)
      return OpenInferenceTarget(route: route?.rule == .host ? route : nil, start: start)
    }
    guard let route = implicitRoute(exchange, base, fields), route.rule == .path,
      isOpenInference(base, route.rest, end)
    else { return nil }
    return OpenInferenceTarget(route: route, start: route.rest)
  }

  private func isOpenInference(_ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> Bool {
    guard end - start >= 3, base[start] == 0x2f, base[start + 1] == 0x76, base[start + 2] == 0x32 else {
      return false
    }
    return end - start == 3 || base[start + 3] == 0x2f || base[start + 3] == 0x3f
  }

  func openInference(
    _ exchange: HTTPExchange, _ fields: UnsafeMutablePointer<HTTP1Field>, _ target: OpenInferenceTarget,
    _ body: UnsafePointer<UInt8>, _ count: Int
  ) {
    guard let base = exchange.base else { return }
    let end = Int(exchange.head.targetStart) + Int(exchange.head.targetCount)
    let text = String(
      decoding: UnsafeBufferPointer(start: base + target.start, count: end - target.start), as: UTF8.self)
    let path = OpenInferencePath(text[...])
    let method = String(
      decoding: UnsafeBufferPointer(start: base, count: Int(exchange.head.methodCount)), as: UTF8.self)
    begin(exchange, fields) { (known, verdict) throws(Refusal) in
      guard path == .other || method == (path.isPost ? "POST" : "GET") || method == "HEAD" && !path.isPost
      else {
        throw Refusal(
          .unimplemented, "\(method): this path takes \(path.isPost ? "POST" : "GET")", status: 405)
      }
      let place = try inferencePlace(exchange, fields, target)
      switch path {
      case .other:
        throw Refusal(
          .notFound,
          "\(text.prefix(200)): there is no such path of the Open Inference Protocol here")
      // Who asks whether this server lives needs no token; a node is shown to who may call it.
      case .server where place.isAny: return .answer(Self.serverMetadata)
      case .live where place.isAny, .ready where place.isAny: return .answer([])
      case .server, .live, .ready:
        known = try inferenceNode(try verdict(), "", "", place, exchange, fields).node
        if path == .ready { try refuseUnready(known) }
        return .answer(path == .server ? Self.serverMetadata : [])
      case .model(let name, let version):
        let node = try inferenceNode(try verdict(), name, version, place, exchange, fields).node
        known = node
        return .answer(try model(node).bytes)
      case .modelReady(let name, let version):
        known = try inferenceNode(try verdict(), name, version, place, exchange, fields).node
        _ = try known.map { (node) throws(Refusal) in try model(node) }
        try refuseUnready(known)
        return .answer([])
      case .infer(let name, let version):
        let found = try inferenceNode(try verdict(), name, version, place, exchange, fields)
        known = found.node
        try refuseUnready(found.node)
        let plain = try unpacked(body, count, as: try header("content-encoding", exchange, fields))
        let head = try header("inference-header-content-length", exchange, fields)
        let headCount = head.flatMap { Int($0) }
        guard head == nil || headCount != nil else {
          throw Refusal(.invalidArgument, "Inference-Header-Content-Length: must be a number of bytes")
        }
        return .run(
          found,
          try inference { () throws(InferenceError) in
            try InferenceCall(
              body: plain, headCount: headCount)
          }, .inference)
      }
    }
  }

  /// The bytes of a body that may be compressed.
  private func unpacked(
    _ body: UnsafePointer<UInt8>?, _ count: Int, as name: String?
  ) throws(Refusal) -> [UInt8] {
    guard let name, let body, count > 0, name.lowercased() != "identity" else {
      return Array(UnsafeBufferPointer(start: body, count: count))
    }
    guard let encoding = ContentEncoding(name) else {
      throw Refusal(
        .unimplemented,
        "content-encoding: '\(name.prefix(32))' is not understood; send gzip, deflate or no compression",
        status: 415)
    }
    let limit = shared.configuration.requestLimit
    do throws(ContentEncoding.Fault) { return try encoding.unpacked(body, count, limit: limit) } catch {
      switch error {
      case .malformed:
        throw Refusal(.invalidArgument, "content-encoding: the body is not a whole stream of \(name)")
      case .tooLong:
        throw Refusal(
          .payloadTooLarge, "the body is longer than \(limit) bytes when it is unpacked")
      }
    }
  }

  // MARK: For both forms

  /// Where a request of the protocol is sent.
  enum InferencePlace {
    /// To the node that has the model's name.
    case any
    case node(id: String)
    case alias(LoopAlias, rest: Int)

    var isAny: Bool { if case .any = self { true } else { false } }
  }

  /// The node of a model, and the alias that chose it.
  struct InferenceNode {
    var node: LoopNode
    var choice: AliasChoice?
  }

  /// What comes of a request of the protocol.
  enum InferenceStep {
    /// Answered at once: JSON over HTTP, a message over gRPC.
    case answer([UInt8])
    case run(InferenceNode, InferenceCall, ExecuteRequest.Form)
  }

  /// Answers a request with what `step` says. `step` gets a place for the node, so that who reads the log knows it, and
  /// the caller's verdict.
  func begin(
    _ exchange: HTTPExchange, _ fields: UnsafeMutablePointer<HTTP1Field>,
    _ step: (inout LoopNode?, () throws(Refusal) -> VerdictCache.Verdict) throws(Refusal) -> InferenceStep
  ) {
    let arrival = arrive(exchange, fields)
    var known: LoopNode?
    do throws(Refusal) {
      switch try step(&known, { () throws(Refusal) in try authenticate(exchange, fields) }) {
      case .answer(let bytes): answer(exchange, inference: bytes, arrival)
      case .run(let found, let call, let form):
        let node = found.node
        guard let contract = node.entry.contract else { throw unknown(node.shared.id) }
        let input = try inference { () throws(InferenceError) in try contract.inputJSON(call) }
        let request = try prepare(exchange, fields, arrival, node, form, inputCount: input.count)
        request.inference = call
        request.choice = found.choice
        request.aliasPath = found.choice.flatMap { pathCounters($0.alias, exchange) }
        start(request, node, input)
      }
    } catch {
      var refusal = error
      refusal.isOpenInference = !exchange.isGRPC
      refuse(exchange, arrival, known, exchange.isGRPC ? .inferenceCall : .inference, refusal)
    }
  }

  private func answer(
    _ exchange: HTTPExchange, inference bytes: [UInt8], _ arrival: borrowing Arrival
  ) {
    server.begin(exchange, status: 200)
    exchange.output.append("x-request-id: ")
    append(arrival.identifier, arrival.identifierCount, to: exchange)
    exchange.output.append("\r\n")
    if exchange.isGRPC {
      exchange.output.append("content-type: application/grpc\r\n")
      server.endHead(exchange)
      send(exchange, bytes)
      return endCall(exchange)
    }
    if !bytes.isEmpty { exchange.output.append("content-type: application/json\r\n") }
    server.endHead(exchange, contentLength: bytes.count)
    if !exchange.head.isHEAD { exchange.output.append(bytes) }
    server.finish(exchange)
  }

  func inference<Result>(_ body: () throws(InferenceError) -> Result) throws(Refusal) -> Result {
    do throws(InferenceError) { return try body() } catch { throw Refusal(error) }
  }

  /// The node or the alias that header, host or path name.
  func inferencePlace(
    _ exchange: HTTPExchange, _ fields: UnsafeMutablePointer<HTTP1Field>, _ target: OpenInferenceTarget?
  ) throws(Refusal) -> InferencePlace {
    let id = try header("x-node-id", exchange, fields)
    if var name = try header("x-node-alias", exchange, fields) {
      guard id == nil else {
        throw Refusal(.invalidArgument, "x-node-id and x-node-alias exclude each other: send one of them")
      }
      guard let alias = name.withUTF8({ alias($0) }) else {
        throw Refusal(.notFound, "alias '\(name.prefix(96))' does not exist")
      }
      return .alias(alias, rest: 0)
    }
    if let id { return .node(id: id) }
    guard let route = target?.route, let base = exchange.base else { return .any }
    let key = UnsafeBufferPointer(start: base + route.id.lowerBound, count: route.id.count)
    return route.isAlias
      ? .alias(try known(key), rest: route.rest) : .node(id: String(decoding: key, as: UTF8.self))
  }

  /// The node of a model: the one at `place`, else the one whose id or name the model's is. An empty `name` is any. An
  /// alias' models have the names of its nodes and its own.
  func inferenceNode(
    _ verdict: VerdictCache.Verdict, _ name: String, _ version: String, _ place: InferencePlace,
    _ exchange: HTTPExchange, _ fields: UnsafeMutablePointer<HTTP1Field>
  ) throws(Refusal) -> InferenceNode {
    guard version.isEmpty || version == NodeContract.modelVersion else {
      throw Refusal(
        .notFound,
        "Request for unknown model: '\(name)' version \(version.prefix(16)) is not found; the version is always \(NodeContract.modelVersion)"
      )
    }
    guard case .alias(let alias, let rest) = place else {
      var id: String?
      if case .node(let named) = place { id = named }
      return InferenceNode(node: try inferenceNode(verdict, name, id, exchange, fields))
    }
    try mayCall(verdict, alias)
    try allow(
      try header("x-folder-id", exchange, fields) ?? alias.routed.folderID.text, alias, field: "x-folder-id")
    let isModel =
      name.isEmpty || name == alias.routed.name
      || alias.shares.contains { name == $0.node.shared.id || name == $0.node.entry.routed.name }
    guard isModel else { throw unknown(name) }
    let choice = try choose(alias, verdict, exchange, fields, pathStart: rest)
    try limitRate(verdict, choice.node)
    guard choice.node.entry.contract != nil else { throw unknown(name) }
    return InferenceNode(node: choice.node, choice: choice)
  }

  private func inferenceNode(
    _ verdict: VerdictCache.Verdict, _ name: String, _ id: String?, _ exchange: HTTPExchange,
    _ fields: UnsafeMutablePointer<HTTP1Field>
  ) throws(Refusal) -> LoopNode {
    func isModel(_ node: LoopNode) -> Bool {
      node.entry.contract != nil
        && (name.isEmpty || node.shared.id == name || node.entry.routed.name == name)
    }
    let node: LoopNode
    if let id {
      guard let found = nodes.first(where: { $0.shared.id == id }) else {
        throw Refusal(.notFound, "node '\(id.prefix(64))' does not exist")
      }
      try mayCall(verdict, found.entry)
      guard isModel(found) else { throw unknown(name) }
      node = found
    } else {
      var found = nodes.filter(isModel)
      // Nodes of different folders may have one name.
      if found.count > 1 { found.removeAll { !mayCallQuietly(verdict, $0.entry) } }
      guard let first = found.first else { throw unknown(name) }
      guard found.count == 1 else {
        throw Refusal(
          .invalidArgument,
          "'\(name)' is the name of several nodes (\(found.map(\.shared.id).joined(separator: ", "))); use the id, or send the header x-node-id"
        )
      }
      try mayCall(verdict, first.entry)
      node = first
    }
    try limitRate(verdict, node)
    let folder = try header("x-folder-id", exchange, fields)
    try allow(folder ?? node.entry.routed.folderID.text, node, field: "x-folder-id")
    return node
  }

  private func unknown(_ name: String) -> Refusal {
    Refusal(.notFound, "Request for unknown model: '\(name.prefix(64))' is not found")
  }

  func refuseUnready(_ node: LoopNode?) throws(Refusal) {
    if let refusal = node?.entry.routed.refusal { throw Refusal(.unavailable, refusal, origin: .node) }
  }

  private func model(_ node: LoopNode) throws(Refusal) -> JSONValue {
    switch node.entry.contract?.openInference {
    case .success(let model): return model
    case .failure(let misfit): throw Refusal(misfit, node)
    case nil: throw unknown(node.shared.id)
    }
  }

  /// Extensions that this server has of the protocol.
  static let inferenceExtensions = ["binary_tensor_data"]

  private static var serverMetadata: [UInt8] {
    let metadata: JSONValue = [
      "name": "roost", "version": "2", "extensions": .array(inferenceExtensions.map { .string($0) }),
    ]
    return metadata.bytes
  }

  // MARK: Answers of cells

  /// The cell's outputs as tensors, over HTTP.
  func respondInference(_ request: ExecuteRequest, _ output: UnsafePointer<UInt8>, _ count: Int) {
    guard let call = request.inference, let contract = request.node?.entry.contract else { return }
    let body: NodeContract.InferenceBody
    do throws(InferenceError) {
      body = try contract.inferenceBody(call, Array(UnsafeBufferPointer(start: output, count: count)))
    } catch { return respond(request, Refusal(error)) }
    let now = loop.clock()
    logRequest(request, status: 200, code: 0, now: now, responseBytes: body.bytes.count)
    guard let exchange = server.exchange(request.connection), exchange.ownerTag == request.tag else { return }
    beginAnswer(request, exchange, status: 200, now: now)
    if let headCount = body.headCount {
      exchange.output.append("content-type: application/octet-stream\r\ninference-header-content-length: ")
      exchange.output.append(decimal: headCount)
      exchange.output.append("\r\n")
    } else {
      exchange.output.append("content-type: application/json\r\n")
    }
    server.endHead(exchange, contentLength: body.bytes.count)
    exchange.output.append(body.bytes)
    server.finish(exchange)
  }
}

extension Refusal {
  init(_ error: InferenceError) {
    self.init(
      error.isNodes ? .internal : .invalidArgument, error.description, origin: error.isNodes ? .node : .caller
    )
  }

  init(_ misfit: OpenInferenceMisfit, _ node: LoopNode) {
    self.init(
      .failedPrecondition, "node '\(node.entry.routed.name)' is no model: \(misfit)", origin: .node)
  }
}
