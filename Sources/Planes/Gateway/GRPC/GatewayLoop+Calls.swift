internal import Access
internal import Contract
internal import Domain
internal import HTTPTransport
internal import Reactor
internal import Telemetry
internal import Wire

/// Calls of gRPC: which of them this loop answers itself, and those that run a cell.
extension GatewayLoop {
  /// What a call's path asks for.
  private enum Called {
    case execute
    case executeAlias
    case typed(service: String)
    case inference(InferenceMethod)
    case check
    case watch
    case reflection(version: String)
    /// A service of the responder, or none.
    case other
  }

  private func called(_ exchange: HTTPExchange) -> Called {
    guard let base = exchange.base, exchange.head.targetCount > 1 else { return .other }
    let start = base + Int(exchange.head.targetStart)
    let count = Int(exchange.head.targetCount)
    let execute: StaticString = "/yandex.cloud.datasphere.v1.NodeService/Execute"
    if count == execute.utf8CodeUnitCount, same(start, execute) { return .execute }
    let alias: StaticString = "/yandex.cloud.datasphere.v1.NodeService/ExecuteAlias"
    if count == alias.utf8CodeUnitCount, same(start, alias) { return .executeAlias }
    let path = String(decoding: UnsafeBufferPointer(start: start, count: count), as: UTF8.self)
    switch path {
    case "/grpc.health.v1.Health/Check": return .check
    case "/grpc.health.v1.Health/Watch": return .watch
    case "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": return .reflection(version: "v1")
    case "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo":
      return .reflection(version: "v1alpha")
    default:
      if path.hasPrefix(Self.inferenceService),
        let method = InferenceMethod(rawValue: String(path.dropFirst(Self.inferenceService.count)))
      {
        return .inference(method)
      }
      let method = "/Execute"
      guard path.hasPrefix("/roost.nodes."), path.hasSuffix(method) else { return .other }
      return .typed(service: String(path.dropFirst().dropLast(method.count)))
    }
  }

  private func same(_ base: UnsafePointer<UInt8>, _ text: StaticString) -> Bool {
    for index in 0..<text.utf8CodeUnitCount where base[index] != text.utf8Start[index] { return false }
    return true
  }

  // MARK: From the server

  func arrivedCall(_ exchange: HTTPExchange, _ fields: UnsafeMutablePointer<HTTP1Field>) -> BodyPlan {
    switch called(exchange) {
    case .watch:
      begin(.watch, exchange, fields)
      return .stream
    case .reflection(let version):
      begin(.reflection(version), exchange, fields)
      return .stream
    // The message's own limit is that of its JSON; the frame around it is small.
    case .execute, .executeAlias, .typed, .inference:
      return .collect(limit: shared.configuration.requestLimit + 4096)
    case .check, .other: return .collect(limit: shared.configuration.bodyLimit)
    }
  }

  func receivedCall(
    _ exchange: HTTPExchange, _ fields: UnsafeMutablePointer<HTTP1Field>, _ body: UnsafePointer<UInt8>,
    _ count: Int
  ) {
    do throws(GRPCFault) {
      guard try encoding(exchange, fields) == .gzip else { return dispatch(exchange, fields, body, count) }
      // Unpacked it may be as long as what is not packed.
      let limit: Int
      switch called(exchange) {
      case .execute, .executeAlias, .typed: limit = shared.configuration.requestLimit + 4096
      default: limit = shared.configuration.bodyLimit
      }
      let plain = try GRPCEncoding.gzip.unpackedBody(body, count, limit: limit)
      plain.withUnsafeBufferPointer { bytes in
        dispatch(exchange, fields, bytes.baseAddress ?? body, bytes.count)
      }
    } catch {
      counters.refused.add()
      answer(exchange, Refusal(error))
    }
  }

  /// How the caller packs its messages. Throws for an encoding that is not understood.
  func encoding(
    _ exchange: HTTPExchange, _ fields: UnsafeMutablePointer<HTTP1Field>
  ) throws(GRPCFault) -> GRPCEncoding {
    guard let base = exchange.base else { return .identity }
    let name: StaticString = "grpc-encoding"
    for index in 0..<Int(exchange.head.fieldCount) where fields[index].nameCount == 13 {
      let field = fields[index]
      guard same(base + Int(field.nameStart), name) else { continue }
      let value = UnsafeBufferPointer(start: base + Int(field.valueStart), count: Int(field.valueCount))
      guard let encoding = GRPCEncoding(value) else {
        throw .encoding(String(decoding: value.prefix(32), as: UTF8.self))
      }
      return encoding
    }
    return .identity
  }

