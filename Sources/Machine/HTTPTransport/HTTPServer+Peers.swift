internal import CLinux
public import Reactor
public import Wire

/// What a proxy asks of a server besides answers.
extension HTTPServer {
  /// What was written so far leaves at the end of the batch, although more of the answer is to come.
  public func push(_ exchange: HTTPExchange) {
    if !exchange.isHTTP2 { soil(http1(exchange)) }
  }

  /// Whether what the peer says about the callers before it is taken.
  public func trustsPeer(_ exchange: HTTPExchange) -> Bool { connection(of: exchange)?.isTrusted ?? false }

  /// Who the request came from; nil: over a unix socket.
  public func peerAddress(_ exchange: HTTPExchange) -> NetworkAddress? {
    connection(of: exchange).flatMap { address(of: $0) }
  }

  private func connection(of exchange: HTTPExchange) -> HTTPConnection? {
    exchange.isHTTP2 ? http2(exchange).session?.connection : http1(exchange)
  }

  /// Adds the peer's numeric address, without its port: `192.0.2.1`, `2001:db8::1`, `unix`.
  public func appendPeerAddress(_ exchange: HTTPExchange, to queue: ByteQueue) {
    let room = queue.room(64)
    guard let connection = connection(of: exchange) else { return }
    let count = roost_peer_address(&connection.address, room, 64)
    queue.wrote(count)
  }
}
