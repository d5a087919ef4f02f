internal import Access
internal import CLinux
internal import Domain
internal import HTTPTransport
internal import Reactor
internal import Wire

/// Browsers can't set headers on pages, on EventSource and on WebSocket: there a cookie stands for the token, for one
/// node or alias (docs/access.md).
extension GatewayLoop {
  /// What the cookie's name and the sign behind it are.
  static let sessionCookie: StaticString = "roost-session="
  /// The beginning of those paths on a node's host that are the platform's own.
  static let ownPrefix: StaticString = "/.roost/"

  /// Who calls: by `Authorization`, or without it by the session of a browser.
  func authenticate(
    _ exchange: HTTPExchange, _ fields: ProxyFields, _ route: ProxyRoute?
  ) throws(Refusal) -> VerdictCache.Verdict {
    guard exchange.head.authorization == -1, let route, let session = session(in: fields) else {
      return try authenticate(exchange, fields.fields)
    }
    guard isFromSameOrigin(exchange, fields) else {
      throw Refusal(
        .permissionDenied,
        "a page of another origin asked for this with your session; only pages of this one may do so")
    }
    let verdict = try judge(session.start, session.count, isSession: true)
    let id = UnsafeBufferPointer(start: fields.base + route.id.lowerBound, count: route.id.count)
    guard let place = verdict.principal.node,
      route.isAlias ? alias(id)?.routed.id.text == place : place.utf8.elementsEqual(id)
    else {
      throw Refusal(
        .unauthenticated, "the cookie roost-session is of another node or alias; sign in to this one")
    }
    return verdict
  }

  /// The page where people sign in, when it is a person with a browser who came without a good credential.
  func signIn(_ exchange: HTTPExchange, _ fields: ProxyFields, _ route: ProxyRoute) -> String? {
    let head = exchange.head
    let get: StaticString = "get"
    guard head.methodCount == 3, exchange.head.authorization == -1,
      let base = exchange.base, scan_equals_lower(base, get.utf8Start, 3) != 0
    else { return nil }
    let (accept, page): (StaticString, StaticString) = ("accept", "text/html")
    for index in 0..<fields.count where fields.fields[index].nameCount == 6 {
      guard scan_equals_lower(fields.name(index), accept.utf8Start, 6) != 0 else { continue }
      let value = fields.value(index)
      guard let text = value.baseAddress, value.count >= page.utf8CodeUnitCount,
        scan_equals_lower(text, page.utf8Start, page.utf8CodeUnitCount) != 0
      else { return nil }
      guard route.rule == .path else { return "/.roost/session" }
      let id = UnsafeBufferPointer(start: fields.base + route.id.lowerBound, count: route.id.count)
      if route.isAlias { return alias(id).map { "/aliases/\($0.routed.name)/session" } }
      guard id.allSatisfy({ (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) }) else { return nil }
      return "/nodes/\(String(decoding: id, as: UTF8.self))/session"
    }
    return nil
  }

  /// Whether a request comes from the node's own pages or from the person at the browser. Pages of other nodes are of
  /// the same site, so SameSite alone does not keep them from using the session, least of all by WebSocket.
  private func isFromSameOrigin(_ exchange: HTTPExchange, _ fields: ProxyFields) -> Bool {
    let (origin, site): (StaticString, StaticString) = ("origin", "sec-fetch-site")
    for index in 0..<fields.count {
      let count = fields.fields[index].nameCount
      if count == 6, scan_equals_lower(fields.name(index), origin.utf8Start, 6) != 0 {
        guard exchange.head.host >= 0,
          Self.isOrigin(fields.value(index), of: fields.value(Int(exchange.head.host)))
        else { return false }
      } else if count == 14, scan_equals_lower(fields.name(index), site.utf8Start, 14) != 0 {
        let value = fields.value(index)
        let (own, person): (StaticString, StaticString) = ("same-origin", "none")
        guard Self.equal(value, own) || Self.equal(value, person) else { return false }
      }
    }
    return true
  }

  /// Whether `SCHEME://HOST` names the host. The scheme is the business of whoever ends TLS.
  private static func isOrigin(_ origin: UnsafeBufferPointer<UInt8>, of host: UnsafeBufferPointer<UInt8>)
    -> Bool
  {
    let (plain, secure): (StaticString, StaticString) = ("http://", "https://")
    guard let start = origin.baseAddress, let name = host.baseAddress else { return false }
    for scheme in [plain, secure] {
      let size = scheme.utf8CodeUnitCount
      guard origin.count == size + host.count, scan_equals_lower(start, scheme.utf8Start, size) != 0 else {
        continue
      }
      return (0..<host.count).allSatisfy { scan_lower(start[size + $0]) == scan_lower(name[$0]) }
    }
    return false
  }

  private static func equal(_ value: UnsafeBufferPointer<UInt8>, _ text: StaticString) -> Bool {
    guard let start = value.baseAddress, value.count == text.utf8CodeUnitCount else { return false }
    return scan_equals_lower(start, text.utf8Start, value.count) != 0
  }

  private func session(in fields: ProxyFields) -> (start: UnsafePointer<UInt8>, count: Int)? {
    let name: StaticString = "cookie"
    for index in 0..<fields.count where fields.fields[index].nameCount == 6 {
      guard scan_equals_lower(fields.name(index), name.utf8Start, 6) != 0 else { continue }
      var found: (start: UnsafePointer<UInt8>, count: Int)?
      fields.eachCookie(index) { start, count, isSession in
        guard isSession, found == nil else { return }
        let skipped = Self.sessionCookie.utf8CodeUnitCount
        found = (start + skipped, count - skipped)
      }
      if let found { return found }
    }
    return nil
  }
}

extension ProxyFields {
  /// Visits the cookies of a `cookie` header as `NAME=VALUE`, and says of each whether it is a session of ours.
  func eachCookie(_ index: Int, _ visit: (UnsafePointer<UInt8>, Int, _ isSession: Bool) -> Void) {
    let all = value(index)
    guard let base = all.baseAddress else { return }
    var start = 0
    while start < all.count {
      var end = start
      while end < all.count, base[end] != 0x3b { end += 1 }
      var first = start
      var last = end
      while first < last, base[first] == 0x20 || base[first] == 0x09 { first += 1 }
      while last > first, base[last - 1] == 0x20 || base[last - 1] == 0x09 { last -= 1 }
      if last > first { visit(base + first, last - first, Self.isSession(base + first, last - first)) }
      start = end + 1
    }
  }

  /// Whether a `set-cookie` header would change a session of ours: only the platform may.
  func setsSession(_ index: Int) -> Bool {
    let all = value(index)
    return all.baseAddress.map { Self.isSession($0, all.count) } ?? false
  }

  private static func isSession(_ cookie: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    let name = GatewayLoop.sessionCookie
    return count >= name.utf8CodeUnitCount
      && scan_equals_lower(cookie, name.utf8Start, name.utf8CodeUnitCount) != 0
  }

  /// Adds a `cookie` header without our sessions; nothing when no cookie is left.
  func appendCookies(_ index: Int, to output: ByteQueue) {
    var sessions = 0
    eachCookie(index) { _, _, isSession in sessions += isSession ? 1 : 0 }
    guard sessions > 0 else { return output.append(line: index, of: self) }
    var isFirst = true
    eachCookie(index) { cookie, count, isSession in
      guard !isSession else { return }
      output.append(isFirst ? "cookie: " : "; ")
      output.append(cookie, count)
      isFirst = false
    }
    if !isFirst { output.append("\r\n") }
  }
}
