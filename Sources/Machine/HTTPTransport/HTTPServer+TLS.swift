internal import CLinux
internal import Glibc
internal import Reactor
internal import TLS
internal import Wire

/// Connections with TLS: the same reading and writing, through an engine.
extension HTTPServer {
  private static let chunk = 65536

  func read(_ connection: HTTPConnection, _ tls: TLSEngine) {
    let buffer = cipher ?? .allocate(capacity: Self.chunk)
    cipher = buffer
    let received = roost_recv(connection.descriptor, buffer, Self.chunk)
    if received < 0 {
      let code = roost_errno()
      if roost_would_block(code) == 0, code != EINTR { disconnect(connection) }
      return
    }
    guard received > 0 else { return readEnded(connection) }
    let wasHandshaking = tls.state == .handshaking
    tls.receive(buffer, received)
    // A handshake takes longer than many requests: its client should not wait for those of the others in the batch.
    if wasHandshaking, tls.ciphertextCount > 0, !drain(connection, tls) { return }
    while connection.state != .closed {
      let isDirect = readsDirectly(connection)
      let target =
        isDirect || connection.state == .lingering ? scratch : connection.input.room(Self.chunk)
      let count = tls.read(target, Self.chunk)
      guard count > 0 else { break }
      take(connection, count, isDirect)
    }
    guard connection.state != .closed else { return }
    if tls.ciphertextCount > 0 { soil(connection) }
    switch tls.state {
    case .handshaking, .open: break
    case .closed: readEnded(connection)
    case .failed:
      _ = drain(connection, tls)
      disconnect(connection)
    }
  }

  /// Encrypts and sends until the socket is full or nothing waits.
  func write(_ connection: HTTPConnection, _ tls: TLSEngine) -> Bool {
    while true {
      if connection.wire.isEmpty, tls.state == .open || tls.state == .closed {
        var left = Self.chunk
        while left > 0, let base = connection.output.base, !connection.output.isEmpty {
          let taken = tls.write(base, min(left, connection.output.count))
          guard taken > 0 else { break }
          connection.output.drop(taken)
          left -= taken
        }
      }
      guard drain(connection, tls) else { return false }
      if !connection.wire.isEmpty || connection.output.isEmpty || tls.state == .handshaking { break }
      if case .failed = tls.state {
        disconnect(connection)
        return false
      }
    }
    return connection.wire.isEmpty && (connection.output.isEmpty || connection.isFull)
  }

  /// Moves ciphertext to the socket; false when the connection is broken.
  private func drain(_ connection: HTTPConnection, _ tls: TLSEngine) -> Bool {
    while true {
      let pending = tls.ciphertextCount
      if pending > 0 {
        let taken = tls.takeCiphertext(connection.wire.room(pending), pending)
        connection.wire.wrote(taken)
      }
      guard let base = connection.wire.base, !connection.wire.isEmpty else { return true }
      let sent = roost_send(connection.descriptor, base, connection.wire.count)
      if sent < 0 {
        let code = roost_errno()
        if code == EINTR { continue }
        return blocked(connection, code)
      }
      connection.wire.drop(sent)
    }
  }

  /// Before the socket closes: tells the peer that this is the end, if it can be told at once.
  func part(_ connection: HTTPConnection, _ tls: TLSEngine) {
    tls.close()
    let pending = tls.ciphertextCount
    if connection.wire.isEmpty, pending > 0 {
      connection.wire.wrote(tls.takeCiphertext(connection.wire.room(pending), pending))
      if let base = connection.wire.base {
        _ = roost_send(connection.descriptor, base, connection.wire.count)
      }
    }
    connection.wire.free()
    connection.tls = nil
  }
}
