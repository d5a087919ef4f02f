internal import CLinux
internal import HTTPTransport
internal import Reactor
internal import Wire

/// Who a request came from, for the instance: `x-forwarded-*` and `forwarded` (RFC 7239).
extension GatewayLoop {
  /// What a trusted proxy said about the callers before it; indices of fields, -1: nothing.
  private struct Said {
    var forwarded = -1
    var addresses = -1
    var host = -1
    var scheme = -1
    var prefix = -1
  }

  /// What a caller says about that itself is not believed. A trusted proxy's chains are kept and its own address is added;
  /// of the two ways to write a chain only the one that it uses goes on, since the other would begin with the proxy.
  func writeForwarded(
    _ request: ProxyRequest, _ exchange: HTTPExchange, _ fields: ProxyFields, _ route: ProxyRoute?
  ) {
    let said = exchange.isPeerTrusted ? said(fields) : Said()
    let hasChain = said.addresses >= 0 || said.forwarded >= 0
    if !hasChain || said.addresses >= 0 {
      request.head.append("x-forwarded-for: ")
      appendChain(request, fields, said.addresses, .forwardedFor)
      server.appendPeerAddress(exchange, to: request.head)
      request.head.append("\r\n")
    }
    let isSecure = said.scheme >= 0 ? fields.lists(said.scheme, "https") : exchange.isTLS
    request.head.append(isSecure ? "x-forwarded-proto: https\r\n" : "x-forwarded-proto: http\r\n")
    let host = said.host >= 0 ? said.host : Int(exchange.head.host)
    if host >= 0 {
      request.head.append("x-forwarded-host: ")
      request.head.append(fields.value(host))
      request.head.append("\r\n")
    }
    writePrefix(request, exchange, fields, route, said.prefix)
    guard !hasChain || said.forwarded >= 0 else { return }
    request.head.append("forwarded: ")
    appendChain(request, fields, said.forwarded, .forwarded)
    appendElement(request, exchange, fields)
  }

  private func said(_ fields: ProxyFields) -> Said {
    var said = Said()
    for index in 0..<fields.count {
      switch ProxyField(request: fields.name(index), fields.fields[index].nameCount) {
      case .forwarded: if said.forwarded < 0 { said.forwarded = index }
      case .forwardedFor: if said.addresses < 0 { said.addresses = index }
      // Of what has one value only the nearest proxy's counts, which is the last.
      case .forwardedHost: said.host = index
      case .forwardedProto: said.scheme = index
      case .forwardedPrefix: said.prefix = index
      default: break
      }
    }
    return said
  }

  /// All headers of a kind from the first on, as one list to go on with.
  private func appendChain(
    _ request: ProxyRequest, _ fields: ProxyFields, _ first: Int, _ kind: ProxyField
  ) {
    guard first >= 0 else { return }
    for index in first..<fields.count
    where fields.fields[index].valueCount > 0
      && ProxyField(request: fields.name(index), fields.fields[index].nameCount) == kind
    {
      request.head.append(fields.value(index))
      request.head.append(", ")
    }
  }

  private func writePrefix(
    _ request: ProxyRequest, _ exchange: HTTPExchange, _ fields: ProxyFields, _ route: ProxyRoute?,
    _ given: Int
  ) {
    let own = route?.rule == .path
    guard own || given >= 0 else { return }
    request.head.append("x-forwarded-prefix: ")
    if given >= 0 { request.head.append(fields.value(given)) }
    if own, let route {
      let start = Int(exchange.head.targetStart)
      request.head.append(fields.base + start, route.rest - start)
    }
    request.head.append("\r\n")
  }

  /// What this hop saw: `for=192.0.2.1;host="h";proto=http`.
  private func appendElement(_ request: ProxyRequest, _ exchange: HTTPExchange, _ fields: ProxyFields) {
    request.head.append("for=")
    if let peer = request.peer {
      // An address of IPv6 stands in brackets and quotes (RFC 7239 6).
      request.head.append(peer.isV4 ? "" : "\"[")
      server.appendPeerAddress(exchange, to: request.head)
      request.head.append(peer.isV4 ? "" : "]\"")
    } else {
      request.head.append("unknown")
    }
    if exchange.head.host >= 0 {
      request.head.append(";host=\"")
      request.head.append(fields.value(Int(exchange.head.host)))
      request.head.append("\"")
    }
    request.head.append(exchange.isTLS ? ";proto=https\r\n" : ";proto=http\r\n")
  }
}
