internal import CLinux
internal import Glibc
internal import Reactor

/// Connections with TLS: the same requests and answers, through a cipher.
extension UpstreamClient {
  /// Whether an encrypted connection is ready for its request; one that is not encrypted always is.
  func shake(_ connection: UpstreamConnection) -> Bool {
    guard let identity = connection.target.identity else { return true }
    guard let cipher = connection.cipher ?? UpstreamCipher(identity, isHTTP2: false) else {
      fail(connection, UpstreamFailure(.connect, code: ENOMEM, nothingSent: true))
      return false
    }
    connection.cipher = cipher
    switch cipher.shake(connection.descriptor, scratch) {
    case .done: return true
    case .waiting: watch(connection)
    case .failed(let failure): fail(connection, failure)
    }
    return false
  }

  /// The same for a connection of HTTP/2.
  func shake(_ session: UpstreamSession) -> Bool {
    guard let identity = session.target.identity else { return true }
    guard let cipher = session.cipher ?? UpstreamCipher(identity, isHTTP2: true) else {
      session.close(UpstreamFailure(.connect, code: ENOMEM, nothingSent: true))
      return false
    }
    session.cipher = cipher
    switch cipher.shake(session.descriptor, scratch) {
    case .done: return true
    case .waiting:
      watch(session, cipher.wantsToWrite ? [.readable, .hangup, .writable] : [.readable, .hangup])
    case .failed(let failure): session.close(failure)
    }
    return false
  }

  /// Sends; how many bytes were taken, or -errno.
  func transmit(
    _ descriptor: Int32, _ cipher: UpstreamCipher?, _ bytes: UnsafePointer<UInt8>, _ count: Int
  ) -> Int {
    if let cipher { return cipher.send(descriptor, bytes, count) }
    let sent = roost_send(descriptor, bytes, count)
    return sent < 0 ? -Int(roost_errno()) : sent
  }

  /// Before more is written: sends what waits, and gives out what the owner's pause had held back. False: the connection is
  /// not what it was.
  func prepare(_ connection: UpstreamConnection, _ cipher: UpstreamCipher) -> Bool {
    let key = connection.key
    let code = cipher.drain(connection.descriptor)
    if code != 0 { connection.writeError = code }
    if connection.holdsPlaintext, !connection.isPaused {
      connection.holdsPlaintext = false
      readPlaintext(connection, cipher)
      if cipher.hasEnded, !connection.isPaused, connection.key == key, connection.state != .closed {
        ended(connection, 0)
      }
    }
    return connection.key == key && connection.state != .closed
  }

  func read(_ connection: UpstreamConnection, _ cipher: UpstreamCipher) {
    let received = cipher.fill(connection.descriptor, scratch)
    if received < 0 {
      let code = Int32(-received)
      if !UpstreamCipher.isPatient(code) { ended(connection, code) }
      return
    }
    let key = connection.key
    readPlaintext(connection, cipher)
    guard connection.key == key, connection.state != .closed else { return }
    if cipher.hasEnded { return ended(connection, 0) }
    // Without a goodbye nobody can tell whether something was cut off.
    if received == 0 || cipher.hasFailed { return ended(connection, ECONNRESET) }
    if cipher.wantsToWrite { soil(connection) }
  }

  private func readPlaintext(_ connection: UpstreamConnection, _ cipher: UpstreamCipher) {
    let key = connection.key
    while connection.key == key, connection.state != .closed, connection.cipher === cipher {
      if connection.isPaused {
        connection.holdsPlaintext = true
        return
      }
      let isDirect = connection.input.isEmpty
      let count = cipher.read(isDirect ? scratch : connection.input.room(Self.readSize), Self.readSize)
      guard count > 0 else { return }
      took(connection, count, isDirect)
    }
  }

  /// Reads what came to a connection of HTTP/2; `fills`: from its socket first.
  func read(_ session: UpstreamSession, _ cipher: UpstreamCipher, fills: Bool) {
    var received = 1
    if fills {
      received = cipher.fill(session.descriptor, scratch)
      if received < 0 {
        let code = Int32(-received)
        if !UpstreamCipher.isPatient(code) { session.close(UpstreamFailure(.closed, code: code)) }
        return
      }
    }
    while !session.isClosed {
      let count = cipher.read(scratch, Self.readSize)
      guard count > 0 else { break }
      guard session.receive(scratch, count) else { return session.close(UpstreamFailure(.malformed)) }
    }
    guard !session.isClosed else { return }
    if received == 0 || cipher.hasEnded || cipher.hasFailed { return session.close(UpstreamFailure(.closed)) }
    if cipher.wantsToWrite { soil(session) }
  }
}
