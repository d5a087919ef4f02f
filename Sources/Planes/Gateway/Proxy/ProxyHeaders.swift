internal import CLinux
internal import Reactor
internal import Wire

/// What a proxy does with a header.
enum ProxyField: UInt8 {
  case pass
  /// Belongs to one connection (RFC 9110 7.6.1), or is framed or written anew.
  case drop
  case connection, te, upgrade
  case authorization, nodeID, nodeAlias, folderID
  /// May hold a browser's session, which stays here.
  case cookie
  /// What proxies say about who came to them.
  case forwarded, forwardedFor, forwardedHost, forwardedProto, forwardedPrefix
  /// Goes on only together with the `traceparent` that it belongs to.
  case traceState
  /// The key of a WebSocket's caller, and what answers it; HTTP/2 has neither.
  case webSocketKey, accept

  /// By the name of a request's header.
  init(request name: UnsafePointer<UInt8>, _ count: Int32) {
    func named(_ text: StaticString) -> Bool {
      scan_equals_lower(name, text.utf8Start, text.utf8CodeUnitCount) != 0
    }
    self = .pass
    switch count {
    case 2 where named("te"): self = .te
    case 6 where named("cookie"): self = .cookie
    case 7 where named("upgrade"): self = .upgrade
    case 9 where named("x-node-id"): self = .nodeID
    case 9 where named("forwarded"): self = .forwarded
    case 10 where named("connection"): self = .connection
    case 10 where named("keep-alive"): self = .drop
    case 10 where named("tracestate"): self = .traceState
    // Written anew, with the gateway's span.
    case 11 where named("traceparent"): self = .drop
    case 11 where named("x-folder-id"): self = .folderID
    case 12 where named("x-node-alias"): self = .nodeAlias
    case 12 where named("x-request-id"): self = .drop
    case 13 where named("authorization"): self = .authorization
    case 14 where named("content-length") || named("http2-settings"): self = .drop
    // Instances behind CGI or WSGI could not tell these from those that we write.
    case 15 where named("x_forwarded_for"): self = .drop
    case 16 where named("x_forwarded_host"): self = .drop
    case 17 where named("x_forwarded_proto"): self = .drop
    case 18 where named("x_forwarded_prefix"): self = .drop
    case 15 where named("x-forwarded-for"): self = .forwardedFor
    case 16 where named("proxy-connection") || named("x-forwarded-host"):
      self = named("x-forwarded-host") ? .forwardedHost : .drop
    case 17 where named("transfer-encoding"): self = .drop
    case 17 where named("sec-websocket-key"): self = .webSocketKey
    case 17 where named("x-forwarded-proto"): self = .forwardedProto
    case 18 where named("x-forwarded-prefix"): self = .forwardedPrefix
    case 19 where named("proxy-authorization"): self = .drop
    default: break
    }
  }

  /// By the name of an answer's header.
  init(response name: UnsafePointer<UInt8>, _ count: Int32) {
    func named(_ text: StaticString) -> Bool {
      scan_equals_lower(name, text.utf8Start, text.utf8CodeUnitCount) != 0
    }
    self = .pass
    switch count {
    case 2 where named("te"): self = .drop
    case 4 where named("date"): self = .drop
    case 7 where named("upgrade"): self = .upgrade
    case 10 where named("connection"): self = .connection
    case 10 where named("keep-alive"): self = .drop
    case 10 where named("set-cookie"): self = .cookie
    case 12 where named("x-request-id"): self = .drop
    case 13 where named("x-roost-fault"): self = .drop
    case 14 where named("content-length"): self = .drop
    case 16 where named("proxy-connection"): self = .drop
    case 17 where named("transfer-encoding"): self = .drop
    case 20 where named("sec-websocket-accept"): self = .accept
    default: break
    }
  }
}

/// The fields of one head, for copying those that go on.
struct ProxyFields {
  let base: UnsafePointer<UInt8>
  let fields: UnsafeMutablePointer<HTTP1Field>
  let count: Int

  func name(_ index: Int) -> UnsafePointer<UInt8> { base + Int(fields[index].nameStart) }
  func value(_ index: Int) -> UnsafeBufferPointer<UInt8> {
    UnsafeBufferPointer(start: base + Int(fields[index].valueStart), count: Int(fields[index].valueCount))
  }

  /// Whether a `connection` header at `index` names headers that must not go on, besides the well-known ones.
  func namesOthers(_ index: Int) -> Bool {
    var found = false
    eachToken(index) { token, count in
      let known =
        (count == 5 && Self.equal(token, "close")) || (count == 7 && Self.equal(token, "upgrade"))
        || (count == 10 && Self.equal(token, "keep-alive")) || (count == 2 && Self.equal(token, "te"))
      if !known, count > 0 { found = true }
    }
    return found
  }

  /// Whether a list header holds a token.
  func lists(_ index: Int, _ text: StaticString) -> Bool {
    var found = false
    eachToken(index) { token, count in
      if count == text.utf8CodeUnitCount, Self.equal(token, text) { found = true }
    }
    return found
  }

  /// Whether any `connection` header names the header at `index`. Headers without which a message can't be understood
  /// are never taken for such.
  func isListed(_ index: Int) -> Bool {
    let field = fields[index]
    let own = name(index)
    if field.nameCount == 4, Self.equal(own, "host") { return false }
    for other in 0..<count
    where fields[other].nameCount == 10 && Self.equal(name(other), "connection") {
      var found = false
      eachToken(other) { token, size in
        guard size == Int(field.nameCount) else { return }
        for at in 0..<size where scan_lower(token[at]) != scan_lower(own[at]) { return }
        found = true
      }
      if found { return true }
    }
    return false
  }

  /// Whether what follows is a stream of server-sent events.
  var isEventStream: Bool {
    for index in 0..<count
    where fields[index].nameCount == 12 && Self.equal(name(index), "content-type") {
      return fields[index].valueCount >= 17
        && Self.equal(base + Int(fields[index].valueStart), "text/event-stream")
    }
    return false
  }

  private static func equal(_ bytes: UnsafePointer<UInt8>, _ text: StaticString) -> Bool {
    scan_equals_lower(bytes, text.utf8Start, text.utf8CodeUnitCount) != 0
  }

  private func eachToken(_ index: Int, _ visit: (UnsafePointer<UInt8>, Int) -> Void) {
    let value = base + Int(fields[index].valueStart)
    let size = Int(fields[index].valueCount)
    var start = 0
    while start <= size {
      var end = start
      while end < size, value[end] != 0x2c { end += 1 }
      var first = start
      var last = end
      while first < last, value[first] == 0x20 || value[first] == 0x09 { first += 1 }
      while last > first, value[last - 1] == 0x20 || value[last - 1] == 0x09 { last -= 1 }
      visit(value + first, last - first)
      start = end + 1
    }
  }
}

extension ByteQueue {
  /// Adds the line of a header as it was received, with CR LF.
  func append(line index: Int, of fields: ProxyFields) {
    let field = fields.fields[index]
    let start = Int(field.nameStart)
    let size = Int(field.valueStart + field.valueCount) - start
    let target = room(size + 2)
    target.update(from: fields.base + start, count: size)
    target[size] = 0x0d
    target[size + 1] = 0x0a
    wrote(size + 2)
  }

  func append(_ bytes: UnsafeBufferPointer<UInt8>) {
    if let base = bytes.baseAddress { append(base, bytes.count) }
  }

  func append(identifier: InlineArray<64, UInt8>, _ count: Int) {
    identifier.span.withUnsafeBufferPointer { append(UnsafeBufferPointer(rebasing: $0.prefix(count))) }
  }
}
