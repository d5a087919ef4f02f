internal import COpenSSL

/// One connection's TLS without a socket: ciphertext in, plaintext out, and back. Use it on one thread at a time.
public final class TLSEngine {
  public enum State: Sendable, Equatable {
    case handshaking
    case open
    /// The peer ended its side in order.
    case closed
    /// Nothing can be read or written any more; what is in `takeCiphertext` (an alert) may still be sent.
    case failed(String)
  }

  public enum ApplicationProtocol: Sendable, Equatable {
    case none, http1, http2
  }

  private let ssl: OpaquePointer
  private let incoming: OpaquePointer
  private let outgoing: OpaquePointer
  /// Contexts live as long as a connection needs them.
  private let context: TLSContext
  public private(set) var state = State.handshaking

  /// A server's or client's side, as the context says. A client names the server it wants.
  public init?(_ context: TLSContext, serverName: String? = nil) {
    guard let first = context.contexts.first, let ssl = SSL_new(first) else { return nil }
    guard let incoming = BIO_new(BIO_s_mem()), let outgoing = BIO_new(BIO_s_mem()) else {
      SSL_free(ssl)
      return nil
    }
    roost_tls_expect_more(incoming)
    roost_tls_expect_more(outgoing)
    SSL_set_bio(ssl, incoming, outgoing)
    self.ssl = ssl
    self.incoming = incoming
    self.outgoing = outgoing
    self.context = context
    if context.isServer {
      SSL_set_accept_state(ssl)
    } else {
      SSL_set_connect_state(ssl)
      // A numeric address is no name: it is not sent, and looked for among the certificate's addresses.
      if let serverName, X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), serverName) != 1 {
        _ = roost_tls_set_server_name(ssl, serverName)
        _ = SSL_set1_host(ssl, serverName)
      }
    }
  }

  deinit { SSL_free(ssl) }

  /// For a client: the protocols it offers, `h2` first.
  public func offer(http2: Bool) {
    let both: [UInt8] = [2, 0x68, 0x32, 8] + Array("http/1.1".utf8)
    let one: [UInt8] = [8] + Array("http/1.1".utf8)
    let list = http2 ? both : one
    _ = SSL_set_alpn_protos(ssl, list, UInt32(list.count))
  }

  /// Bytes that came from the peer.
  public func receive(_ bytes: UnsafePointer<UInt8>, _ count: Int) {
    var at = 0
    while at < count {
      let taken = BIO_write(incoming, bytes + at, Int32(clamping: count - at))
      guard taken > 0 else {
        state = .failed("out of memory")
        return
      }
      at += Int(taken)
    }
    if state == .handshaking { handshake() }
  }

  /// Goes on with the handshake; a client calls it once to begin.
  public func handshake() {
    guard state == .handshaking else { return }
    ERR_clear_error()
    let result = SSL_do_handshake(ssl)
    if result == 1 {
      state = .open
    } else {
      note(result)
    }
  }

  /// Reads plaintext; 0 when more ciphertext is needed or the state changed.
  public func read(_ target: UnsafeMutablePointer<UInt8>, _ capacity: Int) -> Int {
    guard state == .open else { return 0 }
    ERR_clear_error()
    let count = SSL_read(ssl, target, Int32(clamping: capacity))
    if count > 0 { return Int(count) }
    note(count)
    return 0
  }

  /// Encrypts; returns how many bytes were taken.
  public func write(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
    guard count > 0, state == .open || state == .closed else { return 0 }
    ERR_clear_error()
    let taken = SSL_write(ssl, bytes, Int32(clamping: count))
    if taken > 0 { return Int(taken) }
    note(taken)
    return 0
  }

  /// Bytes that wait to be sent to the peer.
  public var ciphertextCount: Int { roost_tls_pending(outgoing) }

  /// Takes bytes for the peer.
  public func takeCiphertext(_ target: UnsafeMutablePointer<UInt8>, _ capacity: Int) -> Int {
    max(0, Int(BIO_read(outgoing, target, Int32(clamping: capacity))))
  }

  /// Queues our `close_notify`: the peer then knows that nothing was cut off.
  public func close() {
    guard state == .open || state == .closed else { return }
    ERR_clear_error()
    _ = SSL_shutdown(ssl)
  }

  /// What ALPN agreed on.
  public var applicationProtocol: ApplicationProtocol {
    var name: UnsafePointer<UInt8>?
    var count: UInt32 = 0
    SSL_get0_alpn_selected(ssl, &name, &count)
    guard let name else { return .none }
    if count == 2 { return .http2 }
    return Self.isHTTP1(name, Int(count)) ? .http1 : .none
  }

  /// The name that the client asked for.
  public var serverName: String? { SSL_get_servername(ssl, 0).map { String(cString: $0) } }

  /// The version in words, such as `TLSv1.3`.
  public var version: String { SSL_get_version(ssl).map { String(cString: $0) } ?? "" }

  /// Subject of the peer's verified certificate, one line.
  public var peerSubject: String? {
    guard let certificate = SSL_get0_peer_certificate(ssl) else { return nil }
    var text = [CChar](repeating: 0, count: 512)
    guard X509_NAME_oneline(X509_get_subject_name(certificate), &text, Int32(text.count)) != nil else {
      return nil
    }
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  private func note(_ result: Int32) {
    switch SSL_get_error(ssl, result) {
    case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: break
    case SSL_ERROR_ZERO_RETURN: state = .closed
    default:
      let reason = TLSError.reason()
      let verdict = Int(SSL_get_verify_result(ssl))
      guard !context.isServer, verdict != Int(X509_V_OK),
        let words = X509_verify_cert_error_string(verdict)
      else {
        state = .failed(reason)
        return
      }
      state = .failed("its certificate is not accepted: \(String(cString: words))")
    }
  }

  static func isHTTP1(_ name: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    let text: StaticString = "http/1.1"
    guard count == text.utf8CodeUnitCount else { return false }
    for index in 0..<count where name[index] != text.utf8Start[index] { return false }
    return true
  }
}
