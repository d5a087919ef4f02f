internal import CLinux
internal import Domain
internal import HTTPTransport
internal import Reactor
internal import Wire

/// Heads on their way through: what is passed on, what is dropped, what is added.
extension GatewayLoop {
  func writeHead(
    _ request: ProxyRequest, _ exchange: HTTPExchange, _ fields: ProxyFields, _ route: ProxyRoute?,
    passesCredentials: Bool
  ) throws(Refusal) {
    let base = fields.base
    let head = exchange.head
    if exchange.isExtendedConnect {
      request.head.append("GET ")
      request.asksUpgrade = true
      request.isWebSocket = true
    } else {
      request.head.append(base, Int(head.methodCount))
      request.head.append(" ")
    }
    writeTarget(request, exchange, base, route)
    request.head.append(" HTTP/1.1\r\n")
    var upgrade = -1
    var connectionAsksUpgrade = false
    var namesOthers = false
    for index in 0..<fields.count {
      let count = fields.fields[index].nameCount
      guard count == 7 || count == 10 else { continue }
      switch ProxyField(request: fields.name(index), count) {
      case .upgrade: upgrade = index
      case .connection:
        if fields.lists(index, "upgrade") { connectionAsksUpgrade = true }
        if fields.namesOthers(index) { namesOthers = true }
      default: break
      }
    }
    let speaksHTTP2 = request.node?.speaksHTTP2(calls: request.isGRPC) ?? false
    let isUpgrade =
      upgrade >= 0 && connectionAsksUpgrade && head.minorVersion > 0 && request.framing == .none
    if speaksHTTP2 { try findTunnel(request, exchange, fields, upgrade: isUpgrade ? upgrade : -1) }
    for index in 0..<fields.count {
      switch ProxyField(request: fields.name(index), fields.fields[index].nameCount) {
      case .pass, .accept: break
      case .upgrade: continue
      case .webSocketKey: if request.isTunnel || exchange.isExtendedConnect { continue }
      case .authorization, .nodeID, .nodeAlias, .folderID: if !passesCredentials { continue }
      case .te:
        if !fields.lists(index, "trailers") { continue }
        request.asksTrailers = true
        continue
      case .cookie:
        if !(namesOthers && fields.isListed(index)) { fields.appendCookies(index, to: request.head) }
        continue
      case .traceState: if request.trace.parent == 0 { continue }
      case .connection, .drop: continue
      case .forwarded, .forwardedFor, .forwardedHost, .forwardedProto, .forwardedPrefix: continue
      }
      if namesOthers, fields.isListed(index) { continue }
      request.head.append(line: index, of: fields)
    }
    if speaksHTTP2 {
      if request.asksTrailers { request.head.append("te: trailers\r\n") }
    } else if exchange.isExtendedConnect {
      request.head.append("connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: ")
      appendWebSocketKey(request.head)
      request.head.append("\r\n")
    } else if isUpgrade {
      request.asksUpgrade = true
      request.isWebSocket = fields.lists(upgrade, "websocket")
      request.head.append("connection: upgrade\r\nupgrade: ")
      request.head.append(fields.value(upgrade))
      request.head.append("\r\n")
    }
    if head.host < 0 { request.head.append("host: node\r\n") }
    writeIdentity(request)
    writeForwarded(request, exchange, fields, route)
  }

  /// Whether an instance of HTTP/2 is asked for a WebSocket, and with which key.
  private func findTunnel(
    _ request: ProxyRequest, _ exchange: HTTPExchange, _ fields: ProxyFields, upgrade: Int
  ) throws(Refusal) {
    request.isTunnel = exchange.isExtendedConnect
    // GET is the only method of a handshake, and of three letters the only one with a g.
    guard upgrade >= 0, exchange.head.methodCount == 3, fields.base[0] == 0x47,
      fields.lists(upgrade, "websocket")
    else { return }
    var key = -1
    for index in 0..<fields.count where fields.fields[index].nameCount == 17 {
      guard ProxyField(request: fields.name(index), 17) == .webSocketKey else { continue }
      key = key == -1 ? index : -2
    }
    guard key >= 0, WebSocketKey.isKey(fields.value(key)) else {
      throw Refusal(
        .invalidArgument,
        "sec-websocket-key: a WebSocket needs it once, with 16 bytes in base64 (RFC 6455, 4.1)")
    }
    for (place, digit) in fields.value(key).enumerated() { request.webSocketKey[place] = digit }
    request.isTunnel = true
    request.asksUpgrade = true
    request.isWebSocket = true
  }

