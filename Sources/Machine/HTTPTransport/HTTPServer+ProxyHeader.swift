internal import CLinux
internal import Reactor
internal import Wire

/// What a server saw of the PROXY protocol.
public struct ProxyHeaderCounts: Sendable {
  public var accepted = 0
  /// Closed: not a header, or it did not come in time.
  public var malformed = 0
  /// Closed: from somebody who may not send one.
  public var untrusted = 0
}

/// Listeners behind load balancers: the first bytes of a connection say who it comes from.
extension HTTPServer {
  /// Whether a connection that was just accepted may stay; one that has to name its caller waits for that first.
  func admit(_ connection: HTTPConnection, _ listener: HTTPListener) -> Bool {
    meet(connection)
    guard let sources = listener.proxySources else { return true }
    guard sources.contain(connection.peer) else {
      proxyHeaders.untrusted += 1
      return false
    }
    connection.state = .proxyHeader
    return true
  }

  /// Notes who the peer is, once its address is known.
  private func meet(_ connection: HTTPConnection) {
    var high: UInt64 = 0
    var low: UInt64 = 0
    let isKnown = roost_peer_bits(&connection.address, &high, &low) != 0
    connection.peer = isKnown ? NetworkAddress(high: high, low: low) : nil
    connection.isPeerTrusted = trusted.contain(connection.peer)
  }

  /// Takes exactly the header from the socket: what follows is TLS's or HTTP's.
  func readProxyHeader(_ connection: HTTPConnection) {
    while true {
      let have = connection.input.count
      var wanted = ProxyHeader.fixedBytes
      if have >= wanted, let base = connection.input.base {
        guard let length = try? ProxyHeader.length(base) else { return refuseProxyHeader(connection) }
        wanted = length
        if have == length {
          guard let header = try? ProxyHeader(base, length) else { return refuseProxyHeader(connection) }
          return take(header, connection)
        }
      }
      let received = roost_recv(
        connection.descriptor, connection.input.room(wanted - have), wanted - have)
      if received < 0 {
        let code = roost_errno()
        if code == ROOST_EINTR { continue }
        if roost_would_block(code) == 0 { close(connection) }
        return
      }
      guard received > 0 else {
        // Who connects only to see whether we listen has sent nothing wrong.
        return have == 0 ? close(connection) : refuseProxyHeader(connection)
      }
      connection.input.wrote(received)
    }
  }

  private func take(_ header: ProxyHeader, _ connection: HTTPConnection) {
    proxyHeaders.accepted += 1
    switch header.source {
    case .connection: break
    case .unix: roost_set_peer(&connection.address, 0, 0, 0, 0)
    case .address(let address, let port):
      roost_set_peer(&connection.address, 1, address.high, address.low, port)
    }
    if header.source != .connection { meet(connection) }
    connection.input.free()
    connection.state = .head
    expect(connection, seconds: limits.headSeconds)
    read(connection)
  }

  func refuseProxyHeader(_ connection: HTTPConnection) {
    proxyHeaders.malformed += 1
    close(connection)
  }
}