  private func dispatch(
    _ exchange: HTTPExchange, _ fields: UnsafeMutablePointer<HTTP1Field>, _ body: UnsafePointer<UInt8>,
    _ count: Int
  ) {
    switch called(exchange) {
    case .execute: run(exchange, fields, body, count, service: nil)
    case .executeAlias: run(exchange, fields, body, count, service: nil, ofAlias: true)
    case .typed(let service): run(exchange, fields, body, count, service: service)
    case .inference(let method): inferenceCall(exchange, fields, method, body, count)
    case .check: check(exchange, fields, body, count)
    case .watch, .reflection, .other: collect(exchange, fields, body, count)
    }
  }

  // MARK: Running a cell

  /// Runs the cell of a node: of `NodeService/Execute` without a `service`, else of the typed service of that name.
  private func run(
    _ exchange: HTTPExchange, _ fields: UnsafeMutablePointer<HTTP1Field>, _ body: UnsafePointer<UInt8>,
    _ count: Int, service: String?, ofAlias: Bool = false
  ) {
    let arrival = arrive(exchange, fields)
    let form: ExecuteRequest.Form = service == nil ? .structure : .typed
    var known: LoopNode?
    do throws(Refusal) {
      let verdict = try authenticate(exchange, fields)
      let message = try unary(body, count)
      var choice: AliasChoice?
      let (node, input) =
        if let service {
          try typedInput(exchange, fields, verdict, message, service, &known, &choice)
        } else if ofAlias {
          try aliasInput(exchange, fields, verdict, message, &known, &choice)
        } else {
          try structInput(verdict, message, &known)
        }
      if let refusal = node.entry.routed.refusal { throw Refusal(.unavailable, refusal, origin: .node) }
      if let models = node.entry.models {
        let version = service == nil ? nil : try namedVersion(exchange, fields)
        let call = try modelCall(node, models, input, service: service, choice, version: version)
        return try execute(
          exchange, fields, arrival, node, ModelExecution(models, call, form), choice, bodyCount: count)
      }
      let request = try prepare(exchange, fields, arrival, node, form, inputCount: input.count)
      request.choice = choice
      request.aliasPath = choice.flatMap { pathCounters($0.alias, exchange) }
      start(request, node, input)
    } catch {
      refuse(exchange, arrival, known, form, error)
    }
  }

  /// The one message of a call.
  func unary(
    _ body: UnsafePointer<UInt8>, _ count: Int
  ) throws(Refusal) -> UnsafeBufferPointer<UInt8> {
    do throws(GRPCFault) {
      guard let head = try GRPCFrameHead.read(body, count) else {
        throw count == 0 ? GRPCFault.notOne(0) : GRPCFault.truncated
      }
      guard !head.isCompressed else { throw GRPCFault.compressed }
      guard count >= GRPCFrameHead.size + head.count else { throw GRPCFault.truncated }
      guard count == GRPCFrameHead.size + head.count else { throw GRPCFault.notOne(2) }
      return UnsafeBufferPointer(start: body + GRPCFrameHead.size, count: head.count)
    } catch { throw Refusal(error) }
  }

  /// A `NodeExecutionRequest` or an `AliasExecutionRequest`, which have the same fields.
  private struct Envelope {
    var folder = ""
    /// The node's id or the alias' name.
    var key = ""
    /// As JSON.
    var input: [UInt8]?
  }

  private func envelope(_ message: UnsafeBufferPointer<UInt8>) throws(Refusal) -> Envelope {
    var envelope = Envelope()
    do throws(ProtobufError) {
      if let base = message.baseAddress {
        var reader = ProtobufReader(base, count: message.count)
        while let field = try reader.next() {
          switch field.number {
          case 1: envelope.folder = try reader.string(field)
          case 2: envelope.key = try reader.string(field)
          case 3:
            guard envelope.input == nil else {
              throw ProtobufError(path: "input", "the field is given twice")
            }
            var json: [UInt8] = []
            try DynamicValue.appendJSON(
              .object, try reader.message(field), path: "input",
              maximumBytes: shared.configuration.requestLimit, to: &json)
            envelope.input = json
          default: try reader.skip(field)
          }
        }
      }
    } catch { throw Refusal(.invalidArgument, "\(error)") }
    return envelope
  }

