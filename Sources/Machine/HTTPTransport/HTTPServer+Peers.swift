internal import CLinux
public import Reactor
internal import Wire

/// What a proxy asks of a server besides answers.
extension HTTPServer {
  /// What was written so far leaves at the end of the batch, although more of the answer is to come.
  public func push(_ exchange: HTTPExchange) {
    if !exchange.isHTTP2 { soil(http1(exchange)) }
  }

  /// Adds the peer's numeric address, without its port: `192.0.2.1`, `2001:db8::1`, `unix`.
  public func appendPeerAddress(_ exchange: HTTPExchange, to queue: ByteQueue) {
    guard let peer = exchange.peer else { return queue.append("unix") }
    queue.wrote(roost_address_text(peer.high, peer.low, queue.room(64), 64))
  }
}
