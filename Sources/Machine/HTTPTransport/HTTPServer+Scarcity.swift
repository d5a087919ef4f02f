internal import CLinux
internal import Reactor

/// What the server does when its connections have taken all the open files that they may have.
///
/// Nobody is turned away: new clients wait in the queue of the listening socket, and connections that were idle for long end
/// to make room for them.
extension HTTPServer {
  /// How long a client must have been silent to lose its connection, nanoseconds. One that was silent for so long hardly sends
  /// just now.
  private static let idleNanoseconds: Int64 = 5_000_000_000
  /// Idle connections that end at a time, and connections that are looked at for them: others wait meanwhile.
  private static let endsAtOnce = 32
  private static let looksAtOnce = 4096

  /// Stops accepting from a listener until there is room.
  func pauseAccepting(_ index: Int) {
    scarcity.pauses += 1
    // A listener that is ready all the time would keep the loop busy.
    loop.unwatch(listeners[index].descriptor)
    awaitRoom(index)
  }

  /// Accepts again, if there is room now; else makes some.
  func lookForRoom(_ index: Int) {
    guard index < listeners.count else { return }
    let next = roost_next_descriptor(listeners[index].descriptor)
    if next >= 0, next < limits.firstReservedDescriptor {
      loop.watch(listeners[index].descriptor, .readable, data: Kind.listener << 56 | UInt64(index))
    } else {
      endIdleConnections()
      awaitRoom(index)
    }
  }

  private func awaitRoom(_ index: Int) {
    _ = loop.setTimer(at: loop.now + 100_000_000, data: Kind.listener << 56 | UInt64(index))
  }

  /// Ends those of the next connections that have been idle for longest.
  private func endIdleConnections() {
    var idle: [(since: Int64, connection: HTTPConnection)] = []
    for _ in 0..<min(Self.looksAtOnce, connections.count) {
      scarcityCursor = scarcityCursor + 1 < connections.count ? scarcityCursor + 1 : 0
      let connection = connections[scarcityCursor]
      guard let since = idleSince(connection), loop.now - since >= Self.idleNanoseconds else { continue }
      idle.append((since, connection))
    }
    idle.sort { $0.since < $1.since }
    for (_, connection) in idle.prefix(Self.endsAtOnce) {
      if let session = connection.session {
        session.drain()
      } else {
        guard roost_is_quiet(connection.descriptor) != 0 else { continue }
        close(connection)
      }
      scarcity.ended += 1
    }
  }

  /// Since when a connection waits for another request; nil: it does not.
  private func idleSince(_ connection: HTTPConnection) -> Int64? {
    guard connection.state != .closed, connection.output.isEmpty else { return nil }
    if let session = connection.session {
      return session.streams.isEmpty && !session.isDraining ? session.idleSince : nil
    }
    guard connection.state == .head, connection.requests > 0, connection.input.isEmpty else { return nil }
    return connection.deadline - Int64(limits.keepAliveSeconds) * 1_000_000_000
  }
}

/// What want of open files led to.
public struct ScarcityCounts: Sendable {
  /// How often a listener stopped accepting.
  public internal(set) var pauses = 0
  /// Idle connections that ended before their time.
  public internal(set) var ended = 0
}
