import COpenSSL
import Domain

/// An Ed25519 key pair, kept as raw bytes so that it can cross threads; OpenSSL objects live only inside a
/// call.
struct SigningKey: Sendable {
  private static let byteCount = 32
  static let signatureBytes = 64

  private let privateBytes: [UInt8]
  private let publicBytes: [UInt8]
  /// Names the key in token headers: the start of the hash of the public half.
  let id: String

  static func generate() throws(PlatformError) -> SigningKey {
    var seed = [UInt8](repeating: 0, count: byteCount)
    guard RAND_bytes(&seed, Int32(seed.count)) == 1 else {
      throw failure("the system gave no random numbers")
    }
    return try SigningKey(privateBytes: seed)
  }

  init(pem: String) throws(PlatformError) {
    let text = Array(pem.utf8)
    let key: OpaquePointer? = text.withUnsafeBytes { buffer in
      guard let bio = BIO_new_mem_buf(buffer.baseAddress, Int32(buffer.count)) else { return nil }
      defer { BIO_free(bio) }
      return PEM_read_bio_PrivateKey(bio, nil, nil, nil)
    }
    guard let key else {
      throw Self.failure("the signing key is not a private key in PEM; restore token.pem")
    }
    defer { EVP_PKEY_free(key) }
    var raw = [UInt8](repeating: 0, count: Self.byteCount)
    var count = raw.count
    guard EVP_PKEY_get_id(key) == EVP_PKEY_ED25519, EVP_PKEY_get_raw_private_key(key, &raw, &count) == 1,
      count == Self.byteCount
    else { throw Self.failure("the signing key is not an Ed25519 key; restore token.pem") }
    try self.init(privateBytes: raw)
  }

  private init(privateBytes: [UInt8]) throws(PlatformError) {
    guard let key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nil, privateBytes, privateBytes.count)
    else {
      throw Self.failure("OpenSSL refused the Ed25519 key")
    }
    defer { EVP_PKEY_free(key) }
    var publicBytes = [UInt8](repeating: 0, count: Self.byteCount)
    var count = publicBytes.count
    guard EVP_PKEY_get_raw_public_key(key, &publicBytes, &count) == 1 else {
      throw Self.failure("OpenSSL gave no public key")
    }
    var digest = [UInt8](repeating: 0, count: 32)
    SHA256(publicBytes, publicBytes.count, &digest)
    self.privateBytes = privateBytes
    self.publicBytes = publicBytes
    id = Base64URL.encode(digest.prefix(12))
  }

  /// PKCS#8, as `openssl genpkey` writes it.
  func pem() throws(PlatformError) -> String {
    guard let key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nil, privateBytes, privateBytes.count),
      let bio = BIO_new(BIO_s_mem())
    else { throw Self.failure("OpenSSL refused the Ed25519 key") }
    defer {
      EVP_PKEY_free(key)
      BIO_free(bio)
    }
    guard PEM_write_bio_PrivateKey(bio, key, nil, nil, 0, nil, nil) == 1 else {
      throw Self.failure("OpenSSL could not write the key")
    }
    var text = [UInt8](repeating: 0, count: 4096)
    let count = BIO_read(bio, &text, Int32(text.count))
    guard count > 0 else { throw Self.failure("OpenSSL could not write the key") }
    return String(decoding: text.prefix(Int(count)), as: UTF8.self)
  }

  func sign(_ message: [UInt8]) throws(PlatformError) -> [UInt8] {
    guard let key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nil, privateBytes, privateBytes.count),
      let context = EVP_MD_CTX_new()
    else { throw Self.failure("OpenSSL refused the Ed25519 key") }
    defer {
      EVP_MD_CTX_free(context)
      EVP_PKEY_free(key)
    }
    var signature = [UInt8](repeating: 0, count: Self.signatureBytes)
    var count = signature.count
    guard EVP_DigestSignInit(context, nil, nil, nil, key) == 1,
      EVP_DigestSign(context, &signature, &count, message, message.count) == 1, count == Self.signatureBytes
    else { throw Self.failure("OpenSSL could not sign") }
    return signature
  }

  func isSignature(_ signature: [UInt8], of message: [UInt8]) -> Bool {
    guard signature.count == Self.signatureBytes,
      let key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nil, publicBytes, publicBytes.count)
    else { return false }
    defer { EVP_PKEY_free(key) }
    guard let context = EVP_MD_CTX_new() else { return false }
    defer { EVP_MD_CTX_free(context) }
    let good =
      EVP_DigestVerifyInit(context, nil, nil, nil, key) == 1
      && EVP_DigestVerify(context, signature, signature.count, message, message.count) == 1
    // A failed check leaves a record in the thread's error queue, which would grow with every bad token.
    if !good { ERR_clear_error() }
    return good
  }

  private static func failure(_ message: String) -> PlatformError {
    ERR_clear_error()
    return PlatformError(.internal, message)
  }
}