  private func writeTarget(
    _ request: ProxyRequest, _ exchange: HTTPExchange, _ base: UnsafePointer<UInt8>, _ route: ProxyRoute?
  ) {
    let start = Int(exchange.head.targetStart)
    let end = start + Int(exchange.head.targetCount)
    guard let route, route.rule == .path else {
      request.head.append(base + start, end - start)
      return
    }
    if route.rest == end || base[route.rest] != 0x2f { request.head.append("/") }
    request.head.append(base + route.rest, end - route.rest)
  }

  func writeIdentity(_ request: ProxyRequest) {
    request.head.append("x-request-id: ")
    request.head.append(identifier: request.identifier, request.identifierCount)
    if request.trace.isPassedOn {
      request.head.append("\r\ntraceparent: ")
      request.trace.write(request.head.room(TraceContext.byteCount))
      request.head.wrote(TraceContext.byteCount)
    }
    request.head.append("\r\n")
  }

  private func appendWebSocketKey(_ head: ByteQueue) {
    let alphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    let target = head.room(24)
    var bits = nextRandom()
    for index in 0..<22 {
      if index == 10 { bits = nextRandom() }
      // 16 bytes have 128 bits: the last of 22 digits carries only two of them.
      target[index] = alphabet.utf8Start[Int(bits & (index == 21 ? 0x30 : 0x3f))]
      bits >>= 6
    }
    target[22] = 0x3d
    target[23] = 0x3d
    head.wrote(24)
  }

  // MARK: Answers

  /// Writes the status line and the header lines of an instance's answer.
  func writeAnswerHead(
    _ request: ProxyRequest, _ exchange: HTTPExchange, _ upstream: UpstreamExchange,
    _ table: UnsafeMutablePointer<HTTP1Field>, status: Int
  ) {
    guard let base = upstream.base else { return }
    let fields = ProxyFields(base: base, fields: table, count: Int(upstream.head.fieldCount))
    server.begin(exchange, status: status)
    exchange.output.append("x-request-id: ")
    exchange.output.append(identifier: request.identifier, request.identifierCount)
    exchange.output.append("\r\nserver-timing: queue;dur=")
    append(milliseconds: request.dispatched - request.arrived, to: exchange)
    exchange.output.append(", upstream;dur=")
    append(milliseconds: request.answered - request.dispatched, to: exchange)
    exchange.output.append("\r\n")
    if let choice = request.choice { appendChoice(choice, to: exchange) }
    copyAnswerFields(
      fields, into: exchange.output, isUpgrade: status == 101,
      isStream: exchange.isExtendedConnect || request.isTunnel)
    guard request.isTunnel, status == 101 else { return }
    exchange.output.append("upgrade: websocket\r\nsec-websocket-accept: ")
    var key: [UInt8] = []
    for place in 0..<WebSocketKey.count { key.append(request.webSocketKey[place]) }
    WebSocketKey.answer(key).withUnsafeBufferPointer { exchange.output.append($0) }
    exchange.output.append("\r\n")
  }

  func copyAnswerFields(
    _ fields: ProxyFields, into output: ByteQueue, isUpgrade: Bool, isStream: Bool = false
  ) {
    var namesOthers = false
    for index in 0..<fields.count where fields.fields[index].nameCount == 10 {
      guard ProxyField(response: fields.name(index), 10) == .connection else { continue }
      if fields.namesOthers(index) { namesOthers = true }
    }
    for index in 0..<fields.count {
      switch ProxyField(response: fields.name(index), fields.fields[index].nameCount) {
      case .upgrade: if !isUpgrade { continue }
      case .accept: if isStream { continue }
      case .cookie: if fields.setsSession(index) { continue }
      case .connection, .drop: continue
      default: break
      }
      if namesOthers, fields.isListed(index) { continue }
      output.append(line: index, of: fields)
    }
  }
}
