internal import COpenSSL

/// A certificate chain and its key, as PEM files.
public struct TLSCertificate: Sendable {
  public var chain: String
  public var key: String

  public init(chain: String, key: String) {
    self.chain = chain
    self.key = key
  }
}

/// What the connections of a listener share: certificates, versions, protocols. Immutable; to change it make another one
/// and use that for new connections.
///
/// TLS 1.2 and 1.3; ALPN chooses `h2` before `http/1.1` (RFC 7301). Of several certificates the first that is valid for
/// the name the client asks for is used (RFC 6066), else the first one.
public final class TLSContext: @unchecked Sendable {
  // SSL_CTX counts its references and may be used by several threads at once.
  let contexts: [OpaquePointer]
  let isServer: Bool

  /// For a server. Throws what is wrong with which file.
  ///
  /// - Parameter clientAuthorities: a PEM file of authorities; clients must then show a certificate of one of them.
  public init(certificates: [TLSCertificate], clientAuthorities: String? = nil) throws(TLSError) {
    guard !certificates.isEmpty else { throw TLSError("TLS needs a certificate and its key") }
    var made: [OpaquePointer] = []
    do throws(TLSError) {
      for certificate in certificates { made.append(try Self.server(certificate, clientAuthorities)) }
    } catch {
      for context in made { SSL_CTX_free(context) }
      throw error
    }
    contexts = made
    isServer = true
    if made.count > 1 {
      for context in made {
        roost_tls_on_server_name(context, Self.chooseCertificate, Unmanaged.passUnretained(self).toOpaque())
      }
    }
  }

  /// For a client that trusts the authorities of a PEM file, or (nil) those of the system.
  public init(trusting authorities: String?, certificate: TLSCertificate? = nil) throws(TLSError) {
    let context = try Self.bare(TLS_client_method())
    contexts = [context]
    isServer = false
    if let authorities {
      guard SSL_CTX_load_verify_locations(context, authorities, nil) == 1 else {
        throw TLSError("\(authorities): no certificates of authorities can be read: \(TLSError.reason())")
      }
    } else {
      guard SSL_CTX_set_default_verify_paths(context) == 1 else {
        throw TLSError("the system's certificates of authorities can't be read: \(TLSError.reason())")
      }
    }
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nil)
    if let certificate { try Self.use(certificate, context) }
  }

  deinit { for context in contexts { SSL_CTX_free(context) } }

  private static func bare(_ method: OpaquePointer?) throws(TLSError) -> OpaquePointer {
    guard let context = SSL_CTX_new(method) else {
      throw TLSError("OpenSSL has no context: \(TLSError.reason())")
    }
    guard roost_tls_harden(context) == 1,
      SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1
    else {
      SSL_CTX_free(context)
      throw TLSError("OpenSSL refuses TLS 1.2 with modern ciphers: \(TLSError.reason())")
    }
    return context
  }

  private static func server(
    _ certificate: TLSCertificate, _ authorities: String?
  ) throws(TLSError) -> OpaquePointer {
    let context = try bare(TLS_server_method())
    do throws(TLSError) {
      try use(certificate, context)
      if let authorities {
        guard SSL_CTX_load_verify_locations(context, authorities, nil) == 1,
          let names = SSL_load_client_CA_file(authorities)
        else {
          throw TLSError("\(authorities): no certificates of authorities can be read: \(TLSError.reason())")
        }
        SSL_CTX_set_client_CA_list(context, names)
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nil)
      }
    } catch {
      SSL_CTX_free(context)
      throw error
    }
    _ = SSL_CTX_set_session_id_context(context, "roost", 5)
    SSL_CTX_set_alpn_select_cb(context, chooseProtocol, nil)
    return context
  }

  private static func use(_ certificate: TLSCertificate, _ context: OpaquePointer) throws(TLSError) {
    ERR_clear_error()
    guard SSL_CTX_use_certificate_chain_file(context, certificate.chain) == 1 else {
      throw TLSError(
        "\(certificate.chain): no certificate chain in PEM form can be read: \(TLSError.reason())")
    }
    guard SSL_CTX_use_PrivateKey_file(context, certificate.key, SSL_FILETYPE_PEM) == 1 else {
      let reason = TLSError.reason()
      throw TLSError(
        reason.contains("mismatch")
          ? "\(certificate.key): the key does not belong to the certificate in \(certificate.chain)"
          : "\(certificate.key): no private key in PEM form can be read: \(reason)")
    }
    guard let own = SSL_CTX_get0_certificate(context) else { return }
    if X509_cmp_current_time(X509_get0_notAfter(own)) < 0 {
      throw TLSError("\(certificate.chain): the certificate has expired; renew it")
    }
    if X509_cmp_current_time(X509_get0_notBefore(own)) > 0 {
      throw TLSError("\(certificate.chain): the certificate is not valid yet; check the clock")
    }
  }

  private static let chooseProtocol:
    @convention(c) (
      OpaquePointer?, UnsafeMutablePointer<UnsafePointer<UInt8>?>?, UnsafeMutablePointer<UInt8>?,
      UnsafePointer<UInt8>?, UInt32, UnsafeMutableRawPointer?
    ) -> Int32 = { _, chosen, length, offered, count, _ in
      let fatal: Int32 = 2
      guard let offered, let chosen, let length else { return fatal }
      var best: UnsafePointer<UInt8>?
      var at = 0
      while at < Int(count) {
        let size = Int(offered[at])
        guard at + 1 + size <= Int(count) else { return fatal }
        let name = offered + at + 1
        if size == 2, name[0] == 0x68, name[1] == 0x32 {
          chosen.pointee = name
          length.pointee = 2
          return 0
        }
        if TLSEngine.isHTTP1(name, size) { best = name }
        at += 1 + size
      }
      guard let best else { return fatal }
      chosen.pointee = best
      length.pointee = 8
      return 0
    }

  private static let chooseCertificate:
    @convention(c) (OpaquePointer?, UnsafeMutablePointer<Int32>?, UnsafeMutableRawPointer?) -> Int32 = {
      ssl, _, argument in
      guard let ssl, let argument, let name = SSL_get_servername(ssl, 0) else { return 0 }
      let context = Unmanaged<TLSContext>.fromOpaque(argument).takeUnretainedValue()
      for candidate in context.contexts {
        guard let certificate = SSL_CTX_get0_certificate(candidate) else { continue }
        if X509_check_host(certificate, name, 0, 0, nil) == 1 {
          _ = SSL_set_SSL_CTX(ssl, candidate)
          break
        }
      }
      return 0
    }
}