  /// Reads a `NodeExecutionRequest`; gives its node and the inputs as JSON.
  private func structInput(
    _ verdict: VerdictCache.Verdict, _ message: UnsafeBufferPointer<UInt8>, _ known: inout LoopNode?
  ) throws(Refusal) -> (LoopNode, [UInt8]) {
    let envelope = try envelope(message)
    let (id, folder) = (envelope.key, envelope.folder)
    guard !id.isEmpty else { throw Refusal(.invalidArgument, "node_id: missing; name the node") }
    guard let key = key(id), let place = places[key] else {
      throw Refusal(.notFound, "node '\(id.prefix(64))' does not exist")
    }
    let node = nodes[place]
    known = node
    try mayCall(verdict, node.entry)
    try limitRate(verdict, node)
    guard !folder.isEmpty else {
      throw Refusal(.invalidArgument, "folder_id: missing; name a folder of the node's ACL")
    }
    try allow(folder, node, field: "folder_id")
    guard !node.entry.routed.outputs.isEmpty || node.entry.models != nil else {
      throw Refusal(
        .failedPrecondition, "node '\(id)' runs no cell; call its own API with the header x-node-id")
    }
    guard let input = envelope.input else { throw Self.noInput }
    return (node, input)
  }

  private static var noInput: Refusal {
    Refusal(.invalidArgument, "input: missing; send the variables of the cell")
  }

  /// The same for an `AliasExecutionRequest`, whose node the alias chooses.
  private func aliasInput(
    _ exchange: HTTPExchange, _ fields: UnsafeMutablePointer<HTTP1Field>, _ verdict: VerdictCache.Verdict,
    _ message: UnsafeBufferPointer<UInt8>, _ known: inout LoopNode?, _ choice: inout AliasChoice?
  ) throws(Refusal) -> (LoopNode, [UInt8]) {
    var envelope = try envelope(message)
    guard !envelope.key.isEmpty else {
      throw Refusal(.invalidArgument, "alias_name: missing; name the alias")
    }
    let found = envelope.key.withUTF8 { alias($0) }
    guard let alias = found else {
      throw Refusal(.notFound, "alias '\(envelope.key.prefix(96))' does not exist")
    }
    try mayCall(verdict, alias)
    try allow(envelope.folder, alias, field: "folder_id")
    guard let input = envelope.input else { throw Self.noInput }
    let chosen = try choose(alias, verdict, exchange, fields)
    known = chosen.node
    try limitRate(verdict, chosen.node)
    guard !chosen.node.entry.routed.outputs.isEmpty || chosen.node.entry.models != nil else {
      throw Self.noCell(alias)
    }
    choice = chosen
    return (chosen.node, input)
  }

  /// Reads the typed message of a node's own service: its inputs as JSON, or the message itself for saved models.
  private func typedInput(
    _ exchange: HTTPExchange, _ fields: UnsafeMutablePointer<HTTP1Field>, _ verdict: VerdictCache.Verdict,
    _ message: UnsafeBufferPointer<UInt8>, _ service: String, _ known: inout LoopNode?,
    _ choice: inout AliasChoice?
  ) throws(Refusal) -> (LoopNode, [UInt8]) {
    if let name = try header("x-node-alias", exchange, fields) {
      return try typedInput(exchange, fields, verdict, message, service, ofAlias: name, &known, &choice)
    }
    let wanted = try header("x-node-id", exchange, fields)
    let folder = try header("x-folder-id", exchange, fields)
    let named = (table?.services[service] ?? []).map { nodes[$0] }
    var candidates = named.filter { wanted == nil || $0.shared.id == wanted }
    // Nodes of different folders may have one name: the caller's rights, then its header tell which is meant.
    if candidates.count > 1 { candidates.removeAll { !mayCallQuietly(verdict, $0.entry) } }
    guard let node = candidates.first else {
      throw Refusal(
        .unimplemented,
        "there is no service \(service.prefix(100)) here\(wanted.map { " for node '\($0.prefix(64))'" } ?? "")"
      )
    }
    guard candidates.count == 1 else {
      let ids = candidates.map(\.shared.id).joined(separator: ", ")
      throw Refusal(
        .invalidArgument, "\(service) is the service of several nodes (\(ids)); send the header x-node-id")
    }
    known = node
    try mayCall(verdict, node.entry)
    try limitRate(verdict, node)
    try allow(folder ?? node.entry.routed.folderID.text, node, field: "x-folder-id")
    guard let contract = node.entry.contract else { return (node, Array(message)) }
    do throws(ProtobufError) { return (node, try contract.inputJSON(Array(message))) } catch {
      throw Refusal(.invalidArgument, "\(error)")
    }
  }

