internal import Glibc
internal import Reactor

/// Listeners that come and go while the server runs: another process takes them over, or gave them.
extension HTTPServer {
  /// How long a connection whose last answer said nothing of an end may wait for its next request, seconds. A client that
  /// uses its connection finds it open and is told with the answer; one that was silent for so long hardly sends just now.
  private static let idleSeconds = 5

  /// Serves more listening sockets, which it owns from now on.
  public func listen(_ more: [HTTPListener]) {
    for listener in more {
      let index = listeners.count
      listeners.append(listener)
      if listener.proxySources != nil { hasProxyListeners = true }
      loop.watch(listener.descriptor, .readable, data: Kind.listener << 56 | UInt64(index))
    }
  }

  /// Stops accepting, because somebody else accepts from the same sockets: what waits in their queues is left to them.
  ///
  /// No connection is closed that a client may be about to use: each gets its next answer with `connection: close` or a GOAWAY.
  public func leave() {
    guard !isDraining else { return }
    isDraining = true
    isLeaving = true
    for listener in listeners {
      // The other process keeps the socket open, so that closing it here alone would leave it watched.
      loop.unwatch(listener.descriptor)
      _ = Glibc.close(listener.descriptor)
    }
    listeners = []
    for connection in openConnections {
      if let session = connection.session {
        session.drain()
      } else if connection.state == .head, connection.requests > 0, connection.input.isEmpty,
        connection.output.isEmpty
      {
        hurry(connection, seconds: Self.idleSeconds)
      }
    }
  }

  /// The time of `leave` is over: what goes on is to end as `drain` has it end.
  public func endLeaving() {
    guard isLeaving else { return }
    isLeaving = false
    for connection in openConnections where connection.state == .head && connection.output.isEmpty {
      read(connection)
      if connection.state == .head, connection.input.isEmpty, connection.output.isEmpty { close(connection) }
    }
  }
}
