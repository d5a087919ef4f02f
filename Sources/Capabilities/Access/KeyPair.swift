internal import COpenSSL
public import Domain

/// A new RSA key pair of 2048 bits, both halves in PEM.
public struct KeyPair: Sendable {
  /// What records and key files call it.
  public static let algorithm = "RSA_2048"
  private static let bits: Int32 = 2048

  /// PKCS#8, without a password.
  public let privatePEM: String
  /// `SubjectPublicKeyInfo`.
  public let publicPEM: String

  /// Makes a pair; takes a tenth of a second or more of a core. Throws `internal` when OpenSSL can't.
  public static func generate() throws(PlatformError) -> KeyPair {
    guard let context = EVP_PKEY_CTX_new_id(EVP_PKEY_RSA, nil) else { throw failure("start") }
    defer { EVP_PKEY_CTX_free(context) }
    var key: OpaquePointer?
    guard EVP_PKEY_keygen_init(context) == 1, EVP_PKEY_CTX_set_rsa_keygen_bits(context, bits) == 1,
      EVP_PKEY_keygen(context, &key) == 1, let key
    else { throw failure("make the key") }
    defer { EVP_PKEY_free(key) }
    return KeyPair(
      privatePEM: try text { PEM_write_bio_PKCS8PrivateKey($0, key, nil, nil, 0, nil, nil) },
      publicPEM: try text { PEM_write_bio_PUBKEY($0, key) })
  }

  private static func text(_ write: (OpaquePointer) -> Int32) throws(PlatformError) -> String {
    guard let bio = BIO_new(BIO_s_mem()) else { throw failure("start") }
    defer { BIO_free(bio) }
    guard write(bio) == 1 else { throw failure("write the key") }
    var bytes = [UInt8](repeating: 0, count: 8192)
    let count = BIO_read(bio, &bytes, Int32(bytes.count))
    guard count > 0 else { throw failure("write the key") }
    defer { OPENSSL_cleanse(&bytes, bytes.count) }
    return String(decoding: bytes.prefix(Int(count)), as: UTF8.self)
  }

  private static func failure(_ doing: String) -> PlatformError {
    ERR_clear_error()
    return PlatformError(.internal, "RSA key pair: OpenSSL could not \(doing)")
  }
}