  /// The same for the alias of a name: the service is that of any of its nodes, and the one that it chooses answers.
  private func typedInput(
    _ exchange: HTTPExchange, _ fields: UnsafeMutablePointer<HTTP1Field>, _ verdict: VerdictCache.Verdict,
    _ message: UnsafeBufferPointer<UInt8>, _ service: String, ofAlias name: String,
    _ known: inout LoopNode?, _ choice: inout AliasChoice?
  ) throws(Refusal) -> (LoopNode, [UInt8]) {
    var text = name
    guard let alias = text.withUTF8({ alias($0) }) else {
      throw Refusal(.notFound, "alias '\(name.prefix(96))' does not exist")
    }
    try mayCall(verdict, alias)
    try allow(
      try header("x-folder-id", exchange, fields) ?? alias.routed.folderID.text, alias, field: "x-folder-id")
    guard alias.shares.contains(where: { $0.node.entry.serviceNames.contains(service) }) else {
      throw Refusal(
        .unimplemented, "\(service.prefix(100)) is the service of no node of alias \(alias.routed.name)")
    }
    let chosen = try choose(alias, verdict, exchange, fields)
    known = chosen.node
    try limitRate(verdict, chosen.node)
    choice = chosen
    if chosen.node.entry.models != nil { return (chosen.node, Array(message)) }
    guard let contract = chosen.node.entry.contract else { throw Self.noCell(alias) }
    do throws(ProtobufError) { return (chosen.node, try contract.inputJSON(Array(message))) } catch {
      throw Refusal(.invalidArgument, "\(error)")
    }
  }

  private static func noCell(_ alias: LoopAlias) -> Refusal {
    Refusal(
      .failedPrecondition,
      "the nodes of alias '\(alias.routed.name)' run no cell; call their own API with the header x-node-alias"
    )
  }

  func allow(_ folder: String, _ node: LoopNode, field: String) throws(Refusal) {
    guard let key = key(folder), node.folders.contains(key) else {
      throw Refusal(
        .permissionDenied,
        "\(field): the ACL of node \(node.shared.id) does not allow calls from folder '\(folder.prefix(64))'")
    }
  }

  private func key(_ text: String) -> NodeKey? {
    var text = text
    return text.withUTF8 { bytes in bytes.baseAddress.flatMap { NodeKey($0, bytes.count) } }
  }

  /// The value of a header; refused when it stands twice.
  func header(
    _ name: String, _ exchange: HTTPExchange, _ fields: UnsafeMutablePointer<HTTP1Field>
  ) throws(Refusal) -> String? {
    guard let base = exchange.base else { return nil }
    var found: String?
    for index in 0..<Int(exchange.head.fieldCount) where Int(fields[index].nameCount) == name.utf8.count {
      let field = fields[index]
      let text = UnsafeBufferPointer(start: base + Int(field.nameStart), count: Int(field.nameCount))
      guard zip(text, name.utf8).allSatisfy({ $0 | 0x20 == $1 || $0 == $1 }) else { continue }
      guard found == nil else { throw Refusal(.invalidArgument, "the header \(name) is given twice") }
      found = String(
        decoding: UnsafeBufferPointer(start: base + Int(field.valueStart), count: Int(field.valueCount)),
        as: UTF8.self)
    }
    return found
  }

  /// Whether the principal may call the node, without keeping the answer.
  func mayCallQuietly(_ verdict: VerdictCache.Verdict, _ node: LoopTable.Node) -> Bool {
    table?.grants.contains(
      LoopTable.Grant(subject: verdict.principal.subject, folder: node.routed.folderID.text)) ?? false
  }
}
